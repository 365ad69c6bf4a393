"""Poses of the frames between a video's keyframes: along a spline through the keyframes, then by the images themselves.

A frame's prior is the cumulative B-spline through all keyframes. The points that the keyframes before and after it see are looked for
in the frame (Lucas-Kanade, from each keyframe directly, so that nothing drifts; checked by tracking back), and the pose is refined on
them. Where too few are found the spline's pose stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from recon.geometry.posespline import PoseSpline

Floats = NDArray[np.float64]
Grey = NDArray[np.uint8]
_WINDOW, _LEVELS = (21, 21), 3
_MAX_RETURN_PX = 0.7
"""Tracked forth and back, a point must come home within this."""
_NUDGE_PX = np.float32(1.0)
"""The way back starts that far from home: a point on a plain surface, which stays where it is put, does not get there."""
_POINTS = 400
"""Points taken of a keyframe, at most: those of the longest tracks."""
_FEWEST = 16
_LEAST_AGREE = 0.5
_OUTLIER = 3.0
_LEAST_SIGMA_PX = 0.1
_WORST_PX = 3.0
"""Robust deviation of the points' residuals beyond which a pose is not believed, in pixels of the looked-at size."""
MEDIAN_LENGTH = 1.538
"""Of a three-dimensional normal deviation, in deviations of a coordinate."""
_HALF_PIXEL = 0.5
"""OpenCV's first pixel has its centre at 0, COLMAP's at 0.5."""


@dataclass(frozen=True)
class Keyframe:
    """A registered frame of a video."""

    name: str
    frame: int
    time_s: float
    cam_from_world: pycolmap.Rigid3d


@dataclass(frozen=True)
class Refined:
    """A pose found in the image, and how sure it is, of its own points: the keyframes' errors are not in it."""

    cam_from_world: pycolmap.Rigid3d
    points: int
    sigma_position: float
    """Standard deviation of each coordinate of the centre, world units."""
    sigma_deg: float
    """Of each component of the rotation."""
    disagreement: float | None
    """How far the poses by either keyframe's points alone lie apart, of what these deviations let expect; None where one has too few."""


class KeyframePath:
    """The spline through keyframes at any times between the first and the last. It meets each of them.

    A pose spline is uniform, and keyframes are not: it runs over their numbers, and a monotone cubic (Fritsch and Carlson, 1980) tells
    which number belongs to a time. Keyframes lie about equally far apart in space, so the spline is even where it should be.
    """

    def __init__(self, keyframes: Sequence[Keyframe]) -> None:
        times = np.array([key.time_s for key in keyframes])
        turns = np.array([key.cam_from_world.rotation.matrix().T for key in keyframes])
        centers = np.array([_center(key.cam_from_world) for key in keyframes])
        numbers = np.arange(len(keyframes), dtype=np.float64)
        self._number = PchipInterpolator(times, numbers)
        self._spline = PoseSpline.through(numbers, turns, centers)

    def at(self, time_s: float) -> pycolmap.Rigid3d:
        """cam_from_world."""
        (turn,), (center,) = self._spline.at(np.array([float(self._number(time_s))]))
        return pycolmap.Rigid3d(pycolmap.Rotation3d(turn.T), -turn.T @ center)


@dataclass(frozen=True)
class _Anchor:
    """What a keyframe lends to the frames around it."""

    grey: Grey
    xy: NDArray[np.float32]
    """(N, 2) where it sees the points, OpenCV's pixels of the looked-at size."""
    xyz: Floats
    offset: Floats
    """(N, 2) of what it sees from where the model would have it."""


class FrameRefiner:
    """Finds poses of frames near keyframes. Keeps two keyframes in memory.

    ``pixels(name)`` gives a keyframe's (h, w) grey, as large as the frames that will be asked for.
    """

    def __init__(self, model: pycolmap.Reconstruction, pixels: Callable[[str], Grey]) -> None:
        self._model = model
        self._images = {image.name: image for image in model.images.values() if image.has_pose}
        self._pixels = pixels
        self._anchors: dict[str, _Anchor] = {}

    def refined(self, grey: Grey, around: Sequence[Keyframe], prior: pycolmap.Rigid3d) -> Refined | None:
        """The pose of a frame between two keyframes; None where the image does not tell."""
        self._anchors = {key.name: self._anchors.get(key.name) or self._anchor(key, grey.shape) for key in around}
        camera = self._camera(around[0].name, grey.shape)
        found = [_followed(anchor, grey, camera, prior) for anchor in self._anchors.values()]
        pose = _pose(np.concatenate([xy for xy, _ in found]), np.concatenate([xyz for _, xyz in found]), camera, prior)
        if pose is None:
            return None
        alone = [_pose(xy, xyz, camera, pose.cam_from_world) for xy, xyz in found]
        return replace(pose, disagreement=_disagreement(alone))

    def _camera(self, name: str, shape: tuple[int, ...]) -> pycolmap.Camera:
        camera = pycolmap.Camera(self._images[name].camera.todict())
        camera.rescale(shape[1], shape[0])
        return camera

    def _anchor(self, key: Keyframe, shape: tuple[int, ...]) -> _Anchor:
        image, camera = self._images[key.name], self._camera(key.name, shape)
        seen = image.get_observation_points2D()
        points = [self._model.points3D[point.point3D_id] for point in seen]
        longest = sorted(range(len(seen)), key=lambda i: (-points[i].track.length(), i))[:_POINTS]
        scale = np.array([shape[1] / image.camera.width, shape[0] / image.camera.height])
        xy = np.array([seen[i].xy for i in longest]).reshape(-1, 2) * scale
        xyz = np.array([points[i].xyz for i in longest]).reshape(-1, 3)
        offset = xy - _projected(camera, key.cam_from_world, xyz)
        known = np.isfinite(offset).all(axis=1)
        return _Anchor(self._pixels(key.name), (xy[known] - _HALF_PIXEL).astype(np.float32), xyz[known], offset[known])


def _followed(anchor: _Anchor, grey: Grey, camera: pycolmap.Camera, prior: pycolmap.Rigid3d) -> tuple[Floats, Floats]:
    """Pixels (M, 2) in the frame, COLMAP's, and points (M, 3), of the keyframe's points that are found there."""
    guess = _projected(camera, prior, anchor.xyz) + anchor.offset
    shape = grey.shape
    inside = np.flatnonzero(((guess >= 0) & (guess < (shape[1], shape[0]))).all(axis=1))  # NaN is not
    xy, expected = anchor.xy[inside], (guess[inside] - _HALF_PIXEL).astype(np.float32)
    if not len(xy):
        return np.zeros((0, 2)), np.zeros((0, 3))
    options: dict[str, Any] = {"winSize": _WINDOW, "maxLevel": _LEVELS, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    there, ok, _ = cv2.calcOpticalFlowPyrLK(anchor.grey, grey, xy, expected.copy(), **options)
    back, came, _ = cv2.calcOpticalFlowPyrLK(grey, anchor.grey, there, xy + _NUDGE_PX, **options)
    home = np.linalg.norm(back - xy, axis=1) < _MAX_RETURN_PX
    within = ((there >= 0) & (there < (shape[1] - 1, shape[0] - 1))).all(axis=1)
    good = (ok.ravel() == 1) & (came.ravel() == 1) & home & within
    return there[good].astype(np.float64) + _HALF_PIXEL, anchor.xyz[inside][good]


def _pose(xy: Floats, xyz: Floats, camera: pycolmap.Camera, prior: pycolmap.Rigid3d) -> Refined | None:
    """The pose that fits (N, 2) pixels of (N, 3) points: all of them under a robust loss, then those that agree."""
    agree, found = np.ones(len(xy), bool), prior
    sigma_px = 0.0
    for _ in range(2):
        if agree.sum() < _FEWEST or agree.mean() < _LEAST_AGREE:
            return None
        answer = pycolmap.refine_absolute_pose(found, xy, xyz, agree, camera)
        if answer is None:
            return None
        found = answer["cam_from_world"]
        error_px = np.linalg.norm(_projected(camera, found, xyz) - xy, axis=1)
        error_px[~np.isfinite(error_px)] = np.inf
        sigma_px = max(_LEAST_SIGMA_PX, 0.85 * float(np.median(error_px)))  # of each coordinate, from the median length of both
        agree = np.asarray(error_px < _OUTLIER * max(sigma_px, 0.5))
    if agree.sum() < _FEWEST or sigma_px > _WORST_PX:
        return None
    sigma_position, sigma_deg = _sigmas(xyz[agree], found, camera.mean_focal_length(), sigma_px)
    return Refined(found, int(agree.sum()), sigma_position, sigma_deg, None)


def _disagreement(alone: Sequence[Refined | None]) -> float | None:
    one, two = (*alone, None, None)[:2]
    if one is None or two is None:
        return None
    apart = float(np.linalg.norm(_center(one.cam_from_world) - _center(two.cam_from_world)))
    return apart / (MEDIAN_LENGTH * float(np.hypot(one.sigma_position, two.sigma_position)))


def _sigmas(xyz: Floats, cam_from_world: pycolmap.Rigid3d, focal_px: float, sigma_px: float) -> tuple[float, float]:
    """Deviations of centre and rotation by the normal equations of a pinhole, for points (N, 3) seen with sigma_px."""
    x, y, z = (cam_from_world * xyz).T
    zero = np.zeros_like(z)
    by_point = focal_px * np.stack([np.stack([1 / z, zero, -x / z**2], 1), np.stack([zero, 1 / z, -y / z**2], 1)], 1)
    # a turn by w moves a point by w x p, a step of the centre by -R step
    cross = np.stack([np.stack([zero, z, -y], 1), np.stack([-z, zero, x], 1), np.stack([y, -x, zero], 1)], 1)
    jacobian = np.concatenate([by_point @ cross, -by_point @ cam_from_world.rotation.matrix()], 2).reshape(-1, 6)
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * sigma_px**2
    spread = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    return float(np.sqrt((spread[3:] ** 2).mean())), float(np.degrees(np.sqrt((spread[:3] ** 2).mean())))


def _projected(camera: pycolmap.Camera, cam_from_world: pycolmap.Rigid3d, xyz: Floats) -> Floats:
    """(N, 2) pixels, NaN behind the camera."""
    in_cam = np.asarray(cam_from_world * xyz).reshape(-1, 3)
    pixel = np.asarray(camera.img_from_cam(in_cam), np.float64).reshape(-1, 2).copy()
    pixel[in_cam[:, 2] <= 1e-9] = np.nan
    return pixel


def _center(cam_from_world: pycolmap.Rigid3d) -> Floats:
    return np.asarray(cam_from_world.inverse().translation, np.float64)
