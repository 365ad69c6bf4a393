"""A look at some of the depth images beside a capture's photos or for its videos' frames, for ``recon inspect``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.capture import photos
from recon.capture.calibration import Calibration, read_calibration
from recon.capture.depthimage import MILLIMETRE_M, TURNED, depth_image, read_confidence, read_depth
from recon.capture.depthintake import unit_of
from recon.capture.device import EXIF_OF_TURN, DeviceFrame
from recon.capture.devices import Readers
from recon.capture.photos import Header
from recon.capture.records import Record
from recon.capture.source import DepthFiles, Source, SourceFile
from recon.capture.video import VideoInfo
from recon.config import Ingest
from recon.errors import InputError

SAMPLE = 40


class DepthFound(Record):
    """Depth images that a sensor made beside the photos; pixels are read of at most ``SAMPLE`` of them, spread over the capture."""

    images: int
    """Photos, or frames of a video, that have one, those aside that the sample shows to be of no use."""
    with_confidence: int
    width: int
    height: int
    unit_m: float
    range_m: tuple[float, float] | None
    """Least and greatest depth in the sample; None where none can be used."""
    known: float
    """Share of the sample's pixels that have a depth."""
    calibration: tuple[str, ...]
    """Files that state the camera or the unit."""


@dataclass(frozen=True)
class _Row:
    """A depth image, and what is needed to read it."""

    files: DepthFiles
    size: tuple[int, int]
    """Of the upright image it belongs to."""
    turn: int
    unit_m: float
    depth_size: tuple[int, int] | None = None


def depth_found(
    source: Source,
    headers: Sequence[tuple[SourceFile, Header]],
    config: Ingest,
    videos: Sequence[tuple[SourceFile, VideoInfo]] = (),
) -> tuple[DepthFound | None, list[tuple[str, str]]]:
    """What there is, None without any, and (file, reason) of what can't be used."""
    beside, frames = (source.depth, source.frames) if config.use_depth else ({}, {})
    owned = [(file, header, beside[file.name]) for file, header in headers if file.name in beside]
    filmed = [(info, pair) for file, info in videos for pair in frames.get(file.name, ())]
    if not owned and not filmed:
        return None, []
    stated = {part.relative: part for file, *_ in owned for part in source.calibration.get(file.name, ())}
    calibration, ignored = _calibration(list(stated.values()))
    unit_m, readers, poses = unit_of(config, calibration), Readers(), source.poses
    chosen = [_row(file, header, files, unit_m, config, readers, poses.get(file.name, ())) for file, header, files in _spread(owned)]
    chosen += [
        _Row(pair, (info.width, info.height), EXIF_OF_TURN.get(info.rotation_deg, 1), MILLIMETRE_M) for info, pair in _spread(filmed)
    ]
    sizes, ranges, known, lost = [], [], [], 0
    for row in chosen:
        try:
            shape, low_m, high_m, share = _looked_at(row, config, ignored)
        except InputError as error:
            ignored.append((row.files.depth.relative, str(error)))
            lost += 1
            continue
        sizes.append((shape[1], shape[0]))
        ranges += [low_m, high_m]
        known.append(share)
    width, height = max(set(sizes), key=sizes.count, default=(0, 0))
    found = DepthFound(
        images=len(owned) + len(filmed) - lost,
        with_confidence=sum(row[-1].confidence is not None for row in owned) + sum(pair.confidence is not None for _, pair in filmed),
        width=width,
        height=height,
        unit_m=chosen[0].unit_m,
        range_m=(round(min(ranges), 3), round(max(ranges), 3)) if ranges else None,
        known=round(sum(known) / len(known), 3) if known else 0.0,
        calibration=tuple(stated),
    )
    return found, ignored


def _spread(rows: Sequence[Any]) -> list[Any]:
    """At most ``SAMPLE`` of the rows, evenly spread."""
    count = min(SAMPLE, len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]


def _row(
    photo: SourceFile,
    header: Header,
    files: DepthFiles,
    unit_m: float,
    config: Ingest,
    readers: Readers,
    poses: Sequence[SourceFile],
) -> _Row:
    turn = photos.orientation(Path(photo.path), config.max_pixels)
    said = DeviceFrame()
    if poses:
        with suppress(InputError):  # what is wrong with these is told with the poses
            said = readers.frame(photo, (header.height, header.width) if turn in TURNED else (header.width, header.height), poses)
    unit_m = config.depth_unit_m or said.depth_unit_m or unit_m
    return _Row(files, (header.width, header.height), turn, unit_m, said.depth_size)


def _looked_at(row: _Row, config: Ingest, ignored: list[tuple[str, str]]) -> tuple[tuple[int, ...], float, float, float]:
    """Shape, range [m] and share of known pixels of one. Raises InputError with the reason why it can't be used."""
    metres, sure = read_depth(Path(row.files.depth.path), row.unit_m, config.max_pixels, row.depth_size), None
    if row.files.confidence is not None:
        try:
            sure = read_confidence(Path(row.files.confidence.path), metres.shape, config.max_pixels)
        except InputError as error:
            ignored.append((row.files.confidence.relative, str(error)))
    measured = depth_image(metres, sure, row.turn, row.size)
    return measured.depth_m.shape, *measured.range_m, float((measured.depth_m > 0).mean())


def _calibration(files: Sequence[SourceFile]) -> tuple[Calibration, list[tuple[str, str]]]:
    found, ignored = Calibration(), []
    for file in files:
        try:
            found = found.otherwise(read_calibration(Path(file.path)))
        except InputError as error:
            ignored.append((file.relative, str(error)))
    return found, ignored
