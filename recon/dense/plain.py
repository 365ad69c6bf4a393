"""Surfaces without texture: a plane through what surrounds them, or nothing.

Where a rectified image is plain, matching follows noise and its own smoothness term. Such a segment gets the plane that
the matched pixels around it lie in, if they do lie in one and surround it, and where the other image looks alike; else
its disparity is unknown, as that of the sky is. In a rectified pair a plane is an affine function of the pixel.
(Piecewise planar priors after Xu and Tao: "Planar prior assisted PatchMatch multi-view stereo", AAAI 2020.)
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SMOOTHING_PX = 1.5
WINDOW_PX = 11
NOISE_SHARE = 0.4
"""A pixel is plain where the smoothed image deviates by less than this share of the noise, which itself leaves 0.19 of it ..."""
LEAST_DEVIATION = (0.3, 1.5)
"""... but between these limits, in grey levels: the rounding to whole grey levels shows even without noise."""
LEAST_PX = 400
"""Smaller segments are left to the matcher, whose smoothness reaches across them."""
RING_PX = 12
LEAST_SUPPORT = 40
TOLERANCE_PX = 0.75
LEAST_INLIERS = 0.6
"""Share of the ring's disparities that must lie in the plane."""
LEAST_SURROUNDED = 0.7
"""Share of the segment that must lie within the convex hull of what supports the plane."""
MAX_DIFFERENCE = 4.0
"""Grey levels between the smoothed images, beside their common difference."""
LEAST_ALIKE = 0.7
TRIALS = 128
MAX_SAMPLES = 4000

Windows = tuple[NDArray[np.uint8], NDArray[np.uint8]]
Map = NDArray[np.float32]
Plane = NDArray[np.float64]


def settle_plain(windows: Windows, usable: tuple[NDArray[np.bool_], NDArray[np.bool_]], disparities: tuple[Map, Map]) -> None:
    """Give each plain segment of both (h, wl) and (h, wr) windows a plane of disparities or NaN, in place.

    ``usable`` is false outside the image and where it is masked.
    """
    smooth = [_smoothed(window, seen) for window, seen in zip(windows, usable, strict=True)]
    given = [disparity.copy() for disparity in disparities]
    for side, sign in ((0, -1), (1, 1)):
        plain = _plain(smooth[side], usable[side], float(np.clip(NOISE_SHARE * noise(windows[side], usable[side]), *LEAST_DEVIATION)))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(plain.astype(np.uint8), connectivity=4)
        for label in range(1, count):
            if stats[label, cv2.CC_STAT_AREA] < LEAST_PX:
                continue
            x, y, w, h = (int(value) for value in stats[label, :4])
            rows = slice(max(y - RING_PX, 0), y + h + RING_PX)
            columns = slice(max(x - RING_PX, 0), x + w + RING_PX)
            segment = labels[rows, columns] == label
            ring = _dilated(segment, RING_PX) & usable[side][rows, columns] & ~plain[rows, columns]
            corner = (columns.start, rows.start)
            found = _planar(segment, ring, given[side][rows, columns], smooth[side][rows, columns], smooth[1 - side], corner, sign)
            disparities[side][rows, columns][segment] = found[segment]


def _smoothed(window: NDArray[np.uint8], usable: NDArray[np.bool_]) -> Map:
    """What is not usable lends nothing to its neighbours."""
    weight = cv2.GaussianBlur(usable.astype(np.float32), (0, 0), SMOOTHING_PX)
    weighted = cv2.GaussianBlur(np.where(usable, window, 0).astype(np.float32), (0, 0), SMOOTHING_PX)
    return np.asarray(weighted / np.maximum(weight, 1e-3), np.float32)


def noise(window: NDArray[np.uint8], usable: NDArray[np.bool_]) -> float:
    """Standard deviation of a window's noise, grey levels, where the picture is smoothest.

    After Immerkaer, "Fast noise variance estimation" (1996): what a difference of two Laplacians leaves, whose gain is 6.
    """
    inner = cv2.erode(usable.astype(np.uint8), np.ones((WINDOW_PX + 2, WINDOW_PX + 2), np.uint8), borderValue=0)[::3, ::3] > 0
    if not inner.any():
        return 0.0
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    left = cv2.filter2D(window, cv2.CV_32F, kernel)
    energy = cv2.blur(left * left, (WINDOW_PX, WINDOW_PX))[::3, ::3]
    return float(np.sqrt(np.percentile(energy[inner], 1))) / 6


def _plain(image: Map, usable: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """(h, w) pixels without texture around them, and those beside them up to the edge that shows in their window."""
    core = usable & (_deviation(image, usable, WINDOW_PX) < least)
    return np.asarray(_dilated(core, WINDOW_PX // 2) & usable & (_deviation(image, usable, 3) < least) | core)


def _deviation(image: Map, usable: NDArray[np.bool_], window_px: int) -> Map:
    """(h, w) standard deviation in a window of the usable pixels."""
    size = (window_px, window_px)
    count = np.maximum(cv2.blur(usable.astype(np.float32), size), 1e-3)
    known = np.where(usable, image, np.float32(0))
    mean = cv2.blur(known, size) / count
    return np.asarray(np.sqrt(np.maximum(cv2.blur(known * known, size) / count - mean * mean, 0)), np.float32)


def _dilated(segment: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    return np.asarray(cv2.dilate(segment.astype(np.uint8), np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)) > 0)


def _planar(
    segment: NDArray[np.bool_], ring: NDArray[np.bool_], disparity: Map, grey: Map, other: Map, corner: tuple[int, int], sign: int
) -> Map:
    """(h, w) disparities of the plane that holds the segment, NaN where there is none or the ``other`` image differs."""
    nothing = np.full(segment.shape, np.nan, np.float32)
    y, x = np.nonzero(ring & ~np.isnan(disparity))
    plane = fit_plane(x, y, disparity[y, x])
    if plane is None:
        return nothing
    coefficients, inlier = plane
    hull = cv2.convexHull(np.column_stack([x[inlier], y[inlier]]).astype(np.int32))
    within = cv2.fillConvexPoly(np.zeros(segment.shape, np.uint8), hull, 1) > 0
    if (segment & within).sum() < LEAST_SURROUNDED * segment.sum():
        return nothing
    u, v = np.meshgrid(np.arange(segment.shape[1], dtype=np.float32), np.arange(segment.shape[0], dtype=np.float32))
    filled = np.asarray(coefficients[0] * u + coefficients[1] * v + coefficients[2], np.float32)
    there = cv2.remap(
        other, u + corner[0] + sign * filled, v + corner[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=-1000
    )
    difference = grey - there
    # the two exposures may differ: what the segment's pixels differ by in common says nothing against them
    alike = np.abs(difference - np.median(difference[segment & within])) <= MAX_DIFFERENCE
    if (segment & within & alike).sum() < LEAST_ALIKE * segment.sum():
        return nothing
    return np.where(segment & within & alike, filled, nothing)


def fit_plane(
    x: NDArray[np.int64], y: NDArray[np.int64], disparity: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """(3,) a, b, c of ``a x + b y + c`` and the (N,) samples that lie in it; None where too few do. The same each time."""
    if len(x) < LEAST_SUPPORT:
        return None
    u, v, value = x.astype(np.float64), y.astype(np.float64), disparity.astype(np.float64)
    some = np.arange(0, len(x), -(-len(x) // MAX_SAMPLES))
    triples = np.random.default_rng(0).integers(0, len(x), (TRIALS, 3))
    corners = np.stack([u[triples], v[triples], np.ones(triples.shape)], 2)
    sound = np.abs(np.linalg.det(corners)) > 1.0
    if not sound.any():
        return None
    candidates = np.linalg.solve(corners[sound], value[triples[sound]][..., None])[..., 0]
    plane = candidates[int(np.argmax([_in_plane(candidate, u[some], v[some], value[some]).sum() for candidate in candidates]))]
    for _ in range(3):
        inlier = _in_plane(plane, u, v, value)
        if inlier.sum() < max(LEAST_SUPPORT, LEAST_INLIERS * len(x)):
            return None
        plane = _least_squares(u[inlier], v[inlier], value[inlier])
    return plane, _in_plane(plane, u, v, value)


def _in_plane(plane: Plane, u: Plane, v: Plane, value: Plane) -> NDArray[np.bool_]:
    return np.asarray(np.abs(plane[0] * u + plane[1] * v + plane[2] - value) <= TOLERANCE_PX)


def _least_squares(u: Plane, v: Plane, value: Plane) -> Plane:
    """By sums alone: those of a matrix library may depend on the number of its threads."""
    mean_u, mean_v, mean = u.mean(), v.mean(), value.mean()
    du, dv, dw = u - mean_u, v - mean_v, value - mean
    uu, uv, vv = (du * du).sum(), (du * dv).sum(), (dv * dv).sum()
    det = uu * vv - uv * uv
    if det <= 1e-9 * max(uu * vv, 1.0):  # all in one line
        return np.array([0.0, 0.0, mean])
    a = (vv * (du * dw).sum() - uv * (dv * dw).sum()) / det
    b = (uu * (dv * dw).sum() - uv * (du * dw).sum()) / det
    return np.array([a, b, mean - a * mean_u - b * mean_v])
