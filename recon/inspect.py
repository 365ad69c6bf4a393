"""What a capture is and what it will cost, from headers and a sample of its pixels, without reconstructing."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from recon.capture import ariatrack, panorama, photos, quality, video
from recon.capture.depthsample import DepthFound, depth_found
from recon.capture.devicesample import DeviceFound, devices_found
from recon.capture.duplicates import distance_m
from recon.capture.flightpath import track_of
from recon.capture.kinds import VideoSeen, kind_of_capture
from recon.capture.maskimage import masks_found
from recon.capture.names import listed
from recon.capture.photos import Header
from recon.capture.records import Gps, Record
from recon.capture.sampling import SampleFound, sample_photos, sample_video
from recon.capture.source import Source, SourceFile
from recon.capture.telemetry import Track
from recon.capture.video import VideoInfo
from recon.config import PRESETS, Config, parse
from recon.cost import Cost, estimate
from recon.errors import InputError
from recon.preflight.record import Preflight
from recon.sfm.devicescale import LEAST_WAY_M
from recon.storage import sha256_of
from recon.system import core_count

LEAST_FIXES, LEAST_POSES = 3, 5
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
    projection: Literal["perspective", "equirectangular"] = "perspective"


class TelemetryFound(Record):
    """Where a video was filmed, as its device wrote it."""

    format: str
    """Maker, container and dialect."""
    entries: int
    positions: int
    """Those that can be true, where the place is new."""
    start_s: float | None
    end_s: float | None
    extent_m: float
    alt_datum: str
    sigma_m: tuple[float, float] | None
    """Median horizontal and vertical standard deviation."""
    gimbal: bool
    warnings: tuple[str, ...]


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
    sample: SampleFound | None
    telemetry: TelemetryFound | None = None
    projection: Literal["perspective", "equirectangular"] = "perspective"
    notes: tuple[str, ...] = ()
    """What of the file is not used."""


class IgnoredFile(Record):
    source: str
    reason: str


class GpsSpan(Record):
    """Extent of the photos' positions."""

    photos: int
    east_west_m: float
    north_south_m: float
    alt_min_m: float | None
    alt_max_m: float | None
    alt_datums: tuple[str, ...]


class Inspection(Record):
    capture: str
    kind: str = ""
    """What it is, in words, with the devices that took it: "drone photos (DJI FC300S)". Empty where nothing can be used."""
    files: int
    size_bytes: int
    photos: int
    videos: tuple[VideoFound, ...]
    frames: int
    images_estimated: int
    """Photos and keyframes that will be used, about."""
    cameras: tuple[CameraFound, ...]
    gps: GpsSpan | None
    depth: DepthFound | None = None
    """None without depth images: from them the model will be metric."""
    masks: int = 0
    """Photos and frames of videos of which a part is hidden."""
    devices: tuple[DeviceFound, ...] = ()
    """Recordings of tablets' and phones' apps."""
    metric_by: tuple[str, ...] = ()
    """What can tell the model's scale in metres: GPS, telemetry, measured depth, poses."""
    first: str | None
    last: str | None
    """First and last capture time, ISO 8601."""
    exact_duplicates: int
    sample: SampleFound | None
    """Of the photos."""
    ignored: tuple[IgnoredFile, ...]
    warnings: tuple[str, ...]
    costs: tuple[Cost, ...]
    """One a preset."""
    preflight: Preflight | None = None
    """Whether it will connect; None where that was not asked, or there is nothing to connect."""


def inspect(source: Source, config: Config | None = None, *, preflight: bool = True) -> Inspection:
    """Look at a capture: every header, the pixels of at most 40 photos and of some 20 frames a video. Needs no hashes in the source.

    With ``preflight`` also whether its images will connect: at most 300 photos and 80 s of video, up to a minute or two.
    """
    from recon.preflight.foretell import foretell  # not for those who only read an inspection

    config = config or Config()
    headers, videos, ignored = _headers(source, config)
    ignored += [IgnoredFile(source=file.relative, reason=file.reason) for file in source.ignored]
    copies = _exact_copies([file for file, _ in headers] + [file for file, _ in videos])
    ignored += [IgnoredFile(source=copy.relative, reason=f"the same content as {first.relative}") for copy, first in copies]
    gone = {copy.name for copy, _ in copies}
    headers = [(file, header) for file, header in headers if file.name not in gone]
    beside = source.telemetry
    used = [(file, info) for file, info in videos if file.name not in gone]
    found = [_video_found(file, info, config, beside.get(file.name)) for file, info in used]
    depth, unread = depth_found(source, headers, config.ingest, used)
    devices = devices_found(source, headers, used, config.ingest.max_pixels)
    ignored += [IgnoredFile(source=name, reason=f"not used as depth: {reason}") for name, reason in unread]
    masks, unfit = masks_found(source, headers, [file for file, _ in used], config.ingest.max_pixels)
    ignored += [IgnoredFile(source=name, reason=f"not used as a mask: {reason}") for name, reason in unfit]
    sample = sample_photos(headers, config)
    seen = [
        VideoSeen(info, row.telemetry.format if row.telemetry else "", file.name in beside)
        for (file, info), row in zip(used, found, strict=True)
    ]
    keyframes = sum(row.keyframes_estimated for row in found)
    images = min(config.select.max_images, len(headers) + keyframes)
    times = sorted(time for time in [h.captured_at for _, h in headers] + [info.captured_at for _, info in videos] if time)
    return Inspection(
        capture=str(source.path).encode("utf-8", "backslashreplace").decode(),
        kind=kind_of_capture([header for _, header in headers], seen, depth.images if depth else 0, _apps(devices)),
        files=len(source.files),
        size_bytes=sum(file.size for file in source.files),
        photos=len(headers),
        videos=tuple(found),
        frames=sum(row.frames or 0 for row in found),
        images_estimated=images,
        cameras=_cameras(header for _, header in headers),
        gps=_gps_span([header.gps for _, header in headers if header.gps]),
        depth=depth,
        masks=masks,
        devices=devices,
        metric_by=tuple(_metric_by(headers, found, depth, devices)),
        first=times[0] if times else None,
        last=times[-1] if times else None,
        exact_duplicates=len(copies),
        sample=sample,
        ignored=tuple(ignored),
        warnings=tuple(_warnings(source, headers, found, sample, _metric_by(headers, found, depth, devices), devices)),
        costs=_costs(headers, found, images, source),
        preflight=foretell(headers, used, config, core_count()) if preflight else None,
    )


def _headers(
    source: Source, config: Config
) -> tuple[list[tuple[SourceFile, Header]], list[tuple[SourceFile, VideoInfo]], list[IgnoredFile]]:
    headers, videos, ignored = [], [], []
    for file in source.photos + source.videos:
        try:
            if file.kind == "video":
                videos.append((file, video.probe(Path(file.path), config.ingest.max_pixels)))
                continue
            header = photos.read_header(Path(file.path), config.ingest.max_pixels)
            if min(header.width, header.height) < config.ingest.min_size_px:
                raise InputError(f"{header.width} x {header.height} pixels: too small")
            if header.projection is None and panorama.may_close(header.width, header.height):
                preview = photos.read_preview(Path(file.path), quality.ANALYSIS_PX, config.ingest.max_pixels)
                header = replace(header, projection="equirectangular" if panorama.closes(preview) else None)
            headers.append((file, header))
        except InputError as error:
            ignored.append(IgnoredFile(source=file.relative, reason=str(error)))
    return headers, videos, ignored


def _apps(devices: Sequence[DeviceFound]) -> list[str]:
    """Those whose scans make up the capture; a recording of glasses is a video like any other, with poses or without."""
    return [device.app for device in devices if device.app != ariatrack.NAME]


def _exact_copies(files: Sequence[SourceFile]) -> list[tuple[SourceFile, SourceFile]]:
    """(copy, first) of files with equal content; only files of equal size are read."""
    by_size = defaultdict(list)
    for file in files:
        by_size[file.size].append(file)
    copies = []
    for alike in by_size.values():
        first: dict[str, SourceFile] = {}
        for file in alike if len(alike) > 1 else ():
            earlier = first.setdefault(file.sha256 or sha256_of(Path(file.path)), file)
            if earlier is not file:
                copies.append((file, earlier))
    return copies


def _video_found(file: SourceFile, info: VideoInfo, config: Config, beside: SourceFile | None) -> VideoFound:
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
        sample=sample_video(file, info, config),
        projection=info.projection,
        notes=info.notes,
        telemetry=_telemetry_found(track_of(file, beside, info.duration_s)),
    )


def _telemetry_found(track: Track | None) -> TelemetryFound | None:
    if track is None:
        return None
    return TelemetryFound(
        format=track.format,
        entries=track.entries,
        positions=len(track),
        start_s=round(float(track.times_s[0]), 3) if len(track) else None,
        end_s=round(float(track.times_s[-1]), 3) if len(track) else None,
        extent_m=round(track.extent_m, 1),
        alt_datum=track.alt_datum,
        sigma_m=(statistics.median(track.sigma_m[:, 0].tolist()), statistics.median(track.sigma_m[:, 1].tolist())) if len(track) else None,
        gimbal=len(track.gimbal_times_s) > 0,
        warnings=track.warnings,
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
            projection=rows[key].projection or "perspective",
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


def _warnings(
    source: Source,
    headers: list[tuple[SourceFile, Header]],
    videos: list[VideoFound],
    sample: SampleFound | None,
    metric_by: Sequence[str],
    devices: Sequence[DeviceFound],
) -> Iterable[str]:
    if lost := [file.relative for file in source.lost]:
        yield f"{len(lost)} file{'s' if len(lost) > 1 else ''} can't be used: {listed(lost)}"
    if len(headers) + len(videos) == 0:
        yield "nothing here can be used; the reasons stand under 'ignored'"
    elif len(headers) < 3 and not videos:
        yield f"{len(headers)} photos: a model needs three and more that overlap"
    if sample:
        yield from _sample_warnings("photos", sample, quality.BLURRED)
    for row in videos:
        if row.sample:
            yield from _sample_warnings(f"frames of {row.source}", row.sample, quality.BLURRED_CODED)
        yield from (f"{row.source}: {note}" for note in row.notes)
        if row.telemetry:
            yield from (f"{row.source}: {warning}" for warning in row.telemetry.warnings)
    for device in devices:
        yield from (f"{device.app}: {warning}" for warning in device.warnings)
    if (
        headers
        and not any(header.focal_px or header.projection for _, header in headers)
        and not any(device.intrinsics for device in devices)
    ):
        yield "no photo states its focal length; it will be estimated"
    with_gps = sum(header.gps is not None for _, header in headers)
    if headers and not metric_by:
        yield f"{with_gps} photos have GPS: the model will have no metric scale"


def _metric_by(
    headers: list[tuple[SourceFile, Header]], videos: list[VideoFound], depth: DepthFound | None, devices: Sequence[DeviceFound]
) -> list[str]:
    by = ["gps"] if sum(header.gps is not None for _, header in headers) >= LEAST_FIXES else []
    by += ["telemetry"] if any(row.telemetry and row.telemetry.positions for row in videos) else []
    by += ["depth"] if depth and depth.images else []
    return by + (["poses"] if any(device.poses >= LEAST_POSES and device.way_m >= LEAST_WAY_M for device in devices) else [])


def _sample_warnings(what: str, sample: SampleFound, least_sharpness: float) -> Iterable[str]:
    if sample.blurred > 0.2:
        yield f"{sample.blurred:.0%} of the sampled {what} are blurred"
    if sample.sharpness_median < least_sharpness:
        yield f"the sampled {what} are mostly blurred, or show nothing but smooth surfaces"
    if sample.dark > 0.3:
        yield f"{sample.dark:.0%} of the sampled {what} are very dark"
    if sample.near_duplicates > 0.3:
        yield f"{sample.near_duplicates:.0%} of the sampled {what} show the same as the one before"


def _costs(headers: list[tuple[SourceFile, Header]], videos: list[VideoFound], images: int, source: Source) -> tuple[Cost, ...]:
    sizes_mpx = [header.width * header.height / 1e6 for _, header in headers]
    for row in videos:
        sizes_mpx += [row.width * row.height / 1e6] * row.keyframes_estimated
    copied = sum(file.size for file in source.files if file.kind in ("photo", "video", "depth", "mask"))
    frames = sum(row.frames or 0 for row in videos)
    return tuple(estimate(preset, parse(PRESETS[preset]), images, sizes_mpx, frames, copied) for preset in PRESETS)
