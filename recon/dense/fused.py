"""A view's depth after fusion, and the points that it makes.

What a point's error is like shows in the depth maps themselves, whatever its cause (texture, noise, slant, baseline,
sub-pixel steps): in how far the views scatter along the ray, and in how far the fused depth departs from a plane around
the pixel. Both are measured in a small window and added up; see ``SCATTER`` and ``ROUGHNESS``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recon.dense.view import Points, View
from recon.threads import in_order

SCATTER = 1.72
"""Variance of a point per variance of the mean of its views, were they independent. They are not: a pair gives both its views
their depth. With ``ROUGHNESS`` fitted to simulated scenes (``bench/errors.py`` measures what came of it)."""
ROUGHNESS = 3.94
"""Variance of a point per variance of the fused depth about the plane of its window, which holds only the part of a match's
error that changes within the window."""
STEP_PX = 1 / 16 / 12**0.5
"""Standard deviation of a disparity that is rounded to sixteenths."""
PAIR = 1.5
"""Variance of a point of two views over what the above make of it: where one pair gave both their depth, they scatter too little."""
TAIL = 5.0
"""Degrees of freedom of Student's distribution, which true errors over their sigma follow: more far ones than Gauss allows."""
DOUBT = 0.15
"""Chance that a point which only two views confirm lies on no surface near; each further view takes half of it."""

RIGHT_PX = 2.0
"""A point is right within this many pixel footprints of the surface: what ``confidence`` is the chance of."""

NOISY = 5.0
"""Points are dropped whose error in pixel footprints is so many times the median of their view."""
BAND_PX = 1 << 19
"""Pixels of which points are made at once, on all threads."""
WINDOW_RADIUS_PX = 3


@dataclass(frozen=True)
class Agreement:
    """When two views see the same surface."""

    min_views: int
    pair_confidence: float
    """Points that one view fewer confirms, but two at least, stay from this confidence on."""
    max_depth_error: float
    """Relative."""
    max_reproj_error_px: float


@dataclass(frozen=True)
class Seen:
    """A view with its depth map."""

    view: View
    depth: NDArray[np.float32]
    """(h, w) along z, world units, 0 where unknown."""
    confidence: NDArray[np.uint8]
    """(h, w), 255 is certain."""
    rgb: NDArray[np.uint8]
    """(h, w, 3) at the size of the depth map."""
    K: NDArray[np.float64]
    """(3, 3) px at this size, first pixel's centre at (0.5, 0.5)."""


@dataclass(frozen=True)
class Fused:
    """A view's depth after fusion; (h, w) each."""

    depth: NDArray[np.float32]
    """0 where too few agree."""
    variance: NDArray[np.float32]
    """Of the mean along the ray, over depth squared, had the views nothing in common."""
    information: NDArray[np.float32]
    """Sum over the other views that agree of the squared sine of the angle between the rays."""
    count: NDArray[np.uint8]
    against: NDArray[np.uint8]
    """Views that look through the point."""
    rgb: NDArray[np.uint8]
    owned: NDArray[np.bool_]
    """No other view that agrees and is sure enough is finer."""

    @classmethod
    def nothing(cls, height: int, width: int) -> Fused:
        size = (height, width)
        depth, variance, information = (np.zeros(size, np.float32) for _ in range(3))
        count, against = (np.zeros(size, np.uint8) for _ in range(2))
        return cls(depth, variance, information, count, against, np.zeros((*size, 3), np.uint8), np.ones(size, np.bool_))


def make_points(reference: Seen, fused: Fused, agreement: Agreement, threads: int = 1) -> Points:
    """The points that the view makes, by bands of rows: one takes a hundred bytes and more until it is made."""
    parts, noises, kept = [], [], []
    rows = max(1, BAND_PX // (threads * fused.depth.shape[1]))
    bands = range(0, len(fused.depth), rows)
    for points, noise in in_order(lambda first: _band_points(reference, fused, agreement, first, rows), bands, threads):
        keep = (points.views >= agreement.min_views) | (points.confidence >= agreement.pair_confidence)
        parts.append(points.take(keep))
        noises.append(noise)
        kept.append(noise[keep])
    all_noise = np.concatenate(noises)
    limit = NOISY * np.median(all_noise) if len(all_noise) else 0.0
    for number, noise in enumerate(kept):
        parts[number] = parts[number].take(noise <= limit)
    return Points.concatenate(parts)


def _band_points(reference: Seen, fused: Fused, agreement: Agreement, first: int, rows: int) -> tuple[Points, NDArray[np.float32]]:
    """The points of some rows, and (N,) the error of each in pixel footprints."""
    ray = ray_from_pixel(reference.K)
    v, u = np.nonzero((fused.depth[first : first + rows] > 0) & fused.owned[first : first + rows])
    v += first
    normal, shape = np.zeros((len(u), 3), np.float32), np.zeros((len(u), 2), np.float32)
    _windows(fused.depth, fused.variance, ray, WINDOW_RADIUS_PX, agreement.max_depth_error, v, u, normal, shape)
    flat = (normal != 0).any(1)
    v, u, normal, shape = v[flat], u[flat], normal[flat], shape[flat].astype(np.float64)
    z, count = fused.depth[v, u].astype(np.float64), fused.count[v, u]
    in_cam = _turned(np.stack([u, v, np.ones(len(u))]), ray) * z[:, None]
    length = np.linalg.norm(in_cam, axis=1)
    # pixels times depth over focal length is a length across the ray, the sine of the angle turns it into one along it
    step = STEP_PX**2 / reference.K[0, 0] ** 2 / np.maximum(fused.information[v, u], 1e-12)
    variance = (SCATTER * shape[:, 0] + ROUGHNESS * shape[:, 1] + step) * np.where(count == 2, PAIR, 1.0)
    sigma, footprint = length * np.sqrt(variance), length / reference.K[0, 0]
    cosine = np.abs((in_cam * normal).sum(1)) / length
    confidence = _confidence(RIGHT_PX * footprint / (cosine * sigma), count, fused.against[v, u])
    points = Points(
        xyz=(_turned(in_cam.T, reference.view.R.T) + reference.view.center).astype(np.float32),
        normal=_turned(normal.T.astype(np.float64), reference.view.R.T).astype(np.float32),
        rgb=fused.rgb[v, u],
        confidence=confidence,
        views=count,
        sigma=sigma.astype(np.float32),
    )
    return points, (sigma / footprint).astype(np.float32)


def _turned(vectors: NDArray[np.float64], R: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) R times (3, N): in one order of sums, where that of a matrix library depends on N."""
    x, y, z = vectors
    return np.stack([row[0] * x + row[1] * y + row[2] * z for row in R], axis=1)


def _confidence(margin: NDArray[np.float64], count: NDArray[np.uint8], against: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The chance that a point's error is below ``margin`` sigmas, times that of not being a common mistake of its views."""
    from scipy.special import stdtr

    net = np.maximum(count.astype(np.float64) - against, 1)
    return np.asarray((2 * stdtr(TAIL, margin) - 1) * (1 - DOUBT * 0.5 ** (net - 2)), np.float32)


def spacing(xyz: NDArray[np.float32], seen: Seen) -> NDArray[np.float32]:
    """(N,) how far apart the pixels of a view lie on a surface that faces it, at points (N, 3)."""
    distance = np.linalg.norm(xyz.astype(np.float64) - seen.view.center, axis=1)
    return np.asarray(distance / seen.K[0, 0], np.float32)


def ray_from_pixel(K: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3): a pixel index (the first pixel is 0, 0) to its ray at z = 1."""
    corner = K.copy()
    corner[:2, 2] -= 0.5
    return np.asarray(np.linalg.inv(corner), np.float64)


@njit(nogil=True, cache=True)
def _windows(depth, variance, ray, radius, max_step, rows, columns, normal, shape):  # type: ignore[no-untyped-def]
    """For each pixel the unit normal towards the camera, and the variances (mean of the views', about the plane) over depth squared.

    A plane has an inverse depth that is linear in the pixel, fitted to a window. The normal is 0 where too little is known.
    """
    height, width = depth.shape
    for i in range(len(rows)):
        x, y = columns[i], rows[i]
        z = depth[y, x]
        n = 0.0
        sx = sy = sw = sxx = sxy = syy = sxw = syw = sww = sv = 0.0
        for dy in range(max(-radius, -y), min(radius, height - 1 - y) + 1):
            for dx in range(max(-radius, -x), min(radius, width - 1 - x) + 1):
                other = depth[y + dy, x + dx]
                if not other > 0 or abs(other - z) > max_step * z * 2:
                    continue
                w = z / other - 1.0
                n += 1.0
                sx += dx
                sy += dy
                sw += w
                sxx += dx * dx
                sxy += dx * dy
                syy += dy * dy
                sxw += dx * w
                syw += dy * w
                sww += w * w
                sv += variance[y + dy, x + dx]
        if n < 8:
            continue
        sxx -= sx * sx / n
        sxy -= sx * sy / n
        syy -= sy * sy / n
        sxw -= sx * sw / n
        syw -= sy * sw / n
        sww -= sw * sw / n
        det = sxx * syy - sxy * sxy
        if det < 1e-3 * (sxx + syy):
            continue
        a = (syy * sxw - sxy * syw) / det
        b = (sxx * syw - sxy * sxw) / det
        c = 1.0 + (sw - a * sx - b * sy) / n - a * x - b * y
        # inverse depth = (a, b, c) . pixel = normal . ray / distance, so the normal is K^T (a, b, c)
        fx, fy = 1.0 / ray[0, 0], 1.0 / ray[1, 1]
        nx = -a * fx
        ny = -b * fy
        nz = -(c - a * ray[0, 2] * fx - b * ray[1, 2] * fy)
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
        normal[i, 0] = nx / length
        normal[i, 1] = ny / length
        normal[i, 2] = nz / length
        shape[i, 0] = sv / n
        shape[i, 1] = max(sww - a * sxw - b * syw, 0.0) / (n - 3)
