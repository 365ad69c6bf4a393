"""What ``select`` does for the photos and for one video."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.capture import aria, pixels, quality
from recon.capture.brackets import brackets
from recon.capture.duplicates import near_duplicates
from recon.capture.framedepth import FrameDepth
from recon.capture.keyframes import Candidate, Chooser, Seen
from recon.capture.maskimage import FrameMasks
from recon.capture.records import FRAME_MASK, ImageRecord, Lens, write_json
from recon.capture.telemetry import TRACK_FILE, Track
from recon.capture.video import Frame, Frames
from recon.config import Select
from recon.errors import EmptyCapture

_log = logging.getLogger(__name__)
_ANALYSED_HZ = 31.0
"""A faster video is thinned to about this before anything is measured."""


@dataclass
class Selection:
    """The images that are used, and a row a decision."""

    records: list[ImageRecord] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def select_photos(records: list[ImageRecord], thumbs: NDArray[np.uint8], config: Select, limit: int) -> Selection:
    """Photos without the empty ones and the near duplicates, at most ``limit``, spread evenly.

    Raises EmptyCapture where nothing is left, or all are blurred.
    """
    dropped = {i: f"the photo is {empty}" for i, thumb in enumerate(thumbs) if (empty := quality.emptiness(thumb))}
    seen = [i for i in range(len(records)) if i not in dropped]
    if not seen:
        raise EmptyCapture(
            f"all {len(records)} photos are black or of one colour",
            "Take the lens cap off, and film something with texture in enough light",
        )
    sharpest = max(records[i].sharpness for i in seen)
    if sharpest < quality.BLURRED:
        raise EmptyCapture(
            f"all {len(seen)} photos are blurred, or show nothing but smooth surfaces: sharpness is at most {sharpest:.2f}, "
            f"that of usable photos {quality.BLURRED} and more",
            "Focus, hold still, and take them in more light",
        )
    exposures = brackets([records[i] for i in seen], thumbs[seen])
    dropped |= {seen[i]: f"another exposure of {records[seen[j]].source}, taken within moments" for i, j in exposures.items()}
    seen = [i for i in seen if i not in dropped]
    twins = near_duplicates([records[i] for i in seen], thumbs[seen], config.near_duplicate_bits)
    dropped |= {seen[i]: f"shows the same as {records[seen[j]].source}" for i, j in twins.items()}
    left = [i for i in range(len(records)) if i not in dropped]
    chosen = set(left) if len(left) <= limit else {left[k] for k in spread(len(left), limit)}
    dropped |= {i: f"{limit} of {len(left)} photos are used (select.max_images)" for i in left if i not in chosen}
    kept = _own_cameras([records[i] for i in sorted(chosen)])
    return Selection(kept, [_photo_row(record, dropped.get(i, "")) for i, record in enumerate(records)])


def select_video(
    video: dict[str, Any], path: Path, locator: str, out: Path, config: Select, limit: int, threads: int, tell: Callable[..., None]
) -> Selection:
    """Keyframes of a video, written under ``out/images``. Raises EmptyCapture where no frame is of use."""
    selection = Selection()
    masks = FrameMasks(video, path.parents[video["file"].count("/")])
    device = FrameDepth.of(video, path)
    writer = _Writer(video, locator, out, limit, masks, device)
    chooser = Chooser(config, writer.write)
    frames = Frames(path, threads)
    stride = max(1, round(float(video["rate_hz"] or 0) / _ANALYSED_HZ))
    expected = video["frames"] or 0
    for frame in frames:
        if frame.index % stride == 0:
            chooser.add(frame)
        if expected and frame.index % 30 == 0:
            tell(min(0.99, frame.index / expected), f"{video['source']}: {len(writer.records)} keyframes")
    chooser.finish()
    _refuse_empty(video["source"], chooser.seen)
    selection.records, thinned = writer.thinned(limit)
    for row in chooser.rows:
        if row["kept"] and row["frame"] in thinned:
            row |= {"kept": False, "reason": f"too many keyframes: {limit} are used (select.max_images)"}
    selection.rows = [{"source": video["source"], **row} for row in chooser.rows]
    selection.warnings = _warnings(video, frames, chooser.seen, len(selection.records), len(thinned))
    selection.warnings += [f"{video['source']}: {warning}" for warning in masks.warnings]
    if device is not None:
        selection.warnings += [f"{video['source']}: {warning}" for warning in device.warnings]
    if (track := Track.of(video)) is not None:  # an empty one has warnings
        selection.warnings += [f"{video['source']}: {warning}" for warning in track.warnings]
        write_json(out / TRACK_FILE, {"sequence": video["name"], "track": track.as_json()})
    return selection


class _Writer:
    """Writes keyframes as they are chosen, never holding more than twice the limit on disk."""

    def __init__(self, video: dict[str, Any], locator: str, out: Path, limit: int, masks: FrameMasks, device: FrameDepth | None) -> None:
        self.records: list[ImageRecord] = []
        self._video = video
        self._locator = locator
        self._out = out
        self._limit = limit
        self._gone: set[int] = set()
        self._track = Track.of(video)
        self._masks = masks
        self._device = device

    def write(self, keyframe: Candidate) -> None:
        where, shown = self._out / "images", f"{self._locator}/images"
        measured = keyframe.sharpness, keyframe.brightness
        record = write_frame(self._video, keyframe.frame, *measured, where, shown, self._track, self._masks)
        if self._device is not None:
            record = self._device.told_to(record, keyframe.frame.rotation_deg, self._out / "depth", f"{self._locator}/depth")
        self.records.append(record)
        if len(self.records) >= 2 * self._limit:
            self.thinned(self._limit)

    def thinned(self, limit: int) -> tuple[list[ImageRecord], set[int]]:
        """At most limit records, evenly spread, the other files removed; and the frames removed so far."""
        if len(self.records) > limit:
            chosen = set(spread(len(self.records), limit))
            for i, record in enumerate(self.records):
                if i not in chosen:
                    path = self._out / "images" / record.name
                    path.unlink()
                    path.with_name(path.name + FRAME_MASK).unlink(missing_ok=True)
                    (self._out / "depth" / f"{record.name}.npz").unlink(missing_ok=True)
                    self._gone.add(record.frame or 0)
            self.records = [self.records[i] for i in sorted(chosen)]
        return self.records, self._gone


def write_frame(
    video: dict[str, Any],
    frame: Frame,
    sharpness: float,
    brightness: float,
    folder: Path,
    locator: str,
    track: Track | None = None,
    masks: FrameMasks | None = None,
) -> ImageRecord:
    """Write a frame as ``folder/VIDEO/NUMBER.jpg``, its mask beside it; its record says that ``locator`` leads to ``folder``.

    ``track`` is the video's, where the caller has read it already.
    """
    name = f"{video['name']}/{frame.index:06d}.jpg"
    path, rgb = folder / name, frame.rgb()
    pixels.write_jpeg(path, rgb)
    track = Track.of(video) if track is None else track
    mask = masks.of(frame.index, (rgb.shape[1], rgb.shape[0])) if masks else None
    if mask is not None:
        pixels.write_png(folder / f"{name}{FRAME_MASK}", mask)
    chapter = video.get("chapter")
    lens = Lens(model=aria.MODEL, params=video["lens"]["params"]) if video.get("lens") else None
    return ImageRecord(
        name=name,
        file=f"{locator}/{name}",
        source=video["source"],
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        width=rgb.shape[1],
        height=rgb.shape[0],
        camera=" ".join(
            filter(None, ["video", chapter[0] if chapter else video["name"], video["camera"], f"{rgb.shape[1]}x{rgb.shape[0]}"])
        ),
        focal_px=lens.params[0] if lens else None,
        focal_source="device" if lens else "none",
        lens=lens,
        projection=video.get("projection", "perspective"),
        sequence=video["name"],
        chapter=tuple(chapter) if chapter else None,
        frame=frame.index,
        timestamp_s=round(frame.timestamp_s, 6),
        gps=track.gps_at(frame.timestamp_s) if track else None,
        gimbal_deg=track.gimbal_at(frame.timestamp_s) if track else None,
        sharpness=sharpness,
        brightness=brightness,
        mask=video.get("mask") if mask is None else f"{locator}/{name}{FRAME_MASK}",
    )


def spread(count: int, limit: int) -> list[int]:
    """``limit`` indices of ``count``, evenly spread, the first and last among them."""
    return sorted({int(k) for k in np.linspace(0, count - 1, limit).round()})


def _refuse_empty(source: str, seen: Seen) -> None:
    if seen.frames == 0:
        raise EmptyCapture(f"{source}: no frame can be decoded", "Export it again as H.264 or HEVC")
    if seen.black + seen.even == seen.frames:
        raise EmptyCapture(
            f"{source}: all {seen.frames} frames are black or of one colour ({seen.black} black)",
            "Take the lens cap off, and film in enough light",
        )
    if seen.sharpest < quality.BLURRED_CODED:
        raise EmptyCapture(
            f"{source}: all {seen.frames} frames are blurred, or show nothing but smooth surfaces: sharpness is at most "
            f"{seen.sharpest:.2f}, that of usable frames {quality.BLURRED_CODED} and more",
            "Move slowly, in more light, and let the camera focus",
        )


def _warnings(video: dict[str, Any], frames: Frames, seen: Seen, kept: int, thinned: int) -> list[str]:
    source = video["source"]
    warnings = [f"{source}: {note}" for note in video.get("notes", ())]
    lost = (video["frames"] or 0) - frames.decoded
    if frames.bad_packets or lost > max(2, 0.01 * frames.decoded):
        warnings.append(f"{source}: damaged; {frames.decoded} frames were decoded, {max(lost, frames.bad_packets)} are lost")
    if seen.blurred > 0.5 * seen.frames:
        warnings.append(f"{source}: {seen.blurred} of {seen.frames} frames are blurred; move more slowly, in more light")
    if kept < 2:
        warnings.append(f"{source}: {kept} keyframe: nothing moves in {seen.frames} frames")
    if seen.breaks:
        warnings.append(f"{source}: the view changes at once in {seen.breaks} places (a cut, a turn too fast, a covered lens)")
    if thinned:
        warnings.append(
            f"{source}: {kept} of {kept + thinned} keyframes are used (select.max_images); neighbours share less than asked for"
        )
    for warning in warnings:
        _log.warning("%s", warning)
    return warnings


def _own_cameras(records: list[ImageRecord]) -> list[ImageRecord]:
    """Photos that don't name their camera share one by size, unless the sizes are so many that they come from everywhere."""
    unnamed = [record for record in records if record.camera.startswith("unknown camera")]
    sizes = Counter(record.camera for record in unnamed)
    if len(sizes) <= max(2, len(unnamed) // 4):
        return records
    return [
        record.model_copy(update={"camera": f"{record.camera} {record.name}"}) if record.camera in sizes else record for record in records
    ]


def _photo_row(record: ImageRecord, reason: str) -> dict[str, Any]:
    return {
        "source": record.source,
        "frame": None,
        "timestamp_s": None,
        "kept": not reason,
        "reason": reason or "a photo",
        "sharpness": record.sharpness,
        "parallax": None,
        "overlap": None,
    }
