"""From light to the picture a device stores: lenses, exposure, noise, response curve."""

from __future__ import annotations

import numpy as np
import pycolmap
from numpy.typing import NDArray

GAMMA = 2.2


def to_srgb(
    linear: NDArray[np.float32], exposure_ev: float = 0.0, noise: float = 0.0, rng: np.random.Generator | None = None
) -> NDArray[np.uint8]:
    """8-bit RGB of linear light in 0..1, brightened by exposure_ev stops, with Gaussian noise of a deviation in grey levels."""
    grey = 255 * np.clip(linear * np.float32(2.0**exposure_ev), 0, 1) ** np.float32(1 / GAMMA)
    if noise > 0 and rng is not None:
        grey += noise * rng.standard_normal(grey.shape, np.float32)
    return np.asarray(np.clip(np.round(grey), 0, 255), np.uint8)


def make_camera(size: tuple[int, int], focal_share: float, distortion: tuple[float, ...] = (), fisheye: bool = False) -> pycolmap.Camera:
    """A camera with a focal length of focal_share times its longer side, and a principal point a little off its centre.

    No distortion gives PINHOLE, one number SIMPLE_RADIAL (k), four OPENCV (k1, k2, p1, p2) or, with fisheye,
    OPENCV_FISHEYE (k1..k4).
    """
    width, height = size
    focal = focal_share * max(size)
    cx, cy = 0.504 * width, 0.497 * height
    if fisheye:
        model, params = "OPENCV_FISHEYE", [focal, focal, cx, cy, *(distortion or (0.0, 0.0, 0.0, 0.0))]
    elif len(distortion) == 1:
        model, params = "SIMPLE_RADIAL", [focal, cx, cy, *distortion]
    elif len(distortion) == 4:
        model, params = "OPENCV", [focal, focal, cx, cy, *distortion]
    else:
        model, params = "PINHOLE", [focal, focal, cx, cy]
    return pycolmap.Camera(camera_id=1, model=model, width=width, height=height, params=params)
