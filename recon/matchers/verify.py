"""Geometric verification of a pair's matches, and the relative pose that they imply."""

from __future__ import annotations

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.matchers.store import PairMatches

_UNVERIFIED = (
    int(pycolmap.TwoViewGeometryConfiguration.UNDEFINED),
    int(pycolmap.TwoViewGeometryConfiguration.DEGENERATE),
    int(pycolmap.TwoViewGeometryConfiguration.WATERMARK),
)
_SIZE_PX = 1600
"""The image size that ``matches.max_error_px`` is stated for."""
_DISTINCT, _MIN_DISTINCT = 0.75, 6
"""Images that share nothing have some ten chance matches below a ratio of 0.8, but hardly one below this (of 220 pairs of four
captures none of the unverified ones had as many); they would cost RANSAC all its trials."""


def verify(
    names: tuple[str, str],
    cameras: tuple[pycolmap.Camera, pycolmap.Camera],
    xy: tuple[NDArray[np.float32], NDArray[np.float32]],
    matches: NDArray[np.uint32],
    ratios: NDArray[np.float64],
    max_error_px: float,
    min_inliers: int,
    seed: int,
) -> PairMatches | None:
    """The pair with its inliers, or None if too few matches agree on one geometry.

    Estimates the essential matrix where both focal lengths are known, else the fundamental matrix, and always a homography
    (COLMAP's LO-RANSAC). ``xy`` are keypoints in pixels of the originals; the allowed error grows with the image.
    """
    if len(matches) < min_inliers or np.count_nonzero(ratios < _DISTINCT) < _MIN_DISTINCT:
        return None
    side = max(max(camera.width, camera.height) for camera in cameras)
    options = pycolmap.TwoViewGeometryOptions()
    options.min_num_inliers = min_inliers
    options.compute_relative_pose = True
    options.ransac.max_error = max_error_px * max(0.5, side / _SIZE_PX)
    options.ransac.random_seed = seed
    options.ransac.min_inlier_ratio = max(options.ransac.min_inlier_ratio, min_inliers / len(matches))
    points1, points2 = (np.ascontiguousarray(points[:, :2], dtype=np.float64) for points in xy)
    geometry = pycolmap.estimate_two_view_geometry(cameras[0], points1, cameras[1], points2, matches, options)
    if int(geometry.config) in _UNVERIFIED or len(geometry.inlier_matches) < min_inliers:
        return None
    pose = geometry.cam2_from_cam1
    F, E, H = (np.zeros((3, 3)) if m is None else np.asarray(m, np.float64) for m in (geometry.F, geometry.E, geometry.H))
    return PairMatches(
        names[0],
        names[1],
        np.asarray(geometry.inlier_matches, dtype=np.uint32),
        len(matches),
        int(geometry.config),
        F,
        E,
        H,
        np.full((3, 4), np.nan) if pose is None else np.asarray(pose.matrix(), dtype=np.float64),
        float(np.degrees(geometry.tri_angle)) if geometry.tri_angle >= 0 else float("nan"),
    )
