"""What a capture is and what it will cost, from headers and a few sample photos, without reconstructing."""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from recon.capture import photos, quality, video
from recon.capture.duplicates import distance_m, near_duplicates
from recon.capture.photos import Header
from recon.capture.quality import Quality
from recon.capture.records import Gps, ImageRecord, Record
from recon.capture.source import Source, SourceFile
from recon.capture.video import VideoInfo
from recon.config import PRESETS, Config, parse
from recon.cost import Cost, estimate
from recon.errors import InputError

_SAMPLE_PAIRS = 20
_DARK, _BRIGHT = 0.12, 0.88
_MANY_CLIPPED = 0.2
_WORST = 5
_KEYFRAMES_HZ = 3.0
"""Keyframes a second of a walk or a flight; how many it will be, only decoding tells."""


class CameraFound(Record):
    """Photos of one camera at one zoom and size."""

    camera: str
    images: int
    width: int
    height: int
    focal_px: float | None
    focal_source: Literal["exif", "exif_35mm", "none"]


class VideoFound(Record):
    source: str
    width: int
    height: int
    codec: str
    rotation_deg: int
    rate_hz: float | None
    duration_s: float | None
    frames: int | None
    keyframes_estimated: int


class GpsSpan(Record):
    """Extent of the photos' positions."""

    photos: int
    east_west_m: float
    north_south_m: float
    alt_min_m: float | None
    alt_max_m: float | None
    alt_datums: tuple[str, ...]


class SampleFound(Record):
    """Measured on a sample of the photos, in pairs of neighbours spread over the capture."""

    photos: int
    sharpness_median: float
    blurred: float
    """Share."""
    least_sharp: tuple[str, ...]
    """The worst of the sample first, whether they are blurred or not."""
    brightness_median: float
    dark: float
    bright: float
    clipped: float
    """Shares; clipped: of photos with many black or white pixels."""
    near_duplicates: float
    """Share of neighbours that show the same."""


class IgnoredFile(Record):
    source: str
    reason: str


class Inspection(Record):
    capture: str
    files: int
    size_bytes: int
    photos: int
    videos: tuple[VideoFound, ...]
    frames: int
    images_estimated: int
    """Photos and keyframes that will be used, about."""
    cameras: tuple[CameraFound, ...]
    gps: GpsSpan | None
    first: str | None
    last: str | None
    """First and last capture time, ISO 8601."""
    exact_duplicates: int
    sample: SampleFound | None
    ignored: tuple[IgnoredFile, ...]
    warnings: tuple[str, ...]
    costs: tuple[Cost, ...]
    """One a preset."""


def inspect(source: Source, config: Config | None = None) -> Inspection:
    """Look at a capture: every header, and the pixels of at most 40 photos. Needs no hashes in the source."""
    config = config or Config()
    headers, videos, ignored = _headers(source, config)
    ignored += [IgnoredFile(source=file.relative, reason=file.reason) for file in source.ignored]
    copies = _exact_copies([file for file, _ in headers] + [file for file, _ in videos])
    ignored += [IgnoredFile(source=copy.relative, reason=f"the same content as {first.relative}") for copy, first in copies]
    gone = {copy.name for copy, _ in copies}
    headers = [(file, header) for file, header in headers if file.name not in gone]
    found = [_video_found(file, info) for file, info in videos if file.name not in gone]
    sample = _sample(headers, config)
    keyframes = sum(row.keyframes_estimated for row in found)
    images = min(config.select.max_images, len(headers) + keyframes)
    times = sorted(time for time in [h.captured_at for _, h in headers] + [info.captured_at for _, info in videos] if time)
    return Inspection(
        capture=str(source.path).encode("utf-8", "backslashreplace").decode(),
        files=len(source.files),
        size_bytes=sum(file.size for file in source.files),
        photos=len(headers),
        videos=tuple(found),
        frames=sum(row.frames or 0 for row in found),
        images_estimated=images,
        cameras=_cameras(header for _, header in headers),
        gps=_gps_span([header.gps for _, header in headers if header.gps]),
        first=times[0] if times else None,
        last=times[-1] if times else None,
        exact_duplicates=len(copies),
        sample=sample,
        ignored=tuple(ignored),
        warnings=tuple(_warnings(headers, found, sample)),
        costs=_costs(headers, found, images, source),
    )


def _headers(
    source: Source, config: Config
) -> tuple[list[tuple[SourceFile, Header]], list[tuple[SourceFile, VideoInfo]], list[IgnoredFile]]:
    headers, videos, ignored = [], [], []
    for file in source.photos + source.videos:
        try:
            if file.kind == "video":
                videos.append((file, video.probe(Path(file.path))))
                continue
            header = photos.read_header(Path(file.path), config.ingest.max_pixels)
            if min(header.width, header.height) < config.ingest.min_size_px:
                raise InputError(f"{header.width} x {header.height} pixels: too small")
            headers.append((file, header))
        except InputError as error:
            ignored.append(IgnoredFile(source=file.relative, reason=str(error)))
    return headers, videos, ignored


def _exact_copies(files: Sequence[SourceFile]) -> list[tuple[SourceFile, SourceFile]]:
    """(copy, first) of files with equal content; only files of equal size are read."""
    by_size = defaultdict(list)
    for file in files:
        by_size[file.size].append(file)
    copies = []
    for alike in by_size.values():
        first: dict[str, SourceFile] = {}
        for file in alike if len(alike) > 1 else ():
            earlier = first.setdefault(file.sha256 or _sha256(Path(file.path)), file)
            if earlier is not file:
                copies.append((file, earlier))
    return copies


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _video_found(file: SourceFile, info: VideoInfo) -> VideoFound:
    keyframes = round((info.duration_s or 0) * _KEYFRAMES_HZ)
    return VideoFound(
        source=file.relative,
        width=info.width,
        height=info.height,
        codec=info.codec,
        rotation_deg=info.rotation_deg,
        rate_hz=info.rate_hz,
        duration_s=info.duration_s,
        frames=info.frames,
        keyframes_estimated=max(2, min(keyframes, info.frames or keyframes)),
    )


def _cameras(headers: Iterable[Header]) -> tuple[CameraFound, ...]:
    rows: dict[str, Header] = {}
    count: Counter[str] = Counter()
    for header in headers:
        rows.setdefault(header.camera, header)
        count[header.camera] += 1
    return tuple(
        CameraFound(
            camera=key,
            images=n,
            width=rows[key].width,
            height=rows[key].height,
            focal_px=rows[key].focal_px,
            focal_source=rows[key].focal_source,
        )
        for key, n in count.most_common()
    )


def _gps_span(fixes: list[Gps]) -> GpsSpan | None:
    if not fixes:
        return None
    lats, lons = [fix.lat_deg for fix in fixes], [fix.lon_deg for fix in fixes]
    alts = [fix.alt_m for fix in fixes if fix.alt_m is not None]
    middle = statistics.median(lats)
    return GpsSpan(
        photos=len(fixes),
        east_west_m=round(distance_m(Gps(lat_deg=middle, lon_deg=min(lons)), Gps(lat_deg=middle, lon_deg=max(lons))), 1),
        north_south_m=round(distance_m(Gps(lat_deg=min(lats), lon_deg=lons[0]), Gps(lat_deg=max(lats), lon_deg=lons[0])), 1),
        alt_min_m=min(alts, default=None),
        alt_max_m=max(alts, default=None),
        alt_datums=tuple(sorted({fix.alt_datum for fix in fixes})),
    )


@dataclass(frozen=True)
class _Sampled:
    file: SourceFile
    header: Header
    quality: Quality


def _sample(headers: list[tuple[SourceFile, Header]], config: Config) -> SampleFound | None:
    pairs = [sampled for pair in _neighbours(len(headers)) if (sampled := _measured([headers[i] for i in pair], config))]
    sampled = [photo for pair in pairs for photo in pair]
    if not sampled:
        return None
    twins = [
        bool(near_duplicates([_record(photo) for photo in pair], _thumbs(pair), config.select.near_duplicate_bits))
        for pair in pairs
        if len(pair) == 2
    ]
    worst = sorted(sampled, key=lambda photo: photo.quality.sharpness)
    middle = statistics.median(photo.quality.sharpness for photo in sampled)
    blurred = [photo for photo in worst if photo.quality.sharpness < max(quality.BLURRED, config.select.min_sharpness * middle)]
    return SampleFound(
        photos=len(sampled),
        sharpness_median=middle,
        blurred=_share([photo in blurred for photo in sampled]),
        least_sharp=tuple(photo.file.relative for photo in worst[:_WORST]),
        brightness_median=statistics.median(photo.quality.brightness for photo in sampled),
        dark=_share([photo.quality.brightness < _DARK for photo in sampled]),
        bright=_share([photo.quality.brightness > _BRIGHT for photo in sampled]),
        clipped=_share([photo.quality.clipped > _MANY_CLIPPED for photo in sampled]),
        near_duplicates=_share(twins),
    )


def _neighbours(count: int) -> list[list[int]]:
    """At most 20 pairs of neighbours spread over the capture, no photo twice; a single one at the end of an odd few."""
    pairs = [list(range(start, min(start + 2, count))) for start in range(0, count, 2)]
    if len(pairs) <= _SAMPLE_PAIRS:
        return pairs
    return [pairs[int(k)] for k in np.linspace(0, len(pairs) - 1, _SAMPLE_PAIRS).round()]


def _measured(pair: list[tuple[SourceFile, Header]], config: Config) -> list[_Sampled]:
    sampled = []
    for file, header in pair:
        try:
            grey = photos.read_preview(Path(file.path), quality.ANALYSIS_PX, config.ingest.max_pixels)
        except InputError:
            continue  # damage inside a file: ingest says so for every one; a sample can't
        sampled.append(_Sampled(file, header, quality.measure(grey)))
    return sampled


def _record(photo: _Sampled) -> ImageRecord:
    header = photo.header
    return ImageRecord(
        name=photo.file.name,
        file="",
        source=photo.file.relative,
        sha256=photo.file.sha256,
        width=header.width,
        height=header.height,
        camera=header.camera,
        gps=header.gps,
    )


def _thumbs(pair: list[_Sampled]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.array([photo.quality.thumb for photo in pair])


def _share(flags: list[bool]) -> float:
    return round(sum(flags) / len(flags), 3) if flags else 0.0


def _warnings(headers: list[tuple[SourceFile, Header]], videos: list[VideoFound], sample: SampleFound | None) -> Iterable[str]:
    if len(headers) + len(videos) == 0:
        yield "nothing here can be used; the reasons stand under 'ignored'"
    elif len(headers) < 3 and not videos:
        yield f"{len(headers)} photos: a model needs three and more that overlap"
    if sample and sample.blurred > 0.2:
        yield f"{sample.blurred:.0%} of the sampled photos are blurred"
    if sample and sample.sharpness_median < quality.BLURRED:
        yield "the sampled photos are all blurred, or show nothing but smooth surfaces"
    if sample and sample.dark > 0.3:
        yield f"{sample.dark:.0%} of the sampled photos are very dark"
    if sample and sample.near_duplicates > 0.3:
        yield f"{sample.near_duplicates:.0%} of the sampled neighbours show the same"
    if headers and not any(header.focal_px for _, header in headers):
        yield "no photo states its focal length; it will be estimated"
    with_gps = sum(header.gps is not None for _, header in headers)
    if headers and with_gps < 3:
        yield f"{with_gps} photos have GPS: the model will have no metric scale"


def _costs(headers: list[tuple[SourceFile, Header]], videos: list[VideoFound], images: int, source: Source) -> tuple[Cost, ...]:
    sizes_mpx = [header.width * header.height / 1e6 for _, header in headers]
    for row in videos:
        sizes_mpx += [row.width * row.height / 1e6] * row.keyframes_estimated
    copied = sum(file.size for file in source.photos + source.videos)
    frames = sum(row.frames or 0 for row in videos)
    return tuple(estimate(preset, parse(PRESETS[preset]), images, sizes_mpx, frames, copied) for preset in PRESETS)
