"""Is an image sharp, bright enough, and not the one before again: measured on a small copy, in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from recon.capture.pixels import shrink

ANALYSIS_PX = 640
THUMB_PX = 64
_REBLUR_PX = 9
_HASH_PX = 8
_FLAT = 0.02
"""Grey levels of variation, on average, below which an image has no detail to be sharp in."""
_STEP = 1.0
"""Grey levels that rounding alone makes; without them smooth gradients would count as sharp staircases."""
BLURRED = 0.08
"""Sharpness of an image blurred by three pixels of 640: below it there is hardly a keypoint. Real captures have 0.5..0.8."""
BLURRED_CODED = 0.2
"""The same for a frame of video: a codec's blocks look this sharp on a blurred one (H.264, CRF 16 to 32: 0.10 to 0.22)."""
EVEN = 3.0
"""Grey levels that a thumb must span to show anything."""
BLACK = 0.03
"""Grey value, 0..1, below which all of a thumb is black."""


@dataclass(frozen=True)
class Quality:
    sharpness: float
    """0..1, see ``sharpness``."""
    brightness: float
    """Mean grey value, 0..1."""
    clipped: float
    """Share of pixels that are black (< 3) or white (> 252)."""
    thumb: NDArray[np.uint8]
    """(64, 64) grey, whatever the aspect."""


def measure(grey: NDArray[np.uint8]) -> Quality:
    """Of an (H, W) grey image."""
    small = shrink(grey, ANALYSIS_PX)
    thumb = cv2.resize(small, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA)
    clipped = float(np.mean((small < 3) | (small > 252)))
    # noise looks sharp, and must not pass for detail in a blurred image: averaged over four pixels it is weaker, detail is not
    sharp = min(sharpness(small), sharpness(shrink(small, ANALYSIS_PX // 2)))
    return Quality(round(sharp, 4), round(float(small.mean()) / 255, 4), round(clipped, 4), np.asarray(thumb, dtype=np.uint8))


def sharpness(grey: NDArray[np.uint8]) -> float:
    """Share of the variation between neighbours that a blur takes away, 0..1, the worse of both directions.

    The blur effect of Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual blur
    metric" (2007), as 1 - blur: an image blurred before has little left to lose, whatever its contrast. The worse
    direction tells motion blur. 0 for an image without detail.
    """
    image = grey.astype(np.float32)
    shares = []
    for axis, window in ((0, (1, _REBLUR_PX)), (1, (_REBLUR_PX, 1))):
        variation = _steps(image, axis) - np.float32(_STEP)
        variation = cv2.threshold(variation, 0, 0, cv2.THRESH_TOZERO)[1]
        lost = cv2.subtract(variation, _steps(cv2.blur(image, window), axis))
        lost = cv2.threshold(lost, 0, 0, cv2.THRESH_TOZERO)[1]
        mean = cv2.mean(variation)[0]
        shares.append(cv2.mean(lost)[0] / mean if mean > _FLAT else 0.0)
    return min(shares)


def _steps(image: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Absolute difference between neighbours along an axis."""
    steps = cv2.absdiff(image[1:], image[:-1]) if axis == 0 else cv2.absdiff(image[:, 1:], image[:, :-1])
    return np.asarray(steps, dtype=np.float32)


def emptiness(thumb: NDArray[np.uint8]) -> str:
    """Why an image of this thumb shows nothing ("black", "even"), or "" where it shows something."""
    low, high = np.percentile(thumb, (1, 99))
    if high < 255 * BLACK:
        return "black"
    return "even" if high - low < EVEN else ""


def dhash(thumb: NDArray[np.uint8]) -> np.uint64:
    """64-bit difference hash (Krawetz, "Kind of like that", 2013) of a thumb: signs of horizontal grey steps on 8x9 cells."""
    cells = cv2.resize(thumb.astype(np.float32), (_HASH_PX + 1, _HASH_PX), interpolation=cv2.INTER_AREA)
    return np.uint64(np.packbits(np.diff(cells, axis=1) > 0).view(np.uint64)[0])


def difference(thumb: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean and 99th percentile of the absolute difference of two thumbs, grey levels, with their mean brightness made equal."""
    step = thumb.astype(np.float32) - other.astype(np.float32)
    step = np.abs(step - np.median(step))
    return float(step.mean()), float(np.percentile(step, 99))
