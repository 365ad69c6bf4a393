"""From depth maps to points: what several views agree on, once each.

One reference view is fused at a time, in bands of rows, with a bounded number of neighbours. A pixel's depth survives
where enough neighbours have seen the same surface (their depth there agrees and projects back to the pixel), is averaged
along its ray so that no single view can pull it away (Huber's mean about the median), and becomes a point unless a
neighbour that agrees sees it at finer resolution: that one makes the point.

What a point's error is like shows in the depth maps themselves, whatever its cause (texture, noise, slant, baseline,
sub-pixel steps): in how far the views scatter along the ray, and in how far the fused depth departs from a plane around
the pixel. Both are measured in a small window and added up; see ``SCATTER`` and ``ROUGHNESS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recon.dense.view import Points, View

SCATTER = 1.72
"""Variance of a point per variance of the mean of its views, were they independent. They are not: a pair gives both its views
their depth. With ``ROUGHNESS`` fitted to simulated scenes (``bench/errors.py`` measures what came of it)."""
INDEPENDENT = 6
"""More views than this do not lower it further: what all of them smooth away, another does not bring back."""
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

HUBER = 2.0
"""Views within so many deviations of the median count in full, those beyond less and less."""
RIGHT_PX = 2.0
"""A point is right within this many pixel footprints of the surface: what ``confidence`` is the chance of."""

NOISY = 5.0
"""Points are dropped whose error in pixel footprints is so many times the median of their view."""
BAND_PX = 1 << 19
"""Pixels of the reference that are fused at once."""
SPECKLE_PX = 60
"""Smaller islands of a view's fused depth are dropped: what floats is small."""
WINDOW_RADIUS_PX = 3

SEAM = 1.003
"""Where two views are this close to equally fine both make the point: each rounds for itself, and a seam must not stay open."""


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


Neighbours = Callable[[], Iterable[tuple[int, Seen]]]
"""Gives the neighbours with their index in image order, once a band: each may be let go before the next."""


@dataclass(frozen=True)
class _Fused:
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
    """No other view that agrees is finer."""

    @classmethod
    def nothing(cls, height: int, width: int) -> _Fused:
        size = (height, width)
        depth, variance, information = (np.zeros(size, np.float32) for _ in range(3))
        count, against = (np.zeros(size, np.uint8) for _ in range(2))
        return cls(depth, variance, information, count, against, np.zeros((*size, 3), np.uint8), np.ones(size, np.bool_))


def fuse_view(index: int, reference: Seen, neighbours: Neighbours, agreement: Agreement) -> Points:
    """The points that the reference view (``index`` in image order) is the one to make."""
    height, width = reference.depth.shape
    fused = _Fused.nothing(height, width)
    rows = max(1, BAND_PX // width)
    for first in range(0, height, rows):
        _fuse_band(index, reference, neighbours, agreement, slice(first, min(first + rows, height)), fused)
    _drop_speckles(fused.depth)
    return _points(reference, fused, agreement)


def _fuse_band(index: int, reference: Seen, neighbours: Neighbours, agreement: Agreement, band: slice, fused: _Fused) -> None:
    depth = np.ascontiguousarray(reference.depth[band])
    own = np.asarray(reference.confidence[band] / np.float32(255), np.float32)
    along, weight = [depth], [own]
    rgb_sum = reference.rgb[band] * own[..., None]
    for j, other in neighbours():
        there, back = _pixel_to_pixel(reference, other), _pixel_to_pixel(other, reference)
        said, trusted = np.zeros_like(depth), np.zeros_like(depth)
        _collect(
            depth, other.depth, other.confidence, other.rgb, *there, *back, band.start,
            (other.view.center - reference.view.center) @ reference.view.R.T, _ray_from_pixel(reference.K),
            reference.K[0, 0], other.K[0, 0], j < index, agreement.max_depth_error, agreement.max_reproj_error_px,
            said, trusted, rgb_sum, fused.against[band], fused.information[band], fused.owned[band],
        )  # fmt: skip
        along.append(said)
        weight.append(trusted)
    _merge(
        np.stack(along), np.stack(weight), rgb_sum, fused.against[band], max(2, agreement.min_views - 1), HUBER, INDEPENDENT,
        fused.depth[band], fused.variance[band], fused.count[band], fused.rgb[band],
    )  # fmt: skip


def _points(reference: Seen, fused: _Fused, agreement: Agreement) -> Points:
    ray = _ray_from_pixel(reference.K)
    v, u = np.nonzero((fused.depth > 0) & fused.owned)
    normal, shape = np.zeros((len(u), 3), np.float32), np.zeros((len(u), 2), np.float32)
    _windows(fused.depth, fused.variance, ray, WINDOW_RADIUS_PX, agreement.max_depth_error, v, u, normal, shape)
    flat = (normal != 0).any(1)
    v, u, normal, shape = v[flat], u[flat], normal[flat], shape[flat].astype(np.float64)
    z, count = fused.depth[v, u].astype(np.float64), fused.count[v, u]
    in_cam = np.column_stack([u, v, np.ones(len(u))]) @ ray.T * z[:, None]
    length = np.linalg.norm(in_cam, axis=1)
    # pixels times depth over focal length is a length across the ray, the sine of the angle turns it into one along it
    step = STEP_PX**2 / reference.K[0, 0] ** 2 / np.maximum(fused.information[v, u], 1e-12)
    variance = (SCATTER * shape[:, 0] + ROUGHNESS * shape[:, 1] + step) * np.where(count == 2, PAIR, 1.0)
    sigma, footprint = length * np.sqrt(variance), length / reference.K[0, 0]
    cosine = np.abs((in_cam * normal).sum(1)) / length
    confidence = _confidence(RIGHT_PX * footprint / (cosine * sigma), count, fused.against[v, u])
    points = Points(
        xyz=(in_cam @ reference.view.R + reference.view.center).astype(np.float32),
        normal=(normal.astype(np.float64) @ reference.view.R).astype(np.float32),
        rgb=fused.rgb[v, u],
        confidence=confidence,
        views=count,
        sigma=sigma.astype(np.float32),
    )
    noise = sigma / footprint
    quiet = noise <= NOISY * np.median(noise) if len(noise) else np.zeros(0, np.bool_)
    return points.take(quiet & ((count >= agreement.min_views) | (confidence >= agreement.pair_confidence)))


def _confidence(margin: NDArray[np.float64], count: NDArray[np.uint8], against: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The chance that a point's error is below ``margin`` sigmas, times that of not being a common mistake of its views."""
    from scipy.special import stdtr

    net = np.maximum(count.astype(np.float64) - against, 1)
    return np.asarray((2 * stdtr(TAIL, margin) - 1) * (1 - DOUBT * 0.5 ** (net - 2)), np.float32)


def spacing(xyz: NDArray[np.float32], seen: Seen) -> NDArray[np.float32]:
    """(N,) how far apart the pixels of a view lie on a surface that faces it, at points (N, 3)."""
    distance = np.linalg.norm(xyz.astype(np.float64) - seen.view.center, axis=1)
    return np.asarray(distance / seen.K[0, 0], np.float32)


def _ray_from_pixel(K: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3): a pixel index (the first pixel is 0, 0) to its ray at z = 1."""
    corner = K.copy()
    corner[:2, 2] -= 0.5
    return np.asarray(np.linalg.inv(corner), np.float64)


def _pixel_to_pixel(source: Seen, target: Seen) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """M, m: depth * M @ (u, v, 1) + m is the homogeneous pixel index in the target, its last entry the depth there."""
    ray = _ray_from_pixel(source.K)
    to_pixel = np.linalg.inv(_ray_from_pixel(target.K))
    R = target.view.R @ source.view.R.T
    return to_pixel @ R @ ray, to_pixel @ (target.view.t - R @ source.view.t)


@njit(nogil=True, cache=True)
def _collect(  # type: ignore[no-untyped-def]
    depth, other_depth, other_confidence, other_rgb, there, there_shift, back, back_shift, first_row, baseline, ray, focal, other_focal,
    other_first, max_depth_error, max_reproj_error_px, said, trusted, rgb_sum, against, information, owned,
):  # fmt: skip
    """What one other view says of each pixel of a band: ``said`` the depth along the pixel's ray where it agrees, else 0."""
    height, width = depth.shape
    other_height, other_width = other_depth.shape
    for y in range(height):
        row = y + first_row
        for x in range(width):
            z = np.float64(depth[y, x])
            if not z > 0:
                continue
            w = z * (there[2, 0] * x + there[2, 1] * row + there[2, 2]) + there_shift[2]
            if w <= 0:
                continue
            u = (z * (there[0, 0] * x + there[0, 1] * row + there[0, 2]) + there_shift[0]) / w
            v = (z * (there[1, 0] * x + there[1, 1] * row + there[1, 2]) + there_shift[1]) / w
            if not (u > -0.5 and v > -0.5 and u < other_width - 0.5 and v < other_height - 0.5):
                continue
            iu, iv = int(u + 0.5), int(v + 0.5)
            d = np.float64(other_depth[iv, iu])
            if not d > 0:
                continue
            if abs(d - w) > max_depth_error * w:
                # the other view looks through this point at something behind it
                if d > w and other_confidence[iv, iu] >= 128:
                    against[y, x] += 1
                continue
            s = d * (back[2, 0] * iu + back[2, 1] * iv + back[2, 2]) + back_shift[2]
            if s <= 0:
                continue
            du = (d * (back[0, 0] * iu + back[0, 1] * iv + back[0, 2]) + back_shift[0]) / s - x
            dv = (d * (back[1, 0] * iu + back[1, 1] * iv + back[1, 2]) + back_shift[1]) / s - row
            if du * du + dv * dv > max_reproj_error_px * max_reproj_error_px:
                continue
            said[y, x] = z * _between(other_depth, u, v, d, max_depth_error) / w
            confidence = np.float32(max(other_confidence[iv, iu], 1)) / np.float32(255)
            trusted[y, x] = confidence
            for channel in range(3):
                rgb_sum[y, x, channel] += confidence * other_rgb[iv, iu, channel]
            # sine of the angle between the two rays, from the triangle of the two centres and the point
            px = z * (ray[0, 0] * x + ray[0, 1] * row + ray[0, 2])
            py = z * (ray[1, 0] * x + ray[1, 1] * row + ray[1, 2])
            qx, qy, qz = px - baseline[0], py - baseline[1], z - baseline[2]
            cx, cy, cz = py * qz - z * qy, z * qx - px * qz, px * qy - py * qx
            near, far = px * px + py * py + z * z, qx * qx + qy * qy + qz * qz
            information[y, x] += np.float32((cx * cx + cy * cy + cz * cz) / (near * far))
            # by distance and not by depth: side by side, views of one depth would all be equal
            finer = other_focal * np.sqrt(near) / (focal * np.sqrt(far))
            if finer > SEAM or (finer == 1.0 and other_first):
                owned[y, x] = False


@njit(nogil=True, cache=True)
def _between(depth, u, v, nearest, max_step):  # type: ignore[no-untyped-def]
    """Depth at (u, v), linear in inverse depth, which is exact on planes; the nearest pixel's beside holes and steps."""
    x, y = int(np.floor(u)), int(np.floor(v))
    if x < 0 or y < 0 or x + 1 >= depth.shape[1] or y + 1 >= depth.shape[0]:
        return nearest
    a, b, c, d = np.float64(depth[y, x]), np.float64(depth[y, x + 1]), np.float64(depth[y + 1, x]), np.float64(depth[y + 1, x + 1])
    low, high = min(min(a, b), min(c, d)), max(max(a, b), max(c, d))
    if not low > 0 or high - low > 2 * max_step * nearest:
        return nearest
    fx, fy = u - x, v - y
    return 1.0 / ((1 - fy) * ((1 - fx) / a + fx / b) + fy * ((1 - fx) / c + fx / d))


@njit(nogil=True, cache=True)
def _merge(along, weight, rgb_sum, against, min_views, huber, independent, depth, variance, count, rgb):  # type: ignore[no-untyped-def]
    """Huber's mean of what the views say along each ray, and the variance of that mean over its square."""
    most, height, width = along.shape
    value, trust, sorted_ = np.empty(most), np.empty(most), np.empty(most)
    for y in range(height):
        for x in range(width):
            if not along[0, y, x] > 0:
                continue
            n = 0
            for k in range(most):
                if along[k, y, x] > 0:
                    value[n] = along[k, y, x]
                    trust[n] = max(weight[k, y, x], 1e-3)
                    n += 1
            count[y, x] = n
            if n < min_views or 2 * against[y, x] >= n:
                continue
            total = 0.0
            for k in range(n):
                sorted_[k] = value[k]
                total += trust[k]
            middle = _median(sorted_, n)
            for k in range(n):
                sorted_[k] = abs(value[k] - middle)
            reach = huber * max(1.4826 * _median(sorted_, n), 1e-4 * middle)
            mean = middle
            for _ in range(2):
                sums = weights = 0.0
                for k in range(n):
                    w = trust[k] * min(1.0, reach / max(abs(value[k] - mean), 1e-30))
                    sums += w * value[k]
                    weights += w
                mean = sums / weights
            squares = 0.0
            for k in range(n):
                squares += trust[k] * (value[k] - mean) ** 2
            depth[y, x] = mean
            variance[y, x] = squares / total * n / (n - 1) / min(n, independent) / mean**2
            total = max(weight[0, y, x], 0.0)
            for k in range(1, most):
                total += weight[k, y, x]
            for channel in range(3):
                rgb[y, x, channel] = np.uint8(rgb_sum[y, x, channel] / max(total, 1e-6) + 0.5)


@njit(nogil=True, cache=True)
def _median(values, n):  # type: ignore[no-untyped-def]
    """Of the first n values, which are sorted in place."""
    for i in range(1, n):
        value, j = values[i], i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value
    return 0.5 * (values[(n - 1) // 2] + values[n // 2])


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


def _drop_speckles(depth: NDArray[np.float32]) -> None:
    from recon.dense.stereo import drop_speckles

    drop_speckles(depth, SPECKLE_PX)
