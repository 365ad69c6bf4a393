"""Rectification of a pair of pinhole views, whatever the direction of its baseline.

Both images are mapped to one plane parallel to the baseline, whose x axis is the baseline itself: a point lies in the
same row of both, and ``disparity = focal * baseline / depth`` (Fusiello, Trucco, Verri: A compact algorithm for
rectification of stereo pairs, 2000). A vertical baseline needs no case of its own: its rows are the image's columns.
Pixel positions here have their origin at the first pixel's centre, as OpenCV's do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_OFF_AXIS = 2.0
"""Tangent of the widest angle off the rectified axis: there a pixel is stretched to five times its width."""

MAX_AREA = 2.5
"""Rectified pixels for each image pixel; beyond that the focal length is reduced."""

MIN_SIDE_PX = 16
NEAR = 0.5
"""Disparity searched beyond the nearest sparse point, as a share of its own: trees and roofs often hold no point."""


@dataclass(frozen=True)
class Pose:
    """A pinhole image's geometry at the size that is matched."""

    K: NDArray[np.float64]
    """(3, 3) px, origin at the first pixel's centre."""
    R: NDArray[np.float64]
    t: NDArray[np.float64]
    width: int
    height: int

    @property
    def center(self) -> NDArray[np.float64]:
        return np.asarray(-self.R.T @ self.t)


@dataclass(frozen=True)
class RectifiedPair:
    """Two windows of one plane: rows are common, columns and widths are each window's own."""

    rect_from_pixel: tuple[NDArray[np.float64], NDArray[np.float64]]
    """(3, 3) homographies from each image's pixels to its window's."""
    widths: tuple[int, int]
    height: int
    shift: float
    """True disparity minus the difference of window columns [px]."""
    focal_baseline: float
    """focal * baseline [px * world units]: depth times true disparity."""
    column_disparities: tuple[float, float]
    """Least and greatest difference of window columns, from the sparse points' depths with a margin."""
    axis_from_pixel: tuple[NDArray[np.float64], NDArray[np.float64]]
    """(3,) each: depth in the image of a pixel p is rectified depth / (axis . (p, 1))."""


def rectify(a: Pose, b: Pose, xyz: NDArray[np.float64]) -> RectifiedPair | None:
    """The rectified geometry of ``a`` (left, by definition) and ``b``; None where the views share no usable window.

    ``xyz`` (N, 3) are sparse points that either sees; they bound the depths that are searched.
    """
    baseline = b.center - a.center
    length = float(np.linalg.norm(baseline))
    x_axis = baseline / max(length, 1e-300)
    z_axis = a.R[2] + b.R[2]
    z_axis = z_axis - x_axis * (x_axis @ z_axis)
    if length == 0.0 or np.linalg.norm(z_axis) < 0.5:
        return None
    z_axis /= np.linalg.norm(z_axis)
    rect_from_world = np.stack([x_axis, np.cross(z_axis, x_axis), z_axis])
    depths = (xyz - a.center) @ z_axis
    depths = depths[depths > 0]
    if len(depths) < 3:
        return None
    # normalised (focal 1) disparities and windows first; pixels follow from the focal length
    lo, hi = np.percentile(length / depths, [1, 99])
    margin = 0.25 * (hi - lo) + 0.01 * hi
    lo, hi = max(lo - margin, 0.0), hi + margin + NEAR * hi
    rays = [rect_from_world @ pose.R.T @ np.linalg.inv(pose.K) for pose in (a, b)]
    box_a, box_b = _extent(a, rays[0]), _extent(b, rays[1])
    if box_a is None or box_b is None:
        return None
    (ax0, ax1, ay0, ay1), (bx0, bx1, by0, by1) = box_a, box_b
    ax0, ax1, bx0, bx1 = max(ax0, bx0 + lo), min(ax1, bx1 + hi), max(bx0, ax0 - hi), min(bx1, ax1 - lo)
    y0, y1 = max(ay0, by0), min(ay1, by1)
    focal = _focal(a, b, z_axis)
    area = max(ax1 - ax0, bx1 - bx0, 0.0) * max(y1 - y0, 0.0) * focal**2
    focal *= min(1.0, np.sqrt(MAX_AREA * max(a.width * a.height, b.width * b.height) / max(area, 1e-300)))
    if min(ax1 - ax0, bx1 - bx0, y1 - y0) * focal < MIN_SIDE_PX:
        return None
    starts = np.floor([ax0 * focal, bx0 * focal])
    top = np.floor(y0 * focal)
    windows = [np.array([[focal, 0, -start], [0, focal, -top], [0, 0, 1.0]]) for start in starts]
    shift = float(starts[0] - starts[1])
    return RectifiedPair(
        rect_from_pixel=(windows[0] @ rays[0], windows[1] @ rays[1]),
        widths=(int(np.ceil(ax1 * focal - starts[0])), int(np.ceil(bx1 * focal - starts[1]))),
        height=int(np.ceil(y1 * focal - top)),
        shift=shift,
        focal_baseline=focal * length,
        column_disparities=(lo * focal - 4 - shift, hi * focal + 4 - shift),
        axis_from_pixel=(rays[0][2], rays[1][2]),
    )


def _extent(pose: Pose, rect_from_pixel: NDArray[np.float64]) -> tuple[float, float, float, float] | None:
    """x0, x1, y0, y1 of an image in the plane z = 1, cut at MAX_OFF_AXIS."""
    u = np.linspace(-0.5, pose.width - 0.5, 33)
    v = np.linspace(-0.5, pose.height - 0.5, 33)
    pixels = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
    rays = np.column_stack([pixels, np.ones(len(pixels))]) @ rect_from_pixel.T
    rays = rays[rays[:, 2] > 0]
    plane = np.clip(rays[:, :2] / rays[:, 2:], -MAX_OFF_AXIS, MAX_OFF_AXIS)
    if len(plane) < 3:
        return None
    (x0, y0), (x1, y1) = plane.min(0), plane.max(0)
    return float(x0), float(x1), float(y0), float(y1)


def _focal(a: Pose, b: Pose, z_axis: NDArray[np.float64]) -> float:
    """Focal length at which the images' centres keep their size: at an angle p off axis a plane stretches areas by 1 / cos^3 p."""
    focals = [np.sqrt(pose.K[0, 0] * pose.K[1, 1]) * max(float(pose.R[2] @ z_axis), 0.2) ** 1.5 for pose in (a, b)]
    return float(np.sqrt(focals[0] * focals[1]))
