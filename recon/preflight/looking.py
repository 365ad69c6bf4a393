"""Small copies of a capture's images: their features, sharpness and brightness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from recon.capture import photos, quality
from recon.capture.keyframes import Candidate, Chooser
from recon.capture.photos import Header
from recon.capture.pixels import shrink
from recon.capture.records import ImageRecord
from recon.capture.selection import spread
from recon.capture.source import SourceFile
from recon.capture.video import Frame, Frames, VideoInfo
from recon.config import Config
from recon.errors import InputError
from recon.features.sift import detect
from recon.features.store import Features

SIZE_PX = 640
KEYPOINTS = 1000
MAX_PHOTOS = 300
"""Looked at; of more, so many that are spread evenly."""
MAX_FRAMES = 2400
"""Frames of all videos that are followed: 80 s at 30 Hz."""
_HZ = 31.0


@dataclass(frozen=True)
class Seen:
    """One small image. Its record's size and focal length, and its keypoints, are in pixels of the small copy."""

    record: ImageRecord
    features: Features
    empty: bool


@dataclass
class Looked:
    """All that was looked at, in the order of the capture."""

    seen: list[Seen] = field(default_factory=list)
    images: int = 0
    """Photos, and keyframes of the videos, about, had all been looked at."""
    notes: list[str] = field(default_factory=list)


def look(
    headers: Sequence[tuple[SourceFile, Header]], videos: Sequence[tuple[SourceFile, VideoInfo]], config: Config, threads: int
) -> Looked:
    """At the photos, at most 300, and at the keyframes of the videos' first 80 seconds in all."""
    looked = Looked(images=len(headers))
    chosen = [headers[k] for k in spread(len(headers), MAX_PHOTOS)] if len(headers) > MAX_PHOTOS else list(headers)
    if len(chosen) < len(headers):
        looked.notes.append(f"{len(chosen)} of {len(headers)} photos were looked at, spread evenly: all of them overlap more than these")

    def one(photo: tuple[SourceFile, Header]) -> Seen | None:
        return _photo(*photo, config)

    cv2.setNumThreads(1)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        looked.seen += [seen for seen in pool.map(one, chosen) if seen]
    for file, info in videos:
        _video(looked, file, info, config, MAX_FRAMES // len(videos), threads)
    return looked


def _photo(file: SourceFile, header: Header, config: Config) -> Seen | None:
    try:
        grey = shrink(photos.read_preview(Path(file.path), SIZE_PX, config.ingest.max_pixels), SIZE_PX)
    except InputError:
        return None  # damage inside a file: ingest says so
    scale = max(grey.shape) / max(header.width, header.height)
    record = _record(file.relative, grey, header.camera, header.focal_px and header.focal_px * scale)
    projection = header.projection or "perspective"
    return _seen(record.model_copy(update={"gps": header.gps, "gimbal_deg": header.gimbal_deg, "projection": projection}), grey, config)


def _video(looked: Looked, file: SourceFile, info: VideoInfo, config: Config, most: int, threads: int) -> None:
    """Keyframes as ``select`` would choose them, while the frames last that may be looked at."""
    stride = max(1, round((info.rate_hz or 0) / _HZ))
    kept: list[Seen] = []

    def keep(keyframe: Candidate) -> None:
        at = keyframe.frame.timestamp_s
        record = _record(f"{file.relative} at {int(at // 60):02d}:{at % 60:04.1f}", keyframe.grey, f"video {file.relative}", None)
        update = {"sequence": file.relative, "frame": keyframe.frame.index, "timestamp_s": at, "projection": info.projection}
        kept.append(_seen(record.model_copy(update=update), keyframe.grey, config))

    chooser = Chooser(config.select, keep)
    last = _follow(Frames(Path(file.path), threads), chooser.add, stride, most * stride)
    chooser.finish()
    looked.seen += kept
    ended = last is None or info.frames is None or last.index + stride >= info.frames
    looked.images += len(kept) if ended or last is None else round(len(kept) * (info.frames or 0) / max(1, last.index))
    if not ended and last is not None:
        looked.notes.append(f"of {file.relative} the first {last.timestamp_s:.0f} s were looked at")


def _follow(frames: Frames, add: Callable[[Frame], None], stride: int, most: int) -> Frame | None:
    last = None
    for frame in frames:
        if frame.index >= most:
            break
        last = frame
        if frame.index % stride == 0:
            add(frame)
    return last


def _record(source: str, grey: NDArray[np.uint8], camera: str, focal_px: float | None) -> ImageRecord:
    height, width = grey.shape
    known = "exif" if focal_px else "none"
    return ImageRecord(
        name=source,
        file="",
        source=source,
        sha256="",
        width=width,
        height=height,
        camera=f"{camera} {width}x{height}",
        focal_px=focal_px,
        focal_source=known,
    )


def _seen(record: ImageRecord, grey: NDArray[np.uint8], config: Config) -> Seen:
    measured = quality.measure(grey)
    empty = bool(quality.emptiness(measured.thumb))
    features = Features.none() if empty else detect(grey, KEYPOINTS, config.features.peak_threshold)
    update = {"sharpness": measured.sharpness, "brightness": measured.brightness}
    return Seen(record.model_copy(update=update), features, empty)
