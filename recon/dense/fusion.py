"""From depth maps to points: what several views agree on, once each.

One reference view is fused at a time with a bounded number of neighbours. A pixel's depth survives where enough
neighbours have seen the same surface (their depth there agrees and projects back to the pixel), is averaged along its
ray, and becomes a point unless a neighbour that agrees sees it at finer resolution: that one makes the point.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recon.dense.view import DepthMap, Points, View

SIGMA_DISPARITY_PX = 0.15
"""Standard deviation of a match, from which the expected error of a point follows: with it 68 % of the points of simulated
drone photos lie within one sigma, 95 % within 2.2. Flat, level surfaces are better than that."""

SPECKLE_PX = 60
"""Smaller islands of a view's fused depth are dropped: what floats is small."""
NORMAL_RADIUS_PX = 2

FLOATER_CELL = 8
FLOATER_POINTS = 6
"""A surface fills a cell of FLOATER_CELL point spacings with some 64 points; cells with fewer than these float."""

SEAM = 1.003
"""Where two views are this close to equally fine both make the point: each rounds for itself, and a seam must not stay open."""


@dataclass(frozen=True)
class Agreement:
    """When two views see the same surface."""

    min_views: int
    max_depth_error: float
    """Relative."""
    max_reproj_error_px: float


@dataclass(frozen=True)
class Seen:
    """A view with its depth map."""

    view: View
    map: DepthMap
    rgb: NDArray[np.uint8]
    """(h, w, 3) at the size of the depth map."""


def fuse_view(index: int, reference: Seen, neighbours: Iterable[tuple[int, Seen]], agreement: Agreement) -> Points:
    """The points that the reference view (``index`` in image order) is the one to make."""
    depth = reference.map.depth
    ray_sum = depth * reference.map.confidence
    rgb_sum = reference.rgb * reference.map.confidence[..., None]
    weights = reference.map.confidence.copy()
    count = (depth > 0).astype(np.uint8)
    against = np.zeros(depth.shape, np.uint8)
    information = np.zeros(depth.shape, np.float32)
    owned = np.ones(depth.shape, np.bool_)
    for j, other in neighbours:
        there, back = _pixel_to_pixel(reference, other), _pixel_to_pixel(other, reference)
        _collect(
            depth, other.map.depth, other.map.confidence, other.rgb, *there, *back,
            (other.view.center - reference.view.center) @ reference.view.R.T, _ray_from_pixel(reference.map.K),
            reference.map.K[0, 0], other.map.K[0, 0], j < index, agreement.max_depth_error, agreement.max_reproj_error_px,
            ray_sum, rgb_sum, weights, count, against, information, owned,
        )  # fmt: skip
    valid = (count >= agreement.min_views) & (against < count)
    fused = np.where(valid, ray_sum / np.maximum(weights, np.float32(1e-6)), np.float32(0))
    _drop_speckles(fused)
    normal = np.zeros((*depth.shape, 3), np.float32)
    _normals(fused, _ray_from_pixel(reference.map.K), NORMAL_RADIUS_PX, agreement.max_depth_error, normal)
    keep = (fused > 0) & owned & (normal != 0).any(2)
    rgb = np.rint(rgb_sum / np.maximum(weights, np.float32(1e-6))[..., None]).astype(np.uint8)
    return _points(reference, fused, normal, rgb, count, weights, information, keep)


def _points(
    reference: Seen,
    depth: NDArray[np.float32],
    normal: NDArray[np.float32],
    rgb: NDArray[np.uint8],
    count: NDArray[np.uint8],
    weights: NDArray[np.float32],
    information: NDArray[np.float32],
    keep: NDArray[np.bool_],
) -> Points:
    v, u = np.nonzero(keep)
    z = depth[keep].astype(np.float64)
    K, R = reference.map.K, reference.view.R
    in_cam = np.column_stack([(u + 0.5 - K[0, 2]) / K[0, 0] * z, (v + 0.5 - K[1, 2]) / K[1, 1] * z, z])
    # along the ray: pixels times depth over focal length is a length across it, the sine of the angle turns it into one along
    sigma = SIGMA_DISPARITY_PX * z / K[0, 0] / np.sqrt(np.maximum(information[keep], 1e-12))
    return Points(
        xyz=(in_cam @ R + reference.view.center).astype(np.float32),
        normal=(normal[keep].astype(np.float64) @ R).astype(np.float32),
        rgb=rgb[keep],
        confidence=(np.minimum(weights[keep] / count[keep], 1) * (1 - 1 / count[keep].astype(np.float64))).astype(np.float32),
        views=count[keep],
        sigma=sigma.astype(np.float32),
    )


def spacing(xyz: NDArray[np.float32], seen: Seen) -> NDArray[np.float32]:
    """(N,) how far apart the pixels of a view lie on a surface that faces it, at points (N, 3)."""
    distance = np.linalg.norm(xyz.astype(np.float64) - seen.view.center, axis=1)
    return np.asarray(distance / seen.map.K[0, 0], np.float32)


def floating(xyz: NDArray[np.float32], spacing: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N,) whether a point has too few others around it, for the ``spacing`` (N,) that is expected there.

    Counts in two grids, one shifted by half a cell, so that no point is judged by a cell's corner.
    """
    if not len(xyz):
        return np.zeros(0, np.bool_)
    level = np.ceil(np.log2(np.maximum(spacing, 1e-30))).astype(np.int64)
    cell = FLOATER_CELL * np.exp2(level.astype(np.float64))
    most = np.zeros(len(xyz), np.int64)
    for shift in (0.0, 0.5):
        at = np.floor(xyz.astype(np.float64) / cell[:, None] + shift).astype(np.int64)
        # equal keys of different cells are possible and harmless: a floater would stay
        key = ((at[:, 0] * 73856093) ^ (at[:, 1] * 19349669) ^ (at[:, 2] * 83492791)) * 64 + level % 64
        _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
        most = np.maximum(most, counts[inverse])
    return np.asarray(most < FLOATER_POINTS)


def _ray_from_pixel(K: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3): a pixel index (the first pixel is 0, 0) to its ray at z = 1."""
    corner = K.copy()
    corner[:2, 2] -= 0.5
    return np.asarray(np.linalg.inv(corner), np.float64)


def _pixel_to_pixel(source: Seen, target: Seen) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """M, m: depth * M @ (u, v, 1) + m is the homogeneous pixel index in the target, its last entry the depth there."""
    ray = _ray_from_pixel(source.map.K)
    to_pixel = np.linalg.inv(_ray_from_pixel(target.map.K))
    R = target.view.R @ source.view.R.T
    return to_pixel @ R @ ray, to_pixel @ (target.view.t - R @ source.view.t)


@njit(nogil=True, cache=True)
def _collect(  # type: ignore[no-untyped-def]
    depth, other_depth, other_confidence, other_rgb, there, there_shift, back, back_shift, baseline, ray, focal, other_focal, other_first,
    max_depth_error, max_reproj_error_px, ray_sum, rgb_sum, weights, count, against, information, owned,
):  # fmt: skip
    height, width = depth.shape
    other_height, other_width = other_depth.shape
    for y in range(height):
        for x in range(width):
            z = np.float64(depth[y, x])
            if not z > 0:
                continue
            w = z * (there[2, 0] * x + there[2, 1] * y + there[2, 2]) + there_shift[2]
            if w <= 0:
                continue
            u = (z * (there[0, 0] * x + there[0, 1] * y + there[0, 2]) + there_shift[0]) / w
            v = (z * (there[1, 0] * x + there[1, 1] * y + there[1, 2]) + there_shift[1]) / w
            if not (u > -0.5 and v > -0.5 and u < other_width - 0.5 and v < other_height - 0.5):
                continue
            iu, iv = int(u + 0.5), int(v + 0.5)
            d = np.float64(other_depth[iv, iu])
            if not d > 0:
                continue
            if abs(d - w) > max_depth_error * w:
                # the other view looks through this point at something behind it
                if d > w and other_confidence[iv, iu] >= 0.5:
                    against[y, x] += 1
                continue
            s = d * (back[2, 0] * iu + back[2, 1] * iv + back[2, 2]) + back_shift[2]
            if s <= 0:
                continue
            du = (d * (back[0, 0] * iu + back[0, 1] * iv + back[0, 2]) + back_shift[0]) / s - x
            dv = (d * (back[1, 0] * iu + back[1, 1] * iv + back[1, 2]) + back_shift[1]) / s - y
            if du * du + dv * dv > max_reproj_error_px * max_reproj_error_px:
                continue
            confidence = other_confidence[iv, iu]
            ray_sum[y, x] += np.float32(confidence * z * d / w)
            for channel in range(3):
                rgb_sum[y, x, channel] += confidence * other_rgb[iv, iu, channel]
            weights[y, x] += confidence
            count[y, x] += 1
            # sine of the angle between the two rays, from the triangle of the two centres and the point
            px = z * (ray[0, 0] * x + ray[0, 1] * y + ray[0, 2])
            py = z * (ray[1, 0] * x + ray[1, 1] * y + ray[1, 2])
            qx, qy, qz = px - baseline[0], py - baseline[1], z - baseline[2]
            cx, cy, cz = py * qz - z * qy, z * qx - px * qz, px * qy - py * qx
            near, far = px * px + py * py + z * z, qx * qx + qy * qy + qz * qz
            information[y, x] += np.float32((cx * cx + cy * cy + cz * cz) / (near * far))
            # by distance and not by depth: side by side, views of one depth would all be equal
            finer = other_focal * np.sqrt(near) / (focal * np.sqrt(far))
            if finer > SEAM or (finer == 1.0 and other_first):
                owned[y, x] = False


@njit(nogil=True, cache=True)
def _normals(depth, ray, radius, max_step, normal):  # type: ignore[no-untyped-def]
    """Unit normals towards the camera: a plane has an inverse depth that is linear in the pixel, fitted to a window."""
    height, width = depth.shape
    for y in range(radius, height - radius):
        for x in range(radius, width - radius):
            z = depth[y, x]
            if not z > 0:
                continue
            n = 0.0
            sx = sy = sw = sxx = sxy = syy = sxw = syw = 0.0
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
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
            if n < 6:
                continue
            sxx -= sx * sx / n
            sxy -= sx * sy / n
            syy -= sy * sy / n
            sxw -= sx * sw / n
            syw -= sy * sw / n
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
            normal[y, x, 0] = nx / length
            normal[y, x, 1] = ny / length
            normal[y, x, 2] = nz / length


def _drop_speckles(depth: NDArray[np.float32]) -> None:
    from recon.dense.stereo import drop_speckles

    drop_speckles(depth, SPECKLE_PX)
