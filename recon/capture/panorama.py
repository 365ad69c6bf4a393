"""Whole panoramas (equirectangular): recognised by what photos and videos say of themselves, or by a seam that closes.

Photo Sphere XMP (``GPano``), Google's Spherical Video V1 (an XML box in the video's track) and V2 (``sv3d``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from recon.errors import InputError

Projection = Literal["perspective", "equirectangular"]
_EXPORT = "Export it as a whole equirectangular panorama, twice as wide as high"
_GPANO = re.compile(rb"GPano:(\w+)(?:\s*=\s*[\"']([^\"'<>]*)[\"']|>([^<>]*)<)")
_UUID = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
_V1 = re.compile(rb"<GSpherical:(\w+)>\s*([^<]*?)\s*</")
_INDEX_BYTES = 64 << 20
_SIZE_PX = 512
_SEAM, _POLE = 2.5, 0.35
"""Across the seam pixels may differ by so many times what neighbours do elsewhere, and along the rows at the poles by this share of it.
Ordinary photos of 2:1 had 11 and more, and 0.6 and more at one pole at least."""


def projection_of_photo(xmp: bytes, width: int, height: int) -> Projection | None:
    """What GPano says; None where it says nothing. InputError for panoramas that are not whole, or of another projection."""
    said = {name.decode(): (one or two).decode("utf-8", "replace").strip() for name, one, two in _GPANO.findall(xmp)}
    if not said.get("ProjectionType"):
        return None
    if said["ProjectionType"].lower() != "equirectangular":
        raise InputError(f"a panorama of the projection '{said['ProjectionType']}'", _EXPORT)
    whole = [_number(said.get(f"FullPano{side}Pixels")) for side in ("Width", "Height")]
    shown = [_number(said.get(f"CroppedAreaImage{side}Pixels")) for side in ("Width", "Height")]
    if all(whole) and all(shown) and whole != shown:
        raise InputError(f"a part of a panorama: {shown[0]:.0f} x {shown[1]:.0f} pixels of {whole[0]:.0f} x {whole[1]:.0f}", _EXPORT)
    _check_shape(width, height)
    return "equirectangular"


def projection_of_video(path: Path, width: int, height: int) -> Projection | None:
    """What the container's boxes say; None where they say nothing. InputError for stereo and other projections."""
    index = _index(path)
    if _UUID in index:
        said = dict(_V1.findall(index[index.index(_UUID) :][:20_000]))
        if said.get(b"Spherical", b"").lower() != b"true":
            return None
        projection, stereo = said.get(b"ProjectionType", b"equirectangular"), said.get(b"StereoMode", b"mono")
        layout = {b"top-bottom": 1, b"left-right": 2}.get(stereo, 0)
    elif b"sv3d" in index:
        start = index.index(b"sv3d")
        box = index[start : start + 400]
        projection = next((name for name in (b"equi", b"cbmp", b"mshp") if name in box), b"unknown")
        stereo_box = index.find(b"st3d")
        layout = index[stereo_box + 8] if 0 <= stereo_box < len(index) - 8 else 0
    else:
        return None
    if layout in (1, 2):
        raise InputError("a 360 video for two eyes, one picture above or beside the other", "Export it for one eye (mono)")
    if projection not in (b"equirectangular", b"equi"):
        raise InputError(f"a 360 video of the projection '{projection.decode('ascii', 'replace')}'", _EXPORT)
    _check_shape(width, height)
    return "equirectangular"


def closes(grey: NDArray[np.uint8]) -> bool:
    """Whether an (H, W) picture of 2:1 is a whole panorama: its left side goes on at its right, and its top and bottom rows are points."""
    height, width = grey.shape
    if not may_close(width, height):
        return False
    columns = min(_SIZE_PX, width)
    small = cv2.resize(grey, (columns, columns // 2), interpolation=cv2.INTER_AREA).astype(np.float32)
    steps = np.abs(np.diff(small, axis=1))
    middle = slice(columns // 8, -(columns // 8))
    seam = float(np.abs(small[middle, 0] - small[middle, -1]).mean())
    usual = float(np.median(steps[middle].mean(axis=0)))
    rows = steps.mean(axis=1)
    return usual > 0.2 and seam < _SEAM * usual and max(float(rows[0]), float(rows[-1])) < _POLE * float(np.median(rows))


def may_close(width: int, height: int) -> bool:
    """Whether the shape is that of a whole panorama."""
    return abs(width / height - 2) <= 0.01


def nadir_mask(width: int, height: int, nadir_deg: float) -> NDArray[np.uint8]:
    """(H, W) 255, but 0 up to so many degrees from straight down, where the operator or the tripod is."""
    mask = np.full((height, width), 255, np.uint8)
    mask[height - round(height * nadir_deg / 180) :] = 0
    return mask


def _check_shape(width: int, height: int) -> None:
    if abs(width / height - 2) > 0.02:
        raise InputError(f"a panorama of {width} x {height} pixels: a whole one is twice as wide as high", _EXPORT)


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _index(path: Path) -> bytes:
    """The ``moov`` box of an mp4 or mov; empty for other files, and where it is unusually large."""
    with path.open("rb") as stream:
        while len(header := stream.read(16)) >= 8:
            size, kind, start = int.from_bytes(header[:4], "big"), header[4:8], stream.tell() - len(header)
            if size == 1 and len(header) == 16:
                size = int.from_bytes(header[8:], "big")
            if kind == b"moov":
                stream.seek(start)
                return stream.read(size) if 0 < size <= _INDEX_BYTES else b""
            if size < 8 or not kind.isalnum():
                break
            stream.seek(start + size)
    return b""
