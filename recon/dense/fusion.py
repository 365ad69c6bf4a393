"""From depth maps to points: what several views agree on, once each.

One reference view is fused at a time, in bands of rows, with a bounded number of neighbours. A pixel's depth survives
where enough neighbours have seen the same surface (their depth there agrees and projects back to the pixel), is averaged
along its ray so that no single view can pull it away (Huber's mean about the median), and becomes a point unless a
neighbour that agrees, and is sure enough to keep it, sees it at finer resolution: that one makes the point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recon.dense.fused import Agreement, Fused, Seen, make_points, ray_from_pixel
from recon.dense.view import Points
from recon.stage import one
from recon.threads import in_parts

INDEPENDENT = 6
"""More views than this do not lower it further: what all of them smooth away, another does not bring back."""
HUBER = 2.0
"""Views within so many deviations of the median count in full, those beyond less and less."""
BAND_PX = 1 << 19
"""Pixels of the reference that are fused at once."""
SPECKLE_PX = 60
"""Smaller islands of a view's fused depth are dropped: what floats is small."""
OWNS = 100
"""A finer view makes the point from this confidence (of 255) on: where its own pairs contradict each other it may well drop it."""
SEAM = 1.003
"""Where two views are this close to equally fine both make the point: each rounds for itself, and a seam must not stay open."""

Look = Callable[[int], Seen]
"""Gives a view by its index in image order, once a band: it may be let go before the next."""


def fuse_view(index: int, neighbours: Sequence[int], look: Look, agreement: Agreement, threads: Callable[[], int] = one) -> Points:
    """The points that the view ``index`` in image order is the one to make, on as many ``threads`` as there are at each step."""
    reference = look(index)
    height, width = reference.depth.shape
    fused = Fused.nothing(height, width)
    rows = max(1, BAND_PX // width)
    room = _Said.room(1 + len(neighbours), min(rows, height), width)
    for first in range(0, height, rows):
        said = room.begin(reference, slice(first, min(first + rows, height)))
        for n, other in enumerate(neighbours, 1):
            in_parts(partial(said.ask, n, reference, look(other), other < index, agreement, fused), said.rows, threads())
        in_parts(partial(said.merge, max(2, agreement.min_views - 1), fused), said.rows, threads())
    _drop_speckles(fused.depth)
    return make_points(reference, fused, agreement, threads())


@dataclass(frozen=True)
class _Said:
    """What the views say of a band of the reference's rows; the reference itself comes first."""

    start: int
    depth: NDArray[np.float32]
    """(K, h, w) along the reference's rays, 0 where a view does not agree."""
    weight: NDArray[np.float32]
    rgb_sum: NDArray[np.float32]
    """(h, w, 3) of all views, by weight."""

    @classmethod
    def room(cls, views: int, height: int, width: int) -> _Said:
        """Memory for all bands in turn: fresh memory for each takes longer than what is done in it."""
        depth, weight = (np.empty((views, height, width), np.float32) for _ in range(2))
        return cls(0, depth, weight, np.empty((height, width, 3), np.float32))

    @property
    def rows(self) -> int:
        return len(self.rgb_sum)

    def begin(self, reference: Seen, band: slice) -> _Said:
        """In the same memory, with what the reference says."""
        rows = band.stop - band.start
        said = _Said(band.start, self.depth[:, :rows], self.weight[:, :rows], self.rgb_sum[:rows])
        said.depth[0] = reference.depth[band]
        np.divide(reference.confidence[band], np.float32(255), out=said.weight[0])
        np.multiply(reference.rgb[band], said.weight[0, ..., None], out=said.rgb_sum)
        return said

    def ask(
        self, n: int, reference: Seen, other: Seen, other_first: bool, agreement: Agreement, fused: Fused, first: int, last: int
    ) -> None:
        """What the n-th view says of some rows of the band."""
        part, whole = slice(first, last), slice(self.start + first, self.start + last)
        _collect(
            self.depth[0, part], other.depth, other.confidence, other.rgb,
            *_pixel_to_pixel(reference, other), *_pixel_to_pixel(other, reference), whole.start,
            (other.view.center - reference.view.center) @ reference.view.R.T, ray_from_pixel(reference.K),
            reference.K[0, 0], other.K[0, 0], other_first, agreement.max_depth_error, agreement.max_reproj_error_px,
            self.depth[n, part], self.weight[n, part], self.rgb_sum[part],
            fused.against[whole], fused.information[whole], fused.owned[whole],
        )  # fmt: skip

    def merge(self, least: int, fused: Fused, first: int, last: int) -> None:
        """The mean of all that was said of some rows of the band."""
        part, whole = slice(first, last), slice(self.start + first, self.start + last)
        _merge(
            self.depth[:, part], self.weight[:, part], self.rgb_sum[part], fused.against[whole], least, HUBER, INDEPENDENT,
            fused.depth[whole], fused.variance[whole], fused.count[whole], fused.rgb[whole],
        )  # fmt: skip


def _pixel_to_pixel(source: Seen, target: Seen) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """M, m: depth * M @ (u, v, 1) + m is the homogeneous pixel index in the target, its last entry the depth there."""
    ray = ray_from_pixel(source.K)
    to_pixel = np.linalg.inv(ray_from_pixel(target.K))
    R = target.view.R @ source.view.R.T
    return to_pixel @ R @ ray, to_pixel @ (target.view.t - R @ source.view.t)


@njit(nogil=True, cache=True)
def _collect(  # type: ignore[no-untyped-def]
    depth, other_depth, other_confidence, other_rgb, there, there_shift, back, back_shift, first_row, baseline, ray, focal, other_focal,
    other_first, max_depth_error, max_reproj_error_px, said, trusted, rgb_sum, against, information, owned,
):  # fmt: skip
    """What one other view says of each pixel of some rows: ``said`` the depth along the pixel's ray where it agrees, else 0."""
    height, width = depth.shape
    other_height, other_width = other_depth.shape
    for y in range(height):
        row = y + first_row
        for x in range(width):
            said[y, x] = trusted[y, x] = 0
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
            if other_confidence[iv, iu] >= OWNS and (finer > SEAM or (finer == 1.0 and other_first)):
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
            middle = median(sorted_, n)
            for k in range(n):
                sorted_[k] = abs(value[k] - middle)
            reach = huber * max(1.4826 * median(sorted_, n), 1e-4 * middle)
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
def median(values, n):  # type: ignore[no-untyped-def]
    """Of the first n values, at least one, which are sorted in place."""
    for i in range(1, n):
        value, j = values[i], i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value
    return 0.5 * (values[(n - 1) // 2] + values[n // 2])


def _drop_speckles(depth: NDArray[np.float32]) -> None:
    from recon.dense.stereo import drop_speckles

    drop_speckles(depth, SPECKLE_PX)
