"""Pixels of depth and confidence images as devices store them: PNG, TIFF, OpenEXR, and bare numbers compressed with LZFSE or zlib."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from recon.capture.pixels import check_size
from recon.errors import InputError

try:
    import OpenEXR
except ImportError:
    OpenEXR = None
try:
    import lzfse
except ImportError:
    lzfse = None

_LEAST_BLOCK = 8
"""Bytes of the shortest header of an LZFSE block."""
BARE = (".depth", ".conf")
_CHANNELS = ("R", "Y", "Z", "G")
"""Of an EXR image the first of these holds the depth: Record3D repeats it in R, G and B."""
_MAX_CHANNELS = 8
_SLACK_BYTES = 1 << 16
"""So much longer than twice its pixels a packed depth image may be; more is not read."""
_INSTALL = "pip install 'recon[tablet]'"


def read_pixels(file: Path | IO[bytes], bare: Any, max_pixels: int, size: tuple[int, int] | None = None) -> NDArray[Any]:
    """(h, w) uint16 (whatever integers there are) or float32. Raises InputError for damage, and where a library is missing.

    Bare numbers are of the type ``bare``, and of ``size`` (width, height).
    """
    suffix = file.suffix.lower() if isinstance(file, Path) else ".png"
    if isinstance(file, Path) and suffix == ".exr":
        pixels = _exr(file, max_pixels)
    elif isinstance(file, Path) and suffix in BARE:
        pixels = _bare(file, np.dtype(bare), max_pixels, size)
    else:
        pixels = _picture(file, max_pixels)
    if pixels.ndim != 2 or pixels.dtype.kind not in "uif":
        raise InputError(f"{pixels.ndim - 1} channels of {pixels.dtype}: no depth")
    return pixels.astype(np.float32, copy=False) if pixels.dtype.kind == "f" else np.clip(pixels, 0, 65535).astype(np.uint16)


def _picture(file: Path | IO[bytes], max_pixels: int) -> NDArray[Any]:
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file, formats=("PNG", "TIFF")) as image:
            check_size(image.width, image.height, max_pixels)
            return np.asarray(image)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"damaged: {error}") from None


def _exr(path: Path, max_pixels: int) -> NDArray[np.float32]:
    if OpenEXR is None:
        raise InputError(f"EXR images can't be read without OpenEXR: {_INSTALL}")
    try:
        parts = OpenEXR.File(str(path), header_only=True).parts
        _check_exr([part.header for part in parts], max_pixels)
        channels = OpenEXR.File(str(path), separate_channels=True).channels()
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"damaged: {str(error).splitlines()[0].replace(str(path), path.name)}") from None
    name = next((name for name in _CHANNELS if name in channels), None) or next(iter(channels), None)
    if name is None:
        raise InputError("an EXR image without channels")
    return np.asarray(channels[name].pixels, np.float32)


def _check_exr(headers: Sequence[Mapping[str, Any]], max_pixels: int) -> None:
    """Raises InputError where more would be decoded than one image: the library reads every channel of every part."""
    if len(headers) != 1:
        raise InputError(f"an EXR file of {len(headers)} images: a depth image is one")
    low, high = headers[0]["dataWindow"]
    check_size(int(high[0]) - int(low[0]) + 1, int(high[1]) - int(low[1]) + 1, max_pixels)
    if len(headers[0]["channels"]) > _MAX_CHANNELS:
        raise InputError(f"an EXR image of {len(headers[0]['channels'])} channels: a depth image has at most {_MAX_CHANNELS}")


def _bare(path: Path, kind: np.dtype[Any], max_pixels: int, size: tuple[int, int] | None) -> NDArray[Any]:
    if size is None:
        raise InputError("nothing states its width and height")
    width, height = size
    check_size(width, height, max_pixels)
    wanted = width * height * kind.itemsize
    if (packed := path.stat().st_size) > 2 * wanted + _SLACK_BYTES:
        raise InputError(f"{packed} bytes are no compressed depth of {width} x {height} of {kind}")
    raw = _unpacked(path.read_bytes(), wanted)
    if len(raw) != wanted:
        raise InputError(f"{len(raw)} bytes of depth are not {width} x {height} of {kind}")
    return np.frombuffer(raw, kind.newbyteorder("<")).reshape(height, width)


def _unpacked(packed: bytes, wanted: int) -> bytes:
    """LZFSE's blocks start with bvx, zlib's stream with 0x78; what is as long as it should be is not compressed."""
    if len(packed) == wanted and not packed.startswith(b"bvx"):
        return packed
    if packed[:1] == b"\x78":
        try:
            return zlib.decompressobj().decompress(packed, wanted + 1)
        except zlib.error as error:
            raise InputError(f"damaged: {error}") from None
    if lzfse is None:
        raise InputError(f"Record3D's depth can't be read without lzfse: {_INSTALL}")
    if _unpacked_size(packed) > wanted:
        raise InputError(f"it unpacks to more than the {wanted} bytes that it should")
    try:
        return bytes(lzfse.decompress(packed))
    except (lzfse.error, MemoryError):
        raise InputError("damaged: no LZFSE stream") from None


def _unpacked_size(packed: bytes) -> int:
    """What the blocks of an LZFSE stream say that they unpack to, all together (Apple's lzfse_internal.h): asked before any is unpacked."""
    total = at = 0
    while (kind := packed[at : at + 4]) != b"bvx$":
        stated = int.from_bytes(packed[at + 4 : at + 8], "little")
        if kind == b"bvx-":
            length = 8 + stated
        elif kind == b"bvxn":
            length = 12 + int.from_bytes(packed[at + 8 : at + 12], "little")
        elif kind == b"bvx2" and at + 32 <= len(packed):
            literals, matches, header = struct.unpack_from("<3Q", packed, at + 8)
            length = (header & 0xFFFFFFFF) + (literals >> 20 & 0xFFFFF) + (matches >> 40 & 0xFFFFF)
        else:
            raise InputError("damaged: no LZFSE stream")
        if length < _LEAST_BLOCK:  # a header that leads back to itself would never end
            raise InputError("damaged: no LZFSE stream")
        total, at = total + stated, at + length
    return total
