import numpy as np
import pytest

from recon.geometry.frames import yaw_pitch_roll_deg
from recon.simulate.cameras import Trajectory, gimbal_rotation, lawnmower, look_at, orbit, path_length, pose, room_walk, shaken


def test_look_at_points_forward_and_keeps_upright():
    center, target = np.array([1.0, -2.0, 3.0]), np.array([0.5, 1.0, 0.2])
    rotation = look_at(center, target)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_allclose(pose(rotation, center) * target, [0, 0, np.linalg.norm(target - center)], atol=1e-12)
    assert rotation[2, 0] == pytest.approx(0)
    assert rotation[2, 1] < 0  # y is down


@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (30.0, -20.0, 5.0), (200.0, -75.0, -8.0)])
def test_gimbal_angles_read_back(angles):
    yaw, pitch, roll = yaw_pitch_roll_deg(pose(gimbal_rotation(*angles), np.zeros(3)))
    assert (yaw, pitch, roll) == pytest.approx(angles, abs=1e-9)


def test_nadir_gimbal_has_the_heading_up():
    rotation = gimbal_rotation(90.0, -90.0, 0.0)
    np.testing.assert_allclose(rotation[:, 2], [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(rotation[:, 1], [-1, 0, 0], atol=1e-12)  # heading east: the image's bottom is west


def test_trajectory_passes_its_knots_smoothly():
    path = orbit(4.0, 2.0, 1.0, 120.0, np.zeros(3))
    rotations, centers = path.at(path.times_s)
    np.testing.assert_allclose(centers, path.centers, atol=1e-9)
    np.testing.assert_allclose(rotations, path.rotations, atol=1e-9)
    fine = path.at(np.linspace(0, 4, 1000))[1]
    steps = np.linalg.norm(np.diff(fine, axis=0), axis=1)
    assert steps.max() < 1.5 * steps.mean()
    assert steps.sum() == pytest.approx(path_length([path.pose(t) for t in np.linspace(0, 4, 1000)]), rel=1e-9)
    assert 2.0 * np.radians(120) < steps.sum() < 1.2 * 2.0 * np.radians(120)


def test_shake_has_about_its_amplitude():
    path = room_walk(20.0)
    shaky = shaken(path, 0.02, 2.0, np.random.default_rng(0))
    assert 0.01 < (shaky.centers - path.centers).std() < 0.04
    turns = np.degrees(np.arccos(np.clip((np.einsum("nij,nij->n", shaky.rotations, path.rotations) - 1) / 2, -1, 1)))
    assert 1.0 < turns.mean() < 8.0
    assert isinstance(shaky, Trajectory)


@pytest.mark.parametrize("count", [2, 7, 25, 50])
def test_survey_covers_evenly(count):
    stops = lawnmower(count, (15.0, 28.0), 60.0, np.random.default_rng(0))
    assert len(stops) == count
    centers = np.array([center for center, _ in stops])
    nearest = [np.sort(np.linalg.norm(centers - c, axis=1))[1] for c in centers]
    assert 8 < min(nearest) <= max(nearest) < 30
    assert all(-90 <= pitch < -80 for _, (_, pitch, _) in stops)
