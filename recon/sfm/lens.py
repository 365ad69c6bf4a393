"""Which lens model a capture needs, and where its axis meets the image.

More parameters only where they foretell observations clearly better that were not used.
"""

from __future__ import annotations

import copy
import logging
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.sfm.refine import Adjustment, adjust

log = logging.getLogger(__name__)

_RICHER = {
    "RADIAL": ("SIMPLE_RADIAL",),
    "OPENCV": ("SIMPLE_RADIAL", "RADIAL"),
    "OPENCV_FISHEYE": ("SIMPLE_RADIAL", "RADIAL", "OPENCV"),
}
"""Lens models to try, in order, and from which to come."""
_LEAST_IMAGES = 5
"""A camera with fewer images keeps its model: more parameters would fit noise."""
_CLEARLY = 0.98
"""The mean error of the held-out observations must fall below this share of what it was."""
_SURELY = 3.0
"""The mean gain of the held-out observations by a free principal point must be so many of its standard deviations."""
_OFF_CENTRE = 0.05
"""Of the image's longer side: no principal point of a whole image is further from its middle."""
_ASPECT = 0.03
_OBSERVATIONS = 60_000
"""A lens has a handful of parameters: so many observations tell which model it needs as well as all do."""
_HELD, _HELD_TRACK = 4, 4
"""Of every so-manieth point one observation is held out, where as many images see it."""
_WIDE_DEG = 42.0
"""A camera that sees further from its axis than this may have a fisheye lens; a phone's main camera sees 40 degrees."""
_SAMPLES = 200


@dataclass(frozen=True)
class Held:
    """Observations that an adjustment does not see: what it says of them is no fit to them."""

    points: NDArray[np.int64]
    images: NDArray[np.int64]
    xy: NDArray[np.float64]

    @classmethod
    def out_of(cls, model: pycolmap.Reconstruction) -> Held:
        """Takes one observation from every ``_HELD``-th long track of the model, which is changed."""
        rows = []
        for number, point_id in enumerate(sorted(model.point3D_ids())):
            track = model.point3D(point_id).track
            if number % _HELD == 0 and track.length() >= _HELD_TRACK:
                element = track.elements[number // _HELD % track.length()]
                rows.append((point_id, element.image_id, element.point2D_idx))
        xy = [model.image(image_id).points2D[index].xy for _, image_id, index in rows]
        for _, image_id, index in rows:
            model.delete_observation(image_id, index)
        table = np.array(rows, np.int64).reshape(-1, 3)
        return cls(table[:, 0], table[:, 1], np.array(xy, np.float64).reshape(-1, 2))

    def reach_px(self, model: pycolmap.Reconstruction, camera_id: int) -> float:
        """Distance from the image's middle that nearly all of a camera's observations keep."""
        camera = model.camera(camera_id)
        own = [model.image(int(image_id)).camera_id == camera_id for image_id in self.images]
        away = np.linalg.norm(self.xy[own] - (camera.principal_point_x, camera.principal_point_y), axis=1)
        return float(np.percentile(away, 99)) if len(away) else 0.0

    def errors_px(self, model: pycolmap.Reconstruction, cameras: list[int], most_px: float) -> NDArray[np.float64]:
        """Distance of each of the cameras' observations from where the model sees its point, ``most_px`` at most."""
        errors = [np.zeros(0)]
        for image_id in np.unique(self.images):
            image = model.image(int(image_id))
            if image.camera_id in cameras:
                own = self.images == image_id
                xyz = np.array([model.point3D(int(point_id)).xyz for point_id in self.points[own]])
                at = image.camera.img_from_cam(image.cam_from_world() * xyz)
                errors.append(np.linalg.norm(np.nan_to_num(at, nan=1e6) - self.xy[own], axis=1))
        return np.minimum(np.concatenate(errors), most_px)

    def error_px(self, model: pycolmap.Reconstruction, cameras: list[int], most_px: float) -> float:
        """Their mean; infinite where there is none."""
        errors = self.errors_px(model, cameras, most_px)
        return float(errors.mean()) if len(errors) else float("inf")


def choose_lens(model: pycolmap.Reconstruction, adjustment: Adjustment) -> bool:
    """Replace SIMPLE_RADIAL by RADIAL, OPENCV or OPENCV_FISHEYE where that clearly helps, and move principal points from the image's
    middle where that surely does; whether ``model`` was changed.

    Observations stay as they are; ``refine`` afterwards, with a cache that knows the new cameras. Models are compared by the
    reprojection error of observations that none of them was adjusted to.
    """
    changed = False
    best = _thinned(model)
    held = Held.out_of(best)
    most_px = 2 * adjustment.max_reproj_error_px
    for richer, simpler in _RICHER.items():
        if richer == "OPENCV" and (trial := _decentred(best, held, adjustment, most_px)) is not None:
            # before its tangential distortion, which would imitate it
            _take_over(model, trial)
            best, changed = trial, True
        cameras = _eligible(best, simpler, richer)
        if not cameras:
            continue
        trial = copy.deepcopy(best)
        for camera_id in cameras:
            extend(trial.camera(camera_id), richer)
        adjust(best, adjustment, last=False)
        adjust(trial, adjustment, last=False)
        before, after = held.error_px(best, cameras, most_px), held.error_px(trial, cameras, most_px)
        plausible = all(is_plausible(trial.camera(camera_id), held.reach_px(trial, camera_id)) for camera_id in cameras)
        log.info("lens model %s: held out %.4f -> %.4f px, plausible %s", richer, before, after, plausible)
        if plausible and after < _CLEARLY * before:
            _take_over(model, trial)
            best, changed = trial, True
    if changed:
        adjust(model, adjustment, last=False)
    return changed


def _decentred(best: pycolmap.Reconstruction, held: Held, adjustment: Adjustment, most_px: float) -> pycolmap.Reconstruction | None:
    """The model with principal points that are not in the middle of the image; None where that foretells nothing better.

    Of photos from straight above a wrong one bends the focal length by several hundredths, and heights with it, while the reprojection
    error hardly shows it: so it is the gain's certainty that counts, not its size.
    """
    cameras = [i for i in _of_many_images(best) if not best.camera(i).is_spherical() and _is_centred(best.camera(i))]
    if not cameras:
        return None
    trial = copy.deepcopy(best)
    adjust(best, adjustment, last=False)
    adjust(trial, adjustment, last=False, decentred=cameras)
    gain = held.errors_px(best, cameras, most_px) - held.errors_px(trial, cameras, most_px)
    shifts = {i: _off_centre(trial.camera(i)) for i in cameras}
    plausible = max(shifts.values()) < _OFF_CENTRE
    surely = len(gain) > 1 and float(gain.mean()) > _SURELY * float(gain.std()) / np.sqrt(len(gain))
    log.info("principal points: off by %s of the image, gain %.5f px, sure %s", shifts, gain.mean() if len(gain) else 0, surely)
    return trial if plausible and surely else None


def _off_centre(camera: pycolmap.Camera) -> float:
    """Distance of the principal point from the image's middle, as a share of the longer side."""
    off = math.hypot(camera.principal_point_x - camera.width / 2, camera.principal_point_y - camera.height / 2)
    return off / max(int(camera.width), int(camera.height))


def _is_centred(camera: pycolmap.Camera) -> bool:
    """Whether the principal point was assumed: one that a device states is not exactly in the middle."""
    return _off_centre(camera) < 1e-9


def _thinned(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """A copy with every n-th point, so that some _OBSERVATIONS are left."""
    thinned = copy.deepcopy(model)
    step = max(1, model.compute_num_observations() // _OBSERVATIONS)
    for number, point_id in enumerate(sorted(model.point3D_ids())):
        if number % step:
            thinned.delete_point3D(point_id)
    return thinned


def _eligible(model: pycolmap.Reconstruction, names: tuple[str, ...], richer: str) -> list[int]:
    many = [i for i in _of_many_images(model) if model.camera(i).model_name in names]
    return sorted(i for i in many if richer != "OPENCV_FISHEYE" or half_view_deg(model.camera(i)) > _WIDE_DEG)


def _of_many_images(model: pycolmap.Reconstruction) -> list[int]:
    images = Counter(model.image(image_id).camera_id for image_id in model.reg_image_ids())
    return sorted(i for i, count in images.items() if count >= _LEAST_IMAGES)


def half_view_deg(camera: pycolmap.Camera) -> float:
    """Largest angle from the axis at which the camera sees, on the way to its corners; as far as its model can be inverted."""
    theta, _ = _radial(camera)
    return float(np.degrees(theta.max(initial=0.0)))


def _radial(camera: pycolmap.Camera) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angles from the axis [rad] and distances from the principal point [px] along the diagonals, where the model can be inverted."""
    shares = np.linspace(-1, 1, _SAMPLES)[:, None]
    center, half = np.array([camera.principal_point_x, camera.principal_point_y]), np.array([camera.width, camera.height]) / 2
    pixels = np.concatenate([center + shares * half, center + shares * half * (1, -1)])
    rays = camera.cam_from_img(pixels)
    back = camera.img_from_cam(np.column_stack([np.nan_to_num(rays), np.ones(len(rays))]))
    found = np.isfinite(rays).all(1) & (np.abs(np.nan_to_num(back, nan=1e6) - pixels).max(1) < 0.5)
    return np.arctan(np.linalg.norm(rays[found], axis=1)), np.linalg.norm(pixels[found] - center, axis=1)


def extend(camera: pycolmap.Camera, name: str) -> None:
    """The same lens in a model with more parameters, those at zero; as a fisheye the nearest polynomial of the angle."""
    f, cx, cy = camera.mean_focal_length(), camera.principal_point_x, camera.principal_point_y
    distortion = [*camera.params[3:], 0.0][:2]
    if name == "RADIAL":
        params = [f, cx, cy, *distortion]
    elif name == "OPENCV":
        params = [f, f, cx, cy, *distortion, 0.0, 0.0]
    else:
        theta, r = _radial(camera)
        f, fk1, fk2 = np.linalg.lstsq(np.stack([theta, theta**3, theta**5], 1), r, rcond=None)[0]
        params = [f, f, cx, cy, fk1 / f, fk2 / f, 0.0, 0.0]
    camera.model, camera.params = getattr(pycolmap.CameraModelId, name), params


def is_plausible(camera: pycolmap.Camera, reach_px: float) -> bool:
    """Whether a lens can be like this: pixels further out see further out, and are about square.

    A fisheye is asked up to ``reach_px`` from its middle, where points are: nothing tells what it does in an empty corner.
    """
    if camera.has_bogus_params(0.1, 10.0, 1.0) or abs(camera.focal_length_x / camera.focal_length_y - 1) > _ASPECT:
        return False
    if camera.model_name == "OPENCV_FISHEYE":
        theta = np.linspace(0, np.pi, 400)
        k = camera.params[4:]
        reach = theta * (1 + k[0] * theta**2 + k[1] * theta**4 + k[2] * theta**6 + k[3] * theta**8)
        beyond = np.flatnonzero(reach >= reach_px / camera.mean_focal_length())
        return len(beyond) > 0 and bool((np.diff(reach[: beyond[0] + 1]) > 0).all())
    k1, k2 = camera.params[-2:] if camera.model_name == "RADIAL" else camera.params[4:6]
    r = np.linspace(0, np.hypot(camera.width, camera.height) / 2 / camera.mean_focal_length(), 50)
    return bool((1 + 3 * k1 * r**2 + 5 * k2 * r**4 > 0).all())


def _take_over(model: pycolmap.Reconstruction, trial: pycolmap.Reconstruction) -> None:
    for camera_id, camera in trial.cameras.items():
        own = model.camera(camera_id)
        own.model, own.params = camera.model, camera.params
    for frame_id in trial.reg_frame_ids():
        model.frame(frame_id).rig_from_world = trial.frame(frame_id).rig_from_world
    for point_id in trial.point3D_ids():
        model.point3D(point_id).xyz = trial.point3D(point_id).xyz
    model.update_point_3d_errors()
