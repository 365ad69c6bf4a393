"""One photo file: what its header says, and its pixels as 8-bit RGB, upright."""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from recon.capture import dji, dronexmp, raw, rawpreview
from recon.capture.exif import Exif, FocalSource, read_exif
from recon.capture.names import shown
from recon.capture.panorama import Projection, projection_of_photo
from recon.capture.pixels import check_size
from recon.capture.records import Gps
from recon.capture.source import RAW_SUFFIXES
from recon.errors import InputError, ReconError

pillow_heif.register_heif_opener()
# Pillow's own limit warns from 89 Mpx on, less than one medium-format photo; ours is checked before pixels are decoded
Image.MAX_IMAGE_PIXELS = None

_FORMATS = ("JPEG", "PNG", "TIFF", "HEIF", "AVIF", "WEBP", "BMP")
"""Nothing else is opened, whatever a file is called: Pillow reads EPS by running Ghostscript. JPEG includes MPO."""
_ORIENTATION = 0x0112
_XMP = 0x02BC
_LOSSLESS = frozenset({"PNG", "TIFF", "BMP"})
_SUFFIXES = {"JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"), "PNG": (".png",)}
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    ZeroDivisionError,
    struct.error,
    RuntimeError,
)
"""What Pillow raises on broken files; a MemoryError is not one of them."""


@dataclass(frozen=True)
class Header:
    """What a photo says of itself before its pixels are decoded. Width and height are those of the upright image."""

    format: str
    width: int
    height: int
    verbatim: bool
    """Every reader gets the right 8-bit pixels from the original bytes."""
    camera: str
    focal_px: float | None
    focal_source: FocalSource
    captured_at: str | None
    gps: Gps | None
    gimbal_deg: tuple[float, float, float] | None
    device: str = ""
    """Make and model."""
    projection: Projection | None = None
    """None where the photo does not say: its pixels may."""

    def stored_suffix(self, name: str) -> str:
        """What to append to a photo's name so that it ends as the format it is stored in: nothing, or a suffix."""
        stored = self.format if self.verbatim else "PNG" if self.format in _LOSSLESS else "JPEG"
        return "" if PurePosixPath(name).suffix.lower() in _SUFFIXES[stored] else _SUFFIXES[stored][0]


def read_header(path: Path, max_pixels: int) -> Header:
    """The header of a photo, in about a millisecond. Raises InputError with the reason in words; TooLarge beyond max_pixels."""
    if path.suffix.lower() in RAW_SUFFIXES:
        return _raw_header(path, max_pixels)
    with opened(path, max_pixels) as image:
        _refuse_floats(image)
        width, height = image.size
        exif = image.getexif()
        known = read_exif(exif, width, height)
        packet = _xmp(image)
        xmp = dronexmp.fields(packet, known.camera)
        if exif.get(_ORIENTATION) in (5, 6, 7, 8) and image.format != "TIFF":  # Pillow gives a TIFF's upright size
            width, height = height, width
        form = "JPEG" if image.format == "MPO" else str(image.format)
        header = _header(form, width, height, _is_verbatim(image, path), known, xmp)
        return replace(header, projection=projection_of_photo(packet, width, height))


def _raw_header(path: Path, max_pixels: int) -> Header:
    width, height = raw.size(path) if raw.available() else rawpreview.preview_size(path, max_pixels)
    check_size(width, height, max_pixels)
    exif = Image.Exif()
    try:
        with warnings.catch_warnings(action="ignore"), path.open("rb") as stream:
            exif.load_from_fp(stream)
            known = read_exif(exif, width, height)
            xmp = dronexmp.fields(_bytes(exif.get(_XMP)), known.camera)
    except _DAMAGE:  # most raw formats are TIFF inside, CR3 and RAF are not
        known, xmp = Exif(), {}
    return _header("RAW", width, height, False, known, xmp)


def _header(form: str, width: int, height: int, verbatim: bool, known: Exif, xmp: Mapping[str, float]) -> Header:
    calibrated_px = dji.focal_px(xmp, max(width, height))
    return Header(
        format=form,
        width=width,
        height=height,
        verbatim=verbatim,
        camera=f"{known.camera or 'unknown camera'} {width}x{height}",
        focal_px=calibrated_px or known.focal_px,
        focal_source="exif" if calibrated_px else known.focal_source,
        captured_at=known.captured_at,
        gps=dji.refine_gps(known.gps, xmp),
        gimbal_deg=dji.gimbal_deg(xmp),
        device=known.device,
    )


def orientation(path: Path, max_pixels: int) -> int:
    """EXIF's number for the turn (1: none, 2 to 8) that a photo's pixels were given, or must be given, to stand upright."""
    if path.suffix.lower() in RAW_SUFFIXES:
        return 1
    with opened(path, max_pixels) as image:
        # HEIF is turned as it is opened, and the number kept aside
        turn = image.info.get("original_orientation") or image.getexif().get(_ORIENTATION, 1)
    return turn if turn in range(1, 9) else 1


def read_pixels(path: Path, max_pixels: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """(H, W, 3) uint8 RGB, upright, and where the photo has transparent pixels an (H, W) mask, 0 there and 255 elsewhere.

    16 bits are cut to 8. Raises InputError for damage (a truncated file, too) and pixels of no such meaning.
    """
    if path.suffix.lower() in RAW_SUFFIXES:
        return raw.develop(path) if raw.available() else rawpreview.preview_rgb(path, max_pixels), None
    with opened(path, max_pixels) as image:
        _refuse_floats(image)
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            grey = np.clip(np.asarray(upright).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2), None
        if not upright.has_transparency_data:
            return np.asarray(upright.convert("RGB")), None
        rgba = np.asarray(upright.convert("RGBA"))
        mask = np.where(rgba[..., 3] < 128, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(rgba[..., :3]), None if mask.all() else mask


def read_preview(path: Path, size_px: int, max_pixels: int) -> NDArray[np.uint8]:
    """(h, w) grey, not rotated, of about size_px or more on the longer side: a JPEG is decoded at 1/2, 1/4 or 1/8."""
    with opened(path, max_pixels) as image:
        share = size_px / max(image.size)
        image.draft("L", (int(image.width * share), int(image.height * share)))
        return np.asarray(image.convert("L"))


@contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    try:
        # Broken EXIF is a warning to Pillow, and nothing to us: the photo is good without it
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=_FORMATS) as image:
            check_size(image.width, image.height, max_pixels)
            yield image
    except ReconError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"not an image{_what_is_it(path)}") from None
    except FileNotFoundError:
        raise InputError("the file is gone") from None
    except _DAMAGE as error:
        raise InputError(f"damaged: {re.sub(r' at 0x[0-9a-f]+', '', shown(str(error)))}") from None


def _refuse_floats(image: Image.Image) -> None:
    if image.mode == "F":
        raise InputError("32-bit float pixels have no defined brightness; convert to 8 or 16 bits")


def _what_is_it(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(512)
    if not start.strip(b"\0"):
        return ", but zeros: the copy broke off"
    if b"\0" not in start and all(byte >= 9 for byte in start):
        return ", but text"
    return " of a known format"


def _is_verbatim(image: Image.Image, path: Path) -> bool:
    if image.format in ("JPEG", "MPO"):
        return image.mode in ("RGB", "L")
    if image.format != "PNG" or image.mode not in ("RGB", "L", "P") or image.has_transparency_data:
        return False
    with path.open("rb") as stream:
        header = stream.read(25)
    return header[24] <= 8  # Pillow shows 16-bit RGB as 8


def _xmp(image: Image.Image) -> bytes:
    return _bytes(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))


def _bytes(packet: Any) -> bytes:
    return packet.encode("utf-8", "replace") if isinstance(packet, str) else bytes(packet or b"")
