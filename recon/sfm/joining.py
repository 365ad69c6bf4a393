"""Bringing more images into a model: from other models that see the same points, and one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.matchers.store import PairMatches
from recon.sfm.refine import Adjustment

NO_POINT = np.uint64(2**64 - 1)
LEAST_POINTS, LEAST_SHARE = 12, 0.3
"""So many common points, and such a share of them, must fall together for two models to be one."""
_TOGETHER = 0.03
"""Points fall together within this share of their median distance from their middle."""


def point_ids(model: pycolmap.Reconstruction) -> dict[str, NDArray[np.uint64]]:
    """For each registered image the 3D point of each of its keypoints, NO_POINT where there is none."""
    images = (model.image(image_id) for image_id in sorted(model.reg_image_ids()))
    return {image.name: np.array([point.point3D_id for point in image.points2D], dtype=np.uint64) for image in images}


def join_models(
    best: pycolmap.Reconstruction,
    others: Sequence[pycolmap.Reconstruction],
    cache: pycolmap.DatabaseCache,
    pairs: Sequence[PairMatches],
    adjustment: Adjustment,
) -> bool:
    """Give ``best`` the poses of other models' images where the two see the same points; whether any came in.

    Points are left to ``refine``, which triangulates all of them anew.
    """
    joined = False
    for other in others:
        there = {best.image(image_id).name for image_id in best.reg_image_ids()}
        if all(other.image(image_id).name in there for image_id in other.reg_image_ids()):
            continue
        best_from_other = alignment(best, other, pairs, adjustment.seed)
        if best_from_other is not None:
            bring_in(best, other, best_from_other, cache)
            joined = True
    return joined


def bring_in(
    best: pycolmap.Reconstruction, other: pycolmap.Reconstruction, best_from_other: pycolmap.Sim3d, cache: pycolmap.DatabaseCache
) -> None:
    """Give ``best`` the poses of the images that it lacks and ``other`` has."""
    there = {best.image(image_id).name for image_id in best.reg_image_ids()}
    mapper = pycolmap.IncrementalMapper(cache)
    mapper.begin_reconstruction(best)  # adds the images that the model lacks
    for image in (other.image(image_id) for image_id in sorted(other.reg_image_ids())):
        if image.name not in there:
            moved = best_from_other.transform_camera_world(image.cam_from_world())
            frame = best.frame(best.find_image_with_name(image.name).frame_id)
            frame.set_cam_from_world(image.camera_id, moved)
            best.register_frame(frame.frame_id)
    mapper.end_reconstruction(False)


def alignment(
    best: pycolmap.Reconstruction,
    other: pycolmap.Reconstruction,
    pairs: Sequence[PairMatches],
    seed: int,
    least_points: int = LEAST_POINTS,
    least_share: float = LEAST_SHARE,
) -> pycolmap.Sim3d | None:
    """best_from_other by common points; None if they are too few or do not fall together."""
    common = _common_points(point_ids(best), point_ids(other), pairs)
    if len(common) < least_points:
        return None
    target = np.array([best.point3D(i).xyz for i in common[:, 0]])
    source = np.array([other.point3D(i).xyz for i in common[:, 1]])
    options = pycolmap.RANSACOptions()
    options.max_error = _TOGETHER * float(np.median(np.linalg.norm(target - np.median(target, axis=0), axis=1)))
    options.min_inlier_ratio = least_share / 2
    options.random_seed = seed
    if options.max_error <= 0:
        return None
    found = pycolmap.estimate_sim3d_robust(source, target, options)
    if found is None:
        return None
    transform = found["tgt_from_src"]
    together = np.linalg.norm(transform * source - target, axis=1) < options.max_error
    return transform if together.sum() >= max(least_points, least_share * len(common)) else None


def _common_points(
    best: dict[str, NDArray[np.uint64]], other: dict[str, NDArray[np.uint64]], pairs: Sequence[PairMatches]
) -> NDArray[np.uint64]:
    """(N, 2) points of both models that are one: seen by one keypoint of a common image, or by two that were matched."""
    found = [np.column_stack([best[name], other[name]]) for name in best if name in other]
    for pair in pairs:
        for (name1, name2), matches in (((pair.name1, pair.name2), pair.matches), ((pair.name2, pair.name1), pair.matches[:, ::-1])):
            if name1 in best and name2 in other and name1 != name2:
                found.append(np.column_stack([best[name1][matches[:, 0]], other[name2][matches[:, 1]]]))
    rows = np.concatenate(found) if found else np.zeros((0, 2), dtype=np.uint64)
    return np.asarray(np.unique(rows[(rows != NO_POINT).all(axis=1)], axis=0))


def register_left_over(model: pycolmap.Reconstruction, cache: pycolmap.DatabaseCache, adjustment: Adjustment) -> bool:
    """Register images that see enough points of the model, one by one; whether any came in."""
    mapper = pycolmap.IncrementalMapper(cache)
    mapper.begin_reconstruction(model)
    options, triangulation = adjustment.mapper(), adjustment.triangulation()
    options.abs_pose_refine_focal_length = options.abs_pose_refine_extra_params = False
    joined, tried = False, set[int]()
    while True:
        left = [image_id for image_id in mapper.find_next_images(options, False) if image_id not in tried]
        if not left:
            break
        tried.add(left[0])
        if mapper.register_next_image(options, left[0]):
            mapper.triangulate_image(triangulation, left[0])
            joined = True
    mapper.end_reconstruction(False)
    return joined
