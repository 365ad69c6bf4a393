"""Which lens model a capture needs: more parameters only where they explain the residuals clearly better."""

from __future__ import annotations

import copy
import logging

import numpy as np
import pycolmap

from recon.sfm.refine import Adjustment, adjust

log = logging.getLogger(__name__)

_RICHER = {"RADIAL": ("SIMPLE_RADIAL",), "OPENCV": ("SIMPLE_RADIAL", "RADIAL")}
"""Lens models to try, in order, and from which to come."""
_LEAST_IMAGES = 5
"""A camera with fewer images keeps its model: more parameters would fit noise."""
_CLEARLY = 0.98
"""The mean residual of the same observations must fall below this share of what it was."""
_ASPECT = 0.03
_OBSERVATIONS = 60_000
"""A lens has a handful of parameters: so many observations tell which model it needs as well as all do."""


def choose_lens(model: pycolmap.Reconstruction, adjustment: Adjustment) -> bool:
    """Replace SIMPLE_RADIAL by RADIAL or OPENCV where that clearly helps; whether ``model`` was changed.

    Observations stay as they are; ``refine`` afterwards, with a cache that knows the new cameras.
    """
    changed = False
    thinned = _thinned(model)
    for richer, simpler in _RICHER.items():
        cameras = _eligible(model, simpler)
        if not cameras:
            continue
        trial = copy.deepcopy(thinned)
        for camera_id in cameras:
            _extend(trial.camera(camera_id), richer)
        adjust(trial, adjustment, last=False)
        trial.update_point_3d_errors()
        before, after = thinned.compute_mean_reprojection_error(), trial.compute_mean_reprojection_error()
        plausible = all(_is_plausible(trial.camera(camera_id)) for camera_id in cameras)
        log.info("lens model %s: %.4f -> %.4f px, plausible %s", richer, before, after, plausible)
        if plausible and after < _CLEARLY * before:
            _take_over(model, trial)
            thinned, changed = trial, True
    if changed:
        adjust(model, adjustment, last=False)
    return changed


def _thinned(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """A copy with every n-th point, so that some _OBSERVATIONS are left."""
    thinned = copy.deepcopy(model)
    step = max(1, model.compute_num_observations() // _OBSERVATIONS)
    for number, point_id in enumerate(sorted(model.point3D_ids())):
        if number % step:
            thinned.delete_point3D(point_id)
    thinned.update_point_3d_errors()
    return thinned


def _eligible(model: pycolmap.Reconstruction, names: tuple[str, ...]) -> list[int]:
    images: dict[int, int] = {}
    for image_id in model.reg_image_ids():
        camera_id = model.image(image_id).camera_id
        images[camera_id] = images.get(camera_id, 0) + 1
    return sorted(i for i, count in images.items() if count >= _LEAST_IMAGES and model.camera(i).model_name in names)


def _extend(camera: pycolmap.Camera, name: str) -> None:
    """The same lens in a model with more parameters, those at zero."""
    f, cx, cy, distortion = camera.mean_focal_length(), camera.principal_point_x, camera.principal_point_y, [*camera.params[3:], 0.0][:2]
    camera.model = getattr(pycolmap.CameraModelId, name)
    camera.params = [f, cx, cy, *distortion] if name == "RADIAL" else [f, f, cx, cy, *distortion, 0.0, 0.0]


def _is_plausible(camera: pycolmap.Camera) -> bool:
    if camera.has_bogus_params(0.1, 10.0, 1.0) or abs(camera.focal_length_x / camera.focal_length_y - 1) > _ASPECT:
        return False
    k1, k2 = camera.params[-2:] if camera.model_name == "RADIAL" else camera.params[4:6]
    corner = np.hypot(camera.width, camera.height) / 2 / camera.mean_focal_length()
    r = np.linspace(0, corner, 50)
    return bool((1 + 3 * k1 * r**2 + 5 * k2 * r**4 > 0).all())  # pixels further out see further out


def _take_over(model: pycolmap.Reconstruction, trial: pycolmap.Reconstruction) -> None:
    for camera_id, camera in trial.cameras.items():
        own = model.camera(camera_id)
        own.model, own.params = camera.model, camera.params
    for frame_id in trial.reg_frame_ids():
        model.frame(frame_id).rig_from_world = trial.frame(frame_id).rig_from_world
    for point_id in trial.point3D_ids():
        model.point3D(point_id).xyz = trial.point3D(point_id).xyz
    model.update_point_3d_errors()
