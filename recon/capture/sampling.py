"""A look at the pixels of a few photos, or of a few frames of a video: sharp, bright enough, and not the same again."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from recon.capture import photos, quality, video
from recon.capture.duplicates import near_duplicates
from recon.capture.photos import Header
from recon.capture.quality import Quality
from recon.capture.records import ImageRecord, Record
from recon.capture.source import SourceFile
from recon.capture.video import VideoInfo
from recon.config import Config
from recon.errors import InputError

_PAIRS = 20
_FRAMES = 20
_DARK, _BRIGHT = 0.12, 0.88
_MANY_CLIPPED = 0.2
_WORST = 5


class SampleFound(Record):
    """Measured on photos in pairs of neighbours spread over the capture, or on frames spread over a video."""

    images: int
    sharpness_median: float
    blurred: float
    """Share."""
    least_sharp: tuple[str, ...]
    """The worst of the sample first, whether they are blurred or not."""
    brightness_median: float
    dark: float
    bright: float
    clipped: float
    """Shares; clipped: of images with many black or white pixels."""
    near_duplicates: float
    """Share of neighbours that show the same."""


@dataclass(frozen=True)
class _Sampled:
    record: ImageRecord
    quality: Quality


def sample_photos(headers: Sequence[tuple[SourceFile, Header]], config: Config) -> SampleFound | None:
    """Of at most 40 photos; None where none can be read."""
    pairs = [[photo for i in pair if (photo := _photo(*headers[i], config))] for pair in _neighbours(len(headers))]
    return _summary([photo for pair in pairs for photo in pair], pairs, quality.BLURRED, config)


def sample_video(file: SourceFile, info: VideoInfo, config: Config) -> SampleFound | None:
    """Of about 20 frames; None where none can be decoded."""
    frames = [
        _Sampled(
            _record(f"{file.relative} at {frame.timestamp_s:.1f} s", info.width, info.height),
            quality.measure(frame.grey(quality.ANALYSIS_PX)),
        )
        for frame in video.sample(Path(file.path), info, _FRAMES)
    ]
    return _summary(frames, [list(pair) for pair in pairwise(frames)], quality.BLURRED_CODED, config)


def _neighbours(count: int) -> list[list[int]]:
    """At most 20 pairs of neighbours spread over the capture, no photo twice; a single one at the end of an odd few."""
    pairs = [list(range(start, min(start + 2, count))) for start in range(0, count, 2)]
    if len(pairs) <= _PAIRS:
        return pairs
    return [pairs[int(k)] for k in np.linspace(0, len(pairs) - 1, _PAIRS).round()]


def _photo(file: SourceFile, header: Header, config: Config) -> _Sampled | None:
    try:
        grey = photos.read_preview(Path(file.path), quality.ANALYSIS_PX, config.ingest.max_pixels)
    except InputError:
        return None  # damage inside a file: ingest says so for every one; a sample can't
    record = _record(file.relative, header.width, header.height).model_copy(update={"gps": header.gps})
    return _Sampled(record, quality.measure(grey))


def _record(source: str, width: int, height: int) -> ImageRecord:
    return ImageRecord(name=source, file="", source=source, sha256="", width=width, height=height, camera="")


def _summary(sampled: list[_Sampled], pairs: list[list[_Sampled]], least_sharpness: float, config: Config) -> SampleFound | None:
    if not sampled:
        return None
    worst = sorted(sampled, key=lambda image: image.quality.sharpness)
    middle = statistics.median(image.quality.sharpness for image in sampled)
    limit = max(least_sharpness, config.select.min_sharpness * middle)
    return SampleFound(
        images=len(sampled),
        sharpness_median=middle,
        blurred=_share([image.quality.sharpness < limit for image in sampled]),
        least_sharp=tuple(image.record.source for image in worst[:_WORST]),
        brightness_median=statistics.median(image.quality.brightness for image in sampled),
        dark=_share([image.quality.brightness < _DARK for image in sampled]),
        bright=_share([image.quality.brightness > _BRIGHT for image in sampled]),
        clipped=_share([image.quality.clipped > _MANY_CLIPPED for image in sampled]),
        near_duplicates=_share([_show_the_same(pair, config.select.near_duplicate_bits) for pair in pairs if len(pair) == 2]),
    )


def _show_the_same(pair: list[_Sampled], max_bits: int) -> bool:
    return bool(near_duplicates([image.record for image in pair], np.array([image.quality.thumb for image in pair]), max_bits))


def _share(flags: list[bool]) -> float:
    return round(sum(flags) / len(flags), 3) if flags else 0.0
