"""A look at some of the depth images beside a capture's photos, for ``recon inspect``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recon.capture import photos
from recon.capture.calibration import Calibration, read_calibration
from recon.capture.depthimage import depth_image, read_confidence, read_depth
from recon.capture.depthintake import unit_of
from recon.capture.photos import Header
from recon.capture.records import Record
from recon.capture.source import DepthFiles, Source, SourceFile
from recon.config import Ingest
from recon.errors import InputError

SAMPLE = 40


class DepthFound(Record):
    """Depth images that a sensor made beside the photos; pixels are read of at most ``SAMPLE`` of them, spread over the capture."""

    images: int
    """Photos that have one, those aside that the sample shows to be of no use."""
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


def depth_found(
    source: Source, headers: Sequence[tuple[SourceFile, Header]], config: Ingest
) -> tuple[DepthFound | None, list[tuple[str, str]]]:
    """What there is, None without any, and (file, reason) of what can't be used."""
    beside = source.depth if config.use_depth else {}
    rows = [(file, header, beside[file.name]) for file, header in headers if file.name in beside]
    if not rows:
        return None, []
    stated = {part.relative: part for file, *_ in rows for part in source.calibration.get(file.name, ())}
    calibration, ignored = _calibration(list(stated.values()))
    unit_m = unit_of(config, calibration)
    chosen = [rows[i * len(rows) // min(SAMPLE, len(rows))] for i in range(min(SAMPLE, len(rows)))]
    sizes, ranges, known, lost = [], [], [], 0
    for row in chosen:
        try:
            shape, low_m, high_m, share = _looked_at(*row, unit_m, config, ignored)
        except InputError as error:
            ignored.append((row[2].depth.relative, str(error)))
            lost += 1
            continue
        sizes.append((shape[1], shape[0]))
        ranges += [low_m, high_m]
        known.append(share)
    width, height = max(set(sizes), key=sizes.count, default=(0, 0))
    found = DepthFound(
        images=len(rows) - lost,
        with_confidence=sum(files.confidence is not None for *_, files in rows),
        width=width,
        height=height,
        unit_m=unit_m,
        range_m=(round(min(ranges), 3), round(max(ranges), 3)) if ranges else None,
        known=round(sum(known) / len(known), 3) if known else 0.0,
        calibration=tuple(stated),
    )
    return found, ignored


def _looked_at(
    file: SourceFile, header: Header, files: DepthFiles, unit_m: float, config: Ingest, ignored: list[tuple[str, str]]
) -> tuple[tuple[int, ...], float, float, float]:
    """Shape, range [m] and share of known pixels of one. Raises InputError with the reason why it can't be used."""
    metres, sure = read_depth(Path(files.depth.path), unit_m, config.max_pixels), None
    if files.confidence is not None:
        try:
            sure = read_confidence(Path(files.confidence.path), metres.shape, config.max_pixels)
        except InputError as error:
            ignored.append((files.confidence.relative, str(error)))
    turn = photos.orientation(Path(file.path), config.max_pixels)
    measured = depth_image(metres, sure, turn, (header.width, header.height))
    return measured.depth_m.shape, *measured.range_m, float((measured.depth_m > 0).mean())


def _calibration(files: Sequence[SourceFile]) -> tuple[Calibration, list[tuple[str, str]]]:
    found, ignored = Calibration(), []
    for file in files:
        try:
            found = found.otherwise(read_calibration(Path(file.path)))
        except InputError as error:
            ignored.append((file.relative, str(error)))
    return found, ignored
