"""The JPEG inside a raw photo, where LibRaw is not installed: cameras and phones keep one to show, often of full size.

DNG and most makers' formats are TIFF inside: the preview is an image of its own, in the main chain or below one [DNG 1.7, "SubIFD Trees"].
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin

from recon.capture.pixels import check_size
from recon.errors import InputError

LEAST_PX = 1000
"""A smaller preview is a thumbnail, and not worth reconstructing from."""
_SUB_IFDS, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _STRIP_BYTES, _JPEG_AT, _JPEG_BYTES, _ORIENTATION = 330, 259, 262, 273, 279, 513, 514, 274
_JPEG = (6, 7)
_RAW = (32803, 34892)
"""What a sensor gives: its JPEG is a lossless one, which no viewer shows."""
_MOST_DIRECTORIES = 64
_REMEDY = "pip install 'recon[raw]' for LibRaw, or convert to JPEG or TIFF"


def preview_size(path: Path, max_pixels: int) -> tuple[int, int]:
    """Width and height, upright, of the preview. Raises InputError where there is none that will do."""
    with _preview(path, max_pixels) as image:
        return image.size if _turn(image) < 5 else image.size[::-1]


def preview_rgb(path: Path, max_pixels: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of the preview, upright. Raises InputError."""
    try:
        with _preview(path, max_pixels) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"the preview in the raw photo is damaged: {error}") from None


def _preview(path: Path, max_pixels: int) -> Image.Image:
    """The largest JPEG in the file, opened; its EXIF says how the raw photo is turned."""
    best: Image.Image | None = None
    turn = 1
    try:
        with warnings.catch_warnings(action="ignore"), path.open("rb") as stream:
            for tags in _directories(stream):
                turn = int(tags.get(_ORIENTATION, turn)) if best is None else turn
                found = _jpeg(stream, tags)
                if found is not None and (best is None or found.width > best.width):
                    best = found
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error, OverflowError) as error:
        raise InputError(f"no raw photo that can be read: {error}", _REMEDY) from None
    if best is None or max(best.size) < LEAST_PX:
        size = "no preview" if best is None else f"a preview of {best.width} x {best.height} pixels"
        raise InputError(f"raw photos need LibRaw, and this one has {size} to use instead", _REMEDY)
    check_size(*best.size, max_pixels)
    if _turn(best) == 1:
        best.getexif()[_ORIENTATION] = turn
    return best


def _turn(image: Image.Image) -> int:
    return int(image.getexif().get(_ORIENTATION, 1))


def _directories(stream: Any) -> Iterator[Any]:
    """All directories of a TIFF, the main ones before those below them."""
    head = TiffImagePlugin.ImageFileDirectory_v2(stream.read(8))
    wanted, seen = [head.next], set[int]()
    while wanted and len(seen) < _MOST_DIRECTORIES:
        offset = wanted.pop(0)
        if not offset or offset in seen:
            continue
        seen.add(offset)
        head.reset()
        stream.seek(offset)
        head.load(stream)
        tags = dict(head)
        wanted += [head.next, *_numbers(tags.get(_SUB_IFDS))]
        yield tags


def _jpeg(stream: Any, tags: dict[int, Any]) -> Image.Image | None:
    """The JPEG that a directory names; None where it names none, or one of raw values."""
    at, count = _numbers(tags.get(_JPEG_AT)), _numbers(tags.get(_JPEG_BYTES))
    if not at and tags.get(_COMPRESSION) in _JPEG and tags.get(_PHOTOMETRIC) not in _RAW:
        at, count = _numbers(tags.get(_STRIPS)), _numbers(tags.get(_STRIP_BYTES))
    if len(at) != 1 or len(count) != 1:
        return None
    stream.seek(at[0])
    try:
        image = Image.open(io.BytesIO(stream.read(count[0])), formats=("JPEG",))
    except (OSError, SyntaxError):
        return None
    return image if image.mode in ("RGB", "L") else None


def _numbers(value: Any) -> list[int]:
    if value is None:
        return []
    return [int(part) for part in (value if isinstance(value, tuple | list) else (value,))]
