"""Camera and world conventions of other programs: OpenGL, ARKit, nerfstudio, glTF, photogrammetric and aircraft angles.

Ours are OpenCV's camera (x right, y down, z forward) and a z-up world; see ``docs/conventions.md``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray

OPENGL_FROM_OPENCV: NDArray[np.float64] = np.diag([1.0, -1.0, -1.0])
"""Camera axes: OpenGL's y points up and z backwards; its own inverse."""

GLTF_FROM_WORLD: NDArray[np.float64] = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""World axes: glTF is y up and right-handed, so z becomes y and north (y) becomes -z."""

_Z_UP_FROM_Y_UP = pycolmap.Rigid3d(pycolmap.Rotation3d(np.ascontiguousarray(GLTF_FROM_WORLD.T)), np.zeros(3))
_TURNS: dict[int, NDArray[np.float64]] = {
    1: np.eye(3),
    3: np.diag([-1.0, -1.0, 1.0]),
    6: np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    8: np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
}
"""upright_from_cam by EXIF's orientation: 6 is set upright by a quarter turn clockwise, 8 by one the other way."""
_NED_FROM_ENU: NDArray[np.float64] = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
_SINGULAR = 1e-6  # cosine below which two of three angles turn about one axis


def opengl_world_from_cam(cam_from_world: pycolmap.Rigid3d) -> NDArray[np.float64]:
    """The 4x4 world_from_cam of a camera with OpenGL axes, nerfstudio's ``transform_matrix``."""
    world_from_cam = cam_from_world.inverse()
    matrix = np.eye(4)
    matrix[:3, :3] = world_from_cam.rotation.matrix() @ OPENGL_FROM_OPENCV
    matrix[:3, 3] = world_from_cam.translation
    return matrix


def cam_from_opengl(world_from_cam: NDArray[np.float64]) -> pycolmap.Rigid3d:
    """Inverse of `opengl_world_from_cam`: cam_from_world with our axes from a 4x4 with OpenGL's."""
    rotation = pycolmap.Rotation3d(np.ascontiguousarray(world_from_cam[:3, :3] @ OPENGL_FROM_OPENCV))
    return pycolmap.Rigid3d(rotation, world_from_cam[:3, 3]).inverse()


def cam_from_arkit(world_from_cam: NDArray[np.float64]) -> pycolmap.Rigid3d:
    """cam_from_world with our axes and z up from ARKit's 4x4 camera transform: OpenGL's camera axes, y up in the world."""
    return cam_from_y_up(cam_from_opengl(world_from_cam))


def arkit_world_from_cam(cam_from_world: pycolmap.Rigid3d) -> NDArray[np.float64]:
    """Inverse of `cam_from_arkit`."""
    return opengl_world_from_cam(cam_from_world * _Z_UP_FROM_Y_UP)


def cam_from_y_up(cam_from_world: pycolmap.Rigid3d) -> pycolmap.Rigid3d:
    """The same camera, whose axes are ours already, in a world of z up in place of y up (x stays)."""
    return cam_from_world * _Z_UP_FROM_Y_UP.inverse()


def turned_by_exif(cam_from_world: pycolmap.Rigid3d, orientation: int) -> pycolmap.Rigid3d | None:
    """The pose of the camera whose image was set upright as EXIF's orientation asks (1, 3, 6 or 8); None for mirrored images."""
    turn = _TURNS.get(orientation)
    return None if turn is None else pycolmap.Rigid3d(pycolmap.Rotation3d(turn), np.zeros(3)) * cam_from_world


def gltf_from_world(xyz_in_world: NDArray[Any]) -> NDArray[Any]:
    """(N, 3) points or directions of the z-up world in glTF's y-up frame, dtype kept, exact."""
    return np.stack([xyz_in_world[:, 0], xyz_in_world[:, 2], -xyz_in_world[:, 1]], axis=1)


def world_from_gltf(xyz_in_gltf: NDArray[Any]) -> NDArray[Any]:
    """Inverse of `gltf_from_world`."""
    return np.stack([xyz_in_gltf[:, 0], -xyz_in_gltf[:, 2], xyz_in_gltf[:, 1]], axis=1)


def yaw_pitch_roll_deg(cam_from_world: pycolmap.Rigid3d) -> tuple[float, float, float]:
    """Yaw clockwise from north in [0, 360), pitch (0 level, 90 up, -90 down) and roll of the optical axis, degrees.

    The world is east-north-up. R_ned_from_body = Rz(yaw) Ry(pitch) Rx(roll) with the body's axes along the camera's forward,
    right and down, as in aircraft. Looking straight down, roll is 0 and yaw is where the image's top points (straight up: its bottom).
    """
    world_from_cam = cam_from_world.inverse().rotation.matrix()
    m = _NED_FROM_ENU @ world_from_cam[:, [2, 0, 1]]
    pitch = math.asin(float(np.clip(-m[2, 0], -1, 1)))
    if math.hypot(m[0, 0], m[1, 0]) < _SINGULAR:
        yaw, roll = math.atan2(-m[0, 1], m[1, 1]), 0.0
    else:
        yaw, roll = math.atan2(m[1, 0], m[0, 0]), math.atan2(m[2, 1], m[2, 2])
    return math.degrees(yaw) % 360.0, math.degrees(pitch), math.degrees(roll)


def cam_from_gimbal(angles_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3, 3) cam_from_enu of (N, 3) yaw (clockwise from north), pitch (-90 down) and roll, degrees; see ``yaw_pitch_roll_deg``."""
    yaw, pitch, roll = np.radians(np.asarray(angles_deg, np.float64)).T
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)

    def turn(rows: list[list[NDArray[np.float64]]]) -> NDArray[np.float64]:
        return np.stack([np.stack(row, -1) for row in rows], -2)

    about_z = turn([[np.cos(yaw), -np.sin(yaw), zero], [np.sin(yaw), np.cos(yaw), zero], [zero, zero, one]])
    about_y = turn([[np.cos(pitch), zero, np.sin(pitch)], [zero, one, zero], [-np.sin(pitch), zero, np.cos(pitch)]])
    about_x = turn([[one, zero, zero], [zero, np.cos(roll), -np.sin(roll)], [zero, np.sin(roll), np.cos(roll)]])
    enu_from_body = _NED_FROM_ENU.T @ about_z @ about_y @ about_x
    return np.swapaxes(enu_from_body[..., [1, 2, 0]], -1, -2)  # the camera's right, down and forward


def gimbal_angles_deg(cam_from_enu: NDArray[np.float64]) -> tuple[float, float, float]:
    """Inverse of ``cam_from_gimbal`` for one (3, 3) rotation."""
    return yaw_pitch_roll_deg(pycolmap.Rigid3d(pycolmap.Rotation3d(np.ascontiguousarray(cam_from_enu)), np.zeros(3)))


def omega_phi_kappa_deg(cam_from_world: pycolmap.Rigid3d) -> tuple[float, float, float]:
    """Photogrammetric angles, degrees: R_world_from_photo = Rx(omega) Ry(phi) Rz(kappa), photo axes as OpenGL's.

    A camera that looks straight down with the image's top to the north has (0, 0, 0). Source: Kraus, Photogrammetry, 2007,
    appendix 2.1.
    """
    m = cam_from_world.inverse().rotation.matrix() @ OPENGL_FROM_OPENCV
    phi = math.asin(float(np.clip(m[0, 2], -1, 1)))
    if math.hypot(m[0, 0], m[0, 1]) < _SINGULAR:
        omega, kappa = math.atan2(m[2, 1], m[1, 1]), 0.0
    else:
        omega, kappa = math.atan2(-m[1, 2], m[2, 2]), math.atan2(-m[0, 1], m[0, 0])
    return math.degrees(omega), math.degrees(phi), math.degrees(kappa)
