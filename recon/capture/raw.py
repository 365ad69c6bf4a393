"""Camera raw files (DNG, NEF, CR3, ...) through LibRaw, where the ``raw`` extra is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import InputError

try:
    import rawpy
except ImportError:
    rawpy = None


def available() -> bool:
    return rawpy is not None


def size(path: Path) -> tuple[int, int]:
    """Width and height, upright, of the developed photo. Raises InputError."""
    with _opened(path) as opened:
        sizes = opened.sizes
        width, height = sizes.width, sizes.height
        # LibRaw's flip: 5 and 6 are quarter turns
        return (height, width) if sizes.flip in (5, 6) else (width, height)


def develop(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 sRGB, upright, with the camera's white balance and a fixed exposure, so that photos stay alike."""
    try:
        with _opened(path) as opened:
            return np.asarray(opened.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=8), dtype=np.uint8)
    except rawpy.LibRawError as error:
        raise InputError(f"damaged raw photo: {error}") from None


def _opened(path: Path) -> Any:
    try:
        with path.open("rb") as stream:  # a name that is not UTF-8 does not reach LibRaw
            return rawpy.imread(stream)
    except rawpy.LibRawError as error:
        raise InputError(f"not a raw photo that LibRaw reads: {error}") from None
