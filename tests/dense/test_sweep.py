"""Flying straight at a wall: rectified pairs can't measure it, a sweep can."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from recon.dense.covisibility import MAX_TILT_DEG, tilt_deg
from recon.dense.rectify import Pose
from recon.dense.stereo import Frame
from recon.dense.sweep import sweep_depth
from recon.dense.view import View
from recon.simulate.cameras import look_at, pose
from recon.simulate.render import render
from recon.simulate.scenes import object_scene
from recon.simulate.sensors import make_camera

CAMERA = make_camera((320, 240), 0.9)


def frame(distance_m: float) -> tuple[Frame, np.ndarray, pycolmap.Rigid3d]:
    target = np.array([0.0, 0.0, 0.45])
    center = target + distance_m * np.array([0.8, -0.5, 0.33])
    cam_from_world = pose(look_at(center, target), center)
    rgb, depth = render(object_scene(0), CAMERA, cam_from_world)
    K = CAMERA.calibration_matrix()
    K[:2, 2] -= 0.5
    rotation = cam_from_world.rotation.matrix()
    at = Pose(K, rotation, np.array(cam_from_world.translation), CAMERA.width, CAMERA.height)
    grey = (rgb @ np.array([0.3, 0.6, 0.1])).astype(np.uint8)
    return Frame(at, grey, np.ones(grey.shape, bool)), depth, cam_from_world


@pytest.fixture(scope="module")
def approach() -> list[tuple[Frame, np.ndarray, pycolmap.Rigid3d]]:
    return [frame(distance_m) for distance_m in (2.0, 2.25, 2.5)]


def test_forward_motion_is_measured_away_from_the_middle(approach: list[tuple[Frame, np.ndarray, pycolmap.Rigid3d]]) -> None:
    reference, truth, cam_from_world = approach[0]
    rows, columns = np.mgrid[4:240:12, 4:320:12].reshape(2, -1)
    z = truth[rows, columns].astype(np.float64)
    rows, columns, z = rows[z > 0], columns[z > 0], z[z > 0]
    rays = np.column_stack([columns, rows, np.ones(len(rows))]) @ np.linalg.inv(reference.pose.K).T
    xyz = cam_from_world.inverse() * (rays * z[:, None])
    found = sweep_depth(reference, [other for other, _, _ in approach[1:]], xyz)
    assert found is not None
    v, u = np.mgrid[:240, :320]
    outside = np.hypot(v - 120, u - 160) > 60
    known = (found.depth > 0) & (truth > 0) & outside
    assert known.sum() > 0.3 * ((truth > 0) & outside).sum()
    error = np.abs(found.depth - truth)[known] / truth[known]
    assert 1e-5 < np.median(error) < 0.015


def test_no_points_no_sweep(approach: list[tuple[Frame, np.ndarray, pycolmap.Rigid3d]]) -> None:
    assert sweep_depth(approach[0][0], [approach[1][0]], np.zeros((0, 3))) is None


def test_straight_ahead_is_the_largest_tilt() -> None:
    def view(center: tuple[float, float, float]) -> View:
        return View("a", Path("a"), None, 10, 10, np.eye(3), np.eye(3), -np.array(center))

    assert tilt_deg(view((0, 0, 0)), view((0, 0, 1))) == pytest.approx(90)
    assert tilt_deg(view((0, 0, 0)), view((1, 0, 0))) == pytest.approx(0)
    assert MAX_TILT_DEG < 90
