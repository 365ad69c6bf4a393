"""Takes one file of the source into a shard of ``ingest``: checked, measured, its bytes untouched where that serves."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.capture import photos, pixels, quality, video
from recon.capture.devices import track_of_video
from recon.capture.flightpath import track_of
from recon.capture.framedepth import pack_frames
from recon.capture.panorama import closes, nadir_mask
from recon.capture.photos import Header
from recon.capture.quality import Quality
from recon.capture.records import ImageRecord
from recon.capture.source import DepthFiles, SourceFile
from recon.config import Ingest
from recon.errors import InputError

_FICLONE = 0x40049409


def take_photo(file: SourceFile, shard: int, out: Path, config: Ingest) -> tuple[ImageRecord, Quality]:
    """Put a photo under ``out/images`` (and a mask under ``out/masks``). Raises InputError with the reason to skip it."""
    path = Path(file.path)
    header = photos.read_header(path, config.max_pixels)
    if min(header.width, header.height) < config.min_size_px:
        raise InputError(f"{header.width} x {header.height} pixels; the shorter side must have {config.min_size_px} (ingest.min_size_px)")
    name, mask = file.name + header.stored_suffix(file.name), None
    grey = _copied(path, out / "images" / name, header) if header.verbatim else None
    if grey is None:
        header = replace(header, verbatim=False)
        name = file.name + header.stored_suffix(file.name)
        grey, mask = _converted(path, out / "images" / name, config.max_pixels)
        header = replace(header, width=grey.shape[1], height=grey.shape[0])
    projection = header.projection or ("equirectangular" if closes(grey) else "perspective")
    if mask is None and projection == "equirectangular" and config.nadir_mask_deg:
        mask = nadir_mask(header.width, header.height, config.nadir_mask_deg)
    if mask is not None:
        pixels.write_png(out / "masks" / f"{name}.png", mask)
    measured = quality.measure(grey)
    record = ImageRecord(
        name=name,
        file=f"ingest/{shard}/images/{name}",
        source=file.relative,
        sha256=file.sha256,
        width=header.width,
        height=header.height,
        camera=header.camera + (" 360" if projection == "equirectangular" else ""),
        focal_px=None if projection == "equirectangular" else header.focal_px,
        focal_source="none" if projection == "equirectangular" else header.focal_source,
        projection=projection,
        captured_at=header.captured_at,
        gps=header.gps,
        gimbal_deg=header.gimbal_deg,
        sharpness=measured.sharpness,
        brightness=measured.brightness,
        mask=None if mask is None else f"ingest/{shard}/masks/{name}.png",
    )
    return record, measured


def take_video(
    file: SourceFile,
    shard: int,
    out: Path,
    config: Ingest,
    telemetry: SourceFile | None = None,
    poses: Sequence[SourceFile] = (),
    frames: Sequence[DepthFiles] = (),
) -> dict[str, Any]:
    """Put a video under ``out/videos`` (and a panorama's mask under ``out/masks``); the row of ``videos.json``. Raises InputError
    with the reason to skip it.

    ``telemetry`` is what its device wrote beside it; ``poses`` and ``frames`` what a tablet or glasses did, whose depth images are
    packed beside it.
    """
    info = video.probe(Path(file.path), config.max_pixels)
    stored = f"videos/{file.name}"
    copy(Path(file.path), out / stored)
    track = track_of(file, telemetry, info.duration_s)
    row = {"file": stored, "source": file.relative, "name": file.name, "sha256": file.sha256, **asdict(info)}
    if info.projection == "equirectangular" and config.nadir_mask_deg:
        pixels.write_png(out / "masks" / f"{file.name}.png", nadir_mask(info.width, info.height, config.nadir_mask_deg))
        row["mask"] = f"ingest/{shard}/masks/{file.name}.png"
    elif info.lens:
        pixels.write_png(out / "masks" / f"{file.name}.png", info.lens.mask(info.width, info.height))
        row["mask"] = f"ingest/{shard}/masks/{file.name}.png"
    row |= {"telemetry": None if track is None else track.as_json(), "device": None}
    if poses or frames:
        lying = info.rotation_deg in (90, 270)
        size = (info.height, info.width) if lying else (info.width, info.height)
        measured = pack_frames(frames, out / stored) if frames else ()
        row["device"] = track_of_video(file, poses, [pair.depth for pair in frames], size, measured).as_json()
    return row


def copy(source: Path, target: Path) -> None:
    """A copy that shares blocks with its source where the file system can (FICLONE), so that a big video costs nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as read, target.open("xb") as written:
        if not _blocks_shared(read.fileno(), written.fileno()):
            shutil.copyfileobj(read, written, 1 << 20)


def _blocks_shared(source: int, target: int) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:  # another device, or a file system without it
        return False
    return True


def _copied(path: Path, target: Path, header: Header) -> NDArray[np.uint8] | None:
    """The (H, W) grey pixels of the photo copied as it is; None, and no copy, where the loader sees another picture than the header."""
    copy(path, target)
    try:
        grey = pixels.read_grey(target)
        if grey.shape == (header.height, header.width):
            return grey
    except InputError:
        pass  # the conversion, which is tried next, says what is wrong with it
    target.unlink()
    return None


def _converted(path: Path, target: Path, max_pixels: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    rgb, mask = photos.read_pixels(path, max_pixels)
    if target.suffix == ".png":
        pixels.write_png(target, rgb)
    else:
        pixels.write_jpeg(target, rgb)
    return pixels.read_grey(target), mask
