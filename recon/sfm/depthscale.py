"""Metres a unit of the model, from what a depth sensor measured where the sparse points lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.capture.depthimage import BASE_SIGMA_M, DepthImage

LEAST_IMAGES = 3
LEAST_POINTS = 10
"""An image with fewer points whose depth was measured says nothing."""
APART = 0.1
"""Images whose depth is more than this share off the others' are left out: another unit, or a sensor that failed."""
BIAS_M = BASE_SIGMA_M / 2
"""What a sensor is off by everywhere alike: no number of images averages it away."""
_NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
_SPREAD = (0.5, 5.0)


@dataclass(frozen=True)
class DepthScale:
    """How measured depth compares with the model's."""

    metres: float
    """A unit of the model in metres."""
    sigma_scale: float
    """Relative standard deviation: the spread between images over the root of their number, and the sensor's bias."""
    images: int
    rejected: tuple[str, ...]
    """Names of images whose depth does not fit the others'."""
    points: int
    median_m: float
    """Depth of the points that were compared."""
    sigma_factor: float
    """The error of measured depth at the points over what ``DepthImage.sigma_m`` states, the points' own error with it."""


def depth_scale(model: pycolmap.Reconstruction, depth: Mapping[str, Path]) -> DepthScale | str:
    """The scale from files of depth images by image name, or in words why they give none.

    Each image says one ratio, the median over its points; the median of these is the scale, so that neither points on edges nor
    images of a failing sensor pull it away.
    """
    rows = {name: found for name in sorted(depth) if (found := _compared(model, name, DepthImage.load(depth[name]))) is not None}
    if len(rows) < LEAST_IMAGES:
        return f"{len(rows)} images have {LEAST_POINTS} points with a measured depth; {LEAST_IMAGES} are needed for the scale"
    said = np.array([np.median(np.log(measured / z)) for z, measured, _ in rows.values()])
    middle = float(np.median(said))
    near = np.abs(said - middle) <= np.log1p(APART)
    if near.sum() < max(LEAST_IMAGES, len(rows) / 2):
        return f"the measured depths of {len(rows)} images contradict each other: they fit one scale in {int(near.sum())} of them"
    middle = float(np.median(said[near]))
    kept = [row for row, good in zip(rows.values(), near, strict=True) if good]
    z, measured, sigma = (np.concatenate([row[part] for row in kept]) for part in range(3))
    off = (measured - np.exp(middle) * z) / sigma
    spread = _NORMAL * float(np.median(np.abs(said[near] - middle)))
    median_m = float(np.median(measured))
    # the median of n normal values spreads 1.25 times as far as their mean
    return DepthScale(
        metres=float(np.exp(middle)),
        sigma_scale=float(np.hypot(1.25 * spread / np.sqrt(near.sum()), BIAS_M / median_m)),
        images=int(near.sum()),
        rejected=tuple(name for name, good in zip(rows, near, strict=True) if not good),
        points=len(z),
        median_m=median_m,
        sigma_factor=float(np.clip(_NORMAL * np.median(np.abs(off)), *_SPREAD)),
    )


Compared = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _compared(model: pycolmap.Reconstruction, name: str, depth: DepthImage) -> Compared | None:
    """Depth in the model, depth as measured and its sigma, of an image's points; None where they are too few."""
    image = model.find_image_with_name(name)
    if image is None or not image.has_pose:
        return None
    seen = image.get_observation_points2D()
    if len(seen) < LEAST_POINTS:
        return None
    xy = np.array([point.xy for point in seen])
    xyz = np.array([model.points3D[point.point3D_id].xyz for point in seen])
    z = (image.cam_from_world() * xyz)[:, 2]
    height, width = depth.depth_m.shape
    column = np.clip((xy[:, 0] * width / image.camera.width).astype(int), 0, width - 1)
    row = np.clip((xy[:, 1] * height / image.camera.height).astype(int), 0, height - 1)
    measured, sigma = depth.depth_m[row, column].astype(float), depth.sigma_m[row, column].astype(float)
    known = (measured > 0) & (z > 0)
    return (z[known], measured[known], sigma[known]) if known.sum() >= LEAST_POINTS else None
