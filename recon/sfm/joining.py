"""Bringing more images into a model: from other models that share images with it, and one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pycolmap

from recon.geometry.similarity import fit_similarity
from recon.sfm.refine import Adjustment

_LEAST_COMMON = 3
_AGREE = 0.05
"""Common cameras must fall together within this share of their spread."""


def join_models(
    best: pycolmap.Reconstruction,
    others: Sequence[pycolmap.Reconstruction],
    cache: pycolmap.DatabaseCache,
) -> bool:
    """Give ``best`` the poses of other models' images, through the images that they share; whether any came in.

    Points are left to ``refine``, which triangulates all of them anew.
    """
    joined = False
    for other in others:
        new = {image.name for image in _posed(other)} - {image.name for image in _posed(best)}
        best_from_other = _alignment(best, other)
        if not new or best_from_other is None:
            continue
        mapper = pycolmap.IncrementalMapper(cache)
        mapper.begin_reconstruction(best)  # adds the images that the model lacks
        for image in _posed(other):
            if image.name in new:
                moved = best_from_other.transform_camera_world(image.cam_from_world())
                frame = best.frame(best.find_image_with_name(image.name).frame_id)
                frame.set_cam_from_world(image.camera_id, moved)
                best.register_frame(frame.frame_id)
                joined = True
        mapper.end_reconstruction(False)
    return joined


def _posed(model: pycolmap.Reconstruction) -> list[pycolmap.Image]:
    return [model.images[i] for i in sorted(model.reg_image_ids())]


def _alignment(best: pycolmap.Reconstruction, other: pycolmap.Reconstruction) -> pycolmap.Sim3d | None:
    """best_from_other by the centres of common cameras; None if they are too few or do not fall together."""
    centers = {image.name: image.projection_center() for image in _posed(best)}
    common = [image for image in _posed(other) if image.name in centers]
    if len(common) < _LEAST_COMMON:
        return None
    source = np.array([image.projection_center() for image in common])
    target = np.array([centers[image.name] for image in common])
    spread = float(np.linalg.norm(target - target.mean(0), axis=1).mean())
    if spread <= 0 or np.ptp(source, axis=0).max() <= 0:
        return None
    found = fit_similarity(source, target)
    return found if np.linalg.norm(found * source - target, axis=1).max() < _AGREE * spread else None


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
