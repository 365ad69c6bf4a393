"""Depth that a sensor measured, beside what the images say: where they say nothing, it is all there is.

A sensor's depth is coarse but sees plain walls, and far ones as well as near ones; stereo is sharp but sees texture alone, and the
worse the farther. Where both agree they are averaged by precision, and the confidence grows: near by a detail stays as sharp as
stereo has it, far off a wall is as even as the sensor has it. Where they disagree stereo's depth stays if several pairs agree on
it; the sensor's takes the place of none, and of what a single pair claims against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from recon.capture.depthimage import DepthImage
from recon.dense.undistort import Undistorter
from recon.dense.view import DepthMap

ALONE = 0.6
"""Confidence of what a sensor is sure of and no pair sees: more than a single pair's, less than that of two which agree."""
STRONG = 0.6
"""Stereo of at least this confidence (two pairs that agree, none against them, have 2/3) stays where the sensor contradicts it."""
WITHIN = 3.0
"""Standard deviations within which both agree."""
STEREO_PX = 0.5
"""Standard deviation of one pair's disparity, where texture is not of the best."""
STEP = 0.05
"""Relative step of depth between neighbours from which on a pixel lies on an edge: the sensor mixes what is before and behind it."""
_SMOOTH_PX = 5
_SMOOTH_SIGMA_PX = 1.5


@dataclass(frozen=True)
class MeasuredDepth:
    """A sensor's depth in a pinhole view, at the sensor's size."""

    depth: NDArray[np.float32]
    """(h, w) along z, world units, 0 where unknown."""
    sigma: NDArray[np.float32]
    """(h, w) standard deviation, world units."""
    confidence: NDArray[np.float32]
    """(h, w) 0..1: how sure the device is."""

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> MeasuredDepth:
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})


def undistorted(image: DepthImage, undistorter: Undistorter, world_from_metres: float, sigma_factor: float) -> MeasuredDepth:
    """A photo's measured depth in its undistorted view; noise is smoothed within surfaces, and edges are left out."""
    sigma_m = image.sigma_m * np.float32(sigma_factor)
    known = image.depth_m > 0
    typical_m = float(np.median(sigma_m[known]))
    # zeros are far from any depth: the filter mixes none of them in
    smooth = cv2.bilateralFilter(image.depth_m, _SMOOTH_PX, 2 * typical_m, _SMOOTH_SIGMA_PX)
    depth_m = np.where(known & ~_on_edge(image.depth_m), smooth, np.float32(0))
    columns, rows = undistorter.source_of_target(image.depth_m.shape[::-1])
    nearest = (np.rint(rows).astype(int).clip(0, len(depth_m) - 1), np.rint(columns).astype(int).clip(0, depth_m.shape[1] - 1))
    return MeasuredDepth(
        _sampled(depth_m, columns, rows) * np.float32(world_from_metres),
        sigma_m[nearest] * np.float32(world_from_metres),
        image.confidence[nearest].astype(np.float32) / 255,
    )


def with_measured(stereo: DepthMap, measured: MeasuredDepth, usable: NDArray[np.bool_], focal_baseline: float = np.inf) -> DepthMap:
    """Both together, at stereo's size; nothing where the view is masked (``usable`` (h, w) is false).

    ``focal_baseline``: pixels of stereo's size times world units, of a usual one of the pairs; unless it is known stereo counts as exact.
    """
    depth, confidence = stereo.depth.copy(), stereo.confidence.copy()
    _combine(
        depth, confidence, usable, measured.depth, measured.sigma, measured.confidence,
        np.float32(ALONE), np.float32(STRONG), np.float32(WITHIN), np.float32(STEP), np.float32(STEREO_PX / focal_baseline),
    )  # fmt: skip
    return DepthMap(depth, confidence, stereo.K)


def _on_edge(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(h, w) whether a pixel's neighbours differ by more than ``STEP``; unknown ones don't count."""
    kernel = np.ones((3, 3), np.uint8)
    high = cv2.dilate(depth, kernel)
    low = cv2.erode(np.where(depth > 0, depth, np.float32(np.inf)), kernel)
    return np.asarray(high / (1 + STEP) > low)


def _sampled(depth: NDArray[np.float32], columns: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth at pixel indices, linear in inverse depth, which is exact on planes; 0 where a neighbour is unknown."""
    with np.errstate(divide="ignore"):
        inverse = np.where(depth > 0, 1 / depth, np.float32(np.nan)).astype(np.float32)
    at = cv2.remap(inverse, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan)
    return np.asarray(np.nan_to_num(1 / at, nan=0.0, posinf=0.0, neginf=0.0), np.float32)


@njit(nogil=True, cache=True)
def _combine(depth, confidence, usable, measured, sigma, sure, alone, strong, within, step, inverse_sigma):  # type: ignore[no-untyped-def]
    height, width = depth.shape
    rows, columns = measured.shape
    for y in range(height):
        v = min(max((y + 0.5) * rows / height - 0.5, 0.0), rows - 1.0)
        v0 = min(int(v), max(rows - 2, 0))
        v1 = min(v0 + 1, rows - 1)
        fv = np.float32(v - v0)
        for x in range(width):
            if not usable[y, x]:
                continue
            u = min(max((x + 0.5) * columns / width - 0.5, 0.0), columns - 1.0)
            u0 = min(int(u), max(columns - 2, 0))
            u1 = min(u0 + 1, columns - 1)
            fu = np.float32(u - u0)
            a, b, c, d = measured[v0, u0], measured[v0, u1], measured[v1, u0], measured[v1, u1]
            low, high = min(min(a, b), min(c, d)), max(max(a, b), max(c, d))
            if not low > 0 or high > (1 + step) * low:
                continue
            m = 1 / ((1 - fv) * ((1 - fu) / a + fu / b) + fv * ((1 - fu) / c + fu / d))
            v_near, u_near = v1 if fv > 0.5 else v0, u1 if fu > 0.5 else u0
            trust = alone * sure[v_near, u_near]
            z, k = depth[y, x], confidence[y, x]
            if not z > 0:
                depth[y, x], confidence[y, x] = m, trust
                continue
            of_sensor = sigma[v_near, u_near] ** 2
            # n pairs that agree, and none against them, have the confidence n / (n + 1)
            of_stereo = (inverse_sigma * z * z) ** 2 / max(np.float32(1), k / max(1 - k, np.float32(1e-3)))
            if (z - m) ** 2 <= within * within * (of_sensor + of_stereo):
                depth[y, x] = m + (z - m) * of_sensor / (of_sensor + of_stereo)
                confidence[y, x] = 1 - (1 - k) * (1 - trust)
            elif k < strong:
                depth[y, x], confidence[y, x] = m, trust * (1 - k)
