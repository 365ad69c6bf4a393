from __future__ import annotations

import numpy as np
import pycolmap
import pytest

from recon.geometry import frames

DOWN_NORTH_UP = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
"""Rows are the camera's axes in the world: right = east, down = south, forward = down."""
LEVEL_EAST = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
"""Right = south, down = down, forward = east."""


def rigid(rotation: np.ndarray, center: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -rotation @ np.array(center))


def random_pose(rng: np.random.Generator) -> pycolmap.Rigid3d:
    quaternion = rng.normal(size=4)
    return pycolmap.Rigid3d(pycolmap.Rotation3d(quaternion / np.linalg.norm(quaternion)), rng.normal(size=3))


def test_opengl_pose_of_a_nadir_camera_by_hand():
    matrix = frames.opengl_world_from_cam(rigid(DOWN_NORTH_UP, (10.0, 20.0, 30.0)))
    expected = np.eye(4)  # OpenGL: x right = east, y up = north, z backwards = up
    expected[:3, 3] = 10, 20, 30
    np.testing.assert_allclose(matrix, expected, atol=1e-12)


def test_opengl_round_trip():
    rng = np.random.default_rng(1)
    for _ in range(20):
        pose = random_pose(rng)
        back = frames.cam_from_opengl(frames.opengl_world_from_cam(pose))
        np.testing.assert_allclose(back.matrix(), pose.matrix(), atol=1e-12)


def test_opengl_camera_sees_what_ours_sees():
    pose = random_pose(np.random.default_rng(2))
    point = pose.inverse() * np.array([0.3, 0.5, 2.0])  # right, below, before the camera
    in_opengl = np.linalg.inv(frames.opengl_world_from_cam(pose)) @ np.append(point, 1)
    np.testing.assert_allclose(in_opengl[:3], [0.3, -0.5, -2.0], atol=1e-12)


def test_gltf_frame_by_hand_and_back():
    xyz = np.array([[1.0, 2.0, 3.0], [0, 0, 1], [0, 1, 0]], np.float32)
    there = frames.gltf_from_world(xyz)
    np.testing.assert_array_equal(there, [[1, 3, -2], [0, 1, 0], [0, 0, -1]])
    assert there.dtype == np.float32
    np.testing.assert_array_equal(frames.world_from_gltf(there), xyz)
    np.testing.assert_allclose(xyz @ frames.GLTF_FROM_WORLD.T, there)
    assert np.linalg.det(frames.GLTF_FROM_WORLD) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        (DOWN_NORTH_UP, (0.0, -90.0, 0.0)),
        (LEVEL_EAST, (90.0, 0.0, 0.0)),
        (np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, -1]]), (90.0, -90.0, 0.0)),  # the image's top points east
    ],
)
def test_yaw_pitch_roll_by_hand(rotation, expected):
    yaw, pitch, roll = frames.yaw_pitch_roll_deg(rigid(rotation))
    assert ((yaw - expected[0] + 180) % 360 - 180, pitch, roll) == pytest.approx((0.0, expected[1], expected[2]), abs=1e-9)


def _about(axis: int, deg: float) -> np.ndarray:
    c, s = np.cos(np.radians(deg)), np.sin(np.radians(deg))
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    m = np.eye(3)
    m[i, i] = m[j, j] = c
    m[i, j], m[j, i] = -s, s
    return m


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(30.0, -60.0, 5.0), (200.0, 10.0, -80.0), (359.0, 85.0, 170.0)])
def test_yaw_pitch_roll_undoes_their_rotation(yaw, pitch, roll):
    ned_from_body = _about(2, yaw) @ _about(1, pitch) @ _about(0, roll)
    enu_from_ned = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])
    forward, right, down = (enu_from_ned @ ned_from_body).T
    assert frames.yaw_pitch_roll_deg(rigid(np.stack([right, down, forward]))) == pytest.approx((yaw, pitch, roll))


def test_omega_phi_kappa_by_hand():
    assert frames.omega_phi_kappa_deg(rigid(DOWN_NORTH_UP)) == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)


@pytest.mark.parametrize(("omega", "phi", "kappa"), [(10.0, 20.0, 30.0), (-120.0, -70.0, 175.0), (25.0, 90.0, 0.0)])
def test_omega_phi_kappa_undoes_their_rotation(omega, phi, kappa):
    world_from_photo = _about(0, omega) @ _about(1, phi) @ _about(2, kappa)
    pose = rigid((world_from_photo @ np.diag([1.0, -1, -1])).T)
    assert frames.omega_phi_kappa_deg(pose) == pytest.approx((omega, phi, kappa), abs=1e-6)


def test_arkit_pose_by_hand() -> None:
    """A tablet held level in landscape that looks along ARKit's -z (our north), 1.5 m up: its transform has no rotation."""
    transform = np.eye(4)
    transform[:3, 3] = 2.0, 1.5, -3.0
    cam = frames.cam_from_arkit(transform)
    np.testing.assert_allclose(cam.inverse().translation, [2.0, 3.0, 1.5], atol=1e-12)
    right, down, forward = cam.rotation.matrix()
    np.testing.assert_allclose([right, down, forward], [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-12)
    np.testing.assert_allclose(cam * np.array([2.0, 8.0, 1.5]), [0, 0, 5], atol=1e-12)


def test_arkit_round_trip() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        pose = random_pose(rng)
        np.testing.assert_allclose(frames.cam_from_arkit(frames.arkit_world_from_cam(pose)).matrix(), pose.matrix(), atol=1e-12)


@pytest.mark.parametrize(("orientation", "quarters"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_a_turned_camera_sees_a_point_where_the_turned_image_shows_it(orientation: int, quarters: int) -> None:
    pose = random_pose(np.random.default_rng(6))
    image = np.zeros((6, 8))
    image[1, 5] = 1.0
    point = pose.inverse() * np.array([(5.5 - 4.0), (1.5 - 3.0), 1.0])  # a lens of one pixel, its axis through the middle
    upright = np.rot90(image, quarters)
    row, column = np.argwhere(upright)[0]
    turned = frames.turned_by_exif(pose, orientation)
    assert turned is not None
    x, y, z = turned * point
    assert z == pytest.approx(1.0)
    np.testing.assert_allclose([x + upright.shape[1] / 2, y + upright.shape[0] / 2], [column + 0.5, row + 0.5], atol=1e-9)


def test_a_mirrored_image_has_no_pose() -> None:
    assert frames.turned_by_exif(random_pose(np.random.default_rng(7)), 5) is None
