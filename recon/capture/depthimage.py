"""Measured depth of a photo: read from a device's image, checked, upright, in metres, with what its error is like.

Depth is along z of the camera, over the whole photo at a size of its own: pixel (u, v) of a (h, w) depth image shows the photo's
(u * W / w, v * H / h).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from recon.capture.depthpixels import read_pixels
from recon.errors import InputError

MILLIMETRE_M = 0.001
MAX_DEPTH_M = 100.0
"""Sensors for rooms end before; more is a mark for 'nothing', or another unit."""
SAME_SHAPE = 0.02
"""Width over height of a depth image may differ from its photo's by this share: sizes are whole pixels."""
BASE_SIGMA_M = 0.01
QUADRATIC_SIGMA = 0.0015
"""Standard deviation of a depth z in metres: ``hypot(BASE_SIGMA_M, QUADRATIC_SIGMA * z**2)``. The second is the random error of
structured light (Khoshelham and Elberink, Sensors 12, 2012: 1.4 mm at 1 m, 3.6 cm at 5 m), the first what studies of tablets' laser
scanners find near by (Luetzenburg et al., Scientific Reports 11, 2021: 1 cm). ``georef`` scales it by what the model says."""
_UNSURE = 64
"""Confidence (of 255) below which a pixel has no depth: a device's lowest of three steps."""
_NOTHING = 65535
"""What sensors write for no depth, beside 0."""
TURNED = (5, 6, 7, 8)
"""EXIF's orientations that change width and height."""


@dataclass(frozen=True)
class DepthImage:
    """What a device measured."""

    depth_m: NDArray[np.float32]
    """(h, w) along z of the camera, metres, 0 where nothing was measured."""
    confidence: NDArray[np.uint8]
    """(h, w), 255 is certain, 0 where nothing was measured."""

    @property
    def sigma_m(self) -> NDArray[np.float32]:
        """(h, w) standard deviation by range; twice that where the device is half sure. 0 where nothing was measured."""
        by_range = np.hypot(np.float32(BASE_SIGMA_M), np.float32(QUADRATIC_SIGMA) * self.depth_m**2)
        doubt = 255 / np.maximum(self.confidence, 1).astype(np.float32)
        return np.where(self.depth_m > 0, by_range * doubt, np.float32(0))

    @property
    def range_m(self) -> tuple[float, float]:
        """Least and greatest depth."""
        known = self.depth_m[self.depth_m > 0]
        return float(known.min()), float(known.max())

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, depth_m=self.depth_m, confidence=self.confidence)

    @classmethod
    def load(cls, path: Path) -> DepthImage:
        with np.load(path) as arrays:
            return cls(arrays["depth_m"], arrays["confidence"])


def read_depth(file: Path | IO[bytes], unit_m: float, max_pixels: int, size: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """(h, w) metres along z as the file lies, 0 for none: NaN, infinity, negative values and what lies beyond ``MAX_DEPTH_M``.

    ``unit_m`` is that of integers; floats are metres. ``size`` is width and height of a file that does not say them. Raises InputError
    where no pixel has a depth.
    """
    raw = read_pixels(file, np.float32, max_pixels, size)
    metres = raw.astype(np.float32) * np.float32(unit_m if raw.dtype.kind == "u" else 1.0)
    known = np.isfinite(metres) & (metres > 0) & (metres <= MAX_DEPTH_M)
    if raw.dtype.kind == "u":
        known &= raw != _NOTHING
    if not known.any():
        raise InputError(f"none of its {raw.size} pixels has a depth")
    return np.where(known, metres, np.float32(0))


def read_confidence(file: Path | IO[bytes], shape: tuple[int, ...], max_pixels: int) -> NDArray[np.uint8]:
    """(h, w) 0..255 from a device's 0..2 or 0..255. Raises InputError where it does not fit a depth image of that shape."""
    steps = read_pixels(file, np.uint8, max_pixels, (shape[1], shape[0]))
    if steps.shape != shape:
        raise InputError(f"{steps.shape[1]} x {steps.shape[0]} pixels, its depth image has {shape[1]} x {shape[0]}")
    full = 2.0 if steps.max(initial=0) <= 2 else 255.0
    return np.asarray(np.clip(np.nan_to_num(np.asarray(steps, np.float32)) * (255.0 / full) + 0.5, 0, 255), np.uint8)


def depth_image(metres: NDArray[np.float32], sure: NDArray[np.uint8] | None, turn: int, size: tuple[int, int]) -> DepthImage:
    """Of a photo of (width, height), which is upright: ``turn`` (EXIF's orientation of the photo) turns what does not stand yet.

    What the device is least sure of is no depth. Raises InputError where nothing is left, or the shape is not the photo's.
    """
    sure = np.full(metres.shape, 255, np.uint8) if sure is None else sure
    known = (metres > 0) & (sure >= _UNSURE)
    if not known.any():
        raise InputError("the device is sure of no pixel's depth")
    turned = turn_of(metres.shape, turn, size)
    depth_m, confidence = turned(np.where(known, metres, np.float32(0))), turned(np.where(known, sure, np.uint8(0)))
    return DepthImage(np.ascontiguousarray(depth_m), np.ascontiguousarray(confidence))


def turn_of(shape: tuple[int, ...], turn: int, size: tuple[int, int]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """What turns an image of (h, w) as its photo: nothing where it stands upright already."""
    height, width = shape
    if turn in TURNED and _alike(height / width, size):
        return TURNS[turn]
    if not _alike(width / height, size):
        raise InputError(f"{width} x {height} pixels are of another shape than its photo's {size[0]} x {size[1]}")
    return _same if turn in TURNED else TURNS.get(turn, _same)


def _same(image: NDArray[Any]) -> NDArray[Any]:
    return image


def _alike(aspect: float, size: tuple[int, int]) -> bool:
    return abs(aspect * size[1] / size[0] - 1) <= SAME_SHAPE


TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image.T, 2),
    8: np.rot90,
}
"""What EXIF's orientations 2 to 8 ask for."""
