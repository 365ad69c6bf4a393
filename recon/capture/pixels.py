"""The one way pixels enter the pipeline: 8 bit, upright, RGB or grey."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from recon.errors import InputError, NotFound, TooLarge


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise TooLarge beyond max_pixels: to be asked before anything is decoded."""
    if width * height > max_pixels:
        raise TooLarge(f"{width} x {height} pixels are more than the limit of {max_pixels:,} (ingest.max_pixels)")


def read_rgb(path: Path, max_size_px: int | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of an image file, upright (EXIF orientation applied), any alpha dropped.

    With ``max_size_px`` the longer side is shrunk to at most that by area averaging, which keeps pixel centres: K's rows
    scale by the size ratios. Raises NotFound for a file that can't be read, InputError for one that is no image.
    """
    return shrink(_decode(path, cv2.IMREAD_COLOR_RGB), max_size_px)


def read_grey(path: Path, max_size_px: int | None = None) -> NDArray[np.uint8]:
    """(H, W) uint8 luma of an image file, upright; else as ``read_rgb``."""
    return shrink(_decode(path, cv2.IMREAD_GRAYSCALE), max_size_px)


def shrink(image: NDArray[np.uint8], max_size_px: int | None) -> NDArray[np.uint8]:
    """The image with its longer side at most max_size_px, area-averaged; unchanged if it is smaller or no limit is given."""
    height, width = image.shape[:2]
    if max_size_px is None or max(width, height) <= max_size_px:
        return image
    scale = max_size_px / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def write_jpeg(path: Path, rgb: NDArray[np.uint8], quality: int = 97) -> None:
    """A JPEG without chroma subsampling of (H, W, 3) RGB or (H, W) grey; parents are made."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _write(path, ".jpg", rgb, options)


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """A lossless PNG of (H, W, 3) RGB or (H, W) grey; parents are made."""
    _write(path, ".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 3])


def _write(path: Path, suffix: str, image: NDArray[np.uint8], options: list[int]) -> None:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, encoded = cv2.imencode(suffix, bgr, options)
    if not done:
        raise InputError(f"{path.name}: an image of {image.shape} can't be encoded as {suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded.tobytes())


def _decode(path: Path, flags: int) -> NDArray[np.uint8]:
    # Not cv2.imread: it takes no path that is not UTF-8, and says "None" for a missing file and a broken one alike.
    try:
        encoded = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise NotFound(f"{path} can't be read: {error.strerror or error}") from None
    image = cv2.imdecode(encoded, flags) if encoded.size else None
    if image is None:
        raise InputError(f"{path} is not an image that can be decoded")
    return np.asarray(image, dtype=np.uint8)
