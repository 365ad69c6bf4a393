"""Rectification by its laws: one row, and depth from disparity, for any pair of views."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from recon.dense.rectify import MAX_AREA, Pose, rectify

K = np.array([[300.0, 0, 160], [0, 310, 118], [0, 0, 1]])


def pose(center: np.ndarray, euler_deg: tuple[float, float, float] = (0, 0, 0), K: np.ndarray = K) -> Pose:
    R = Rotation.from_euler("xyz", euler_deg, degrees=True).as_matrix()
    return Pose(K, R, -R @ center, 320, 240)


def pixels(view: Pose, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    in_camera = xyz @ view.R.T + view.t
    return (in_camera @ view.K.T) / in_camera[:, 2:], in_camera[:, 2]


angle = st.floats(-8, 8)


@settings(max_examples=60, deadline=None)
@given(
    direction=st.floats(0, 360),
    turns=st.tuples(angle, angle, st.floats(-180, 180), angle, angle, st.floats(-180, 180)),
    zoom=st.floats(0.6, 1.6),
)
def test_a_point_lies_in_one_row_and_its_depth_follows_from_disparity(direction: float, turns: tuple[float, ...], zoom: float) -> None:
    toward = np.radians(direction)
    a = pose(np.zeros(3), turns[:3])
    b = pose(np.array([np.cos(toward), np.sin(toward), 0.1]), turns[3:], K * np.array([[zoom], [zoom], [1]]))
    xyz = np.random.default_rng(0).uniform([-1, -1, 6], [1, 1, 12], (50, 3))
    pair = rectify(a, b, xyz)
    assert pair is not None
    (in_a, depth_a), (in_b, depth_b) = pixels(a, xyz), pixels(b, xyz)
    left, right = in_a @ pair.rect_from_pixel[0].T, in_b @ pair.rect_from_pixel[1].T
    left, right = left / left[:, 2:], right / right[:, 2:]
    np.testing.assert_allclose(left[:, 1], right[:, 1], atol=1e-6)
    difference = left[:, 0] - right[:, 0]
    disparity = difference + pair.shift
    np.testing.assert_allclose(pair.focal_baseline / disparity / (in_a @ pair.axis_from_pixel[0]), depth_a, rtol=1e-8)
    np.testing.assert_allclose(pair.focal_baseline / disparity / (in_b @ pair.axis_from_pixel[1]), depth_b, rtol=1e-8)
    inner = np.sort(difference)[2:-2]
    assert pair.column_disparities[0] < inner[0]
    assert inner[-1] < pair.column_disparities[1]
    assert pair.height * max(pair.widths) <= 1.1 * MAX_AREA * 320 * 240


@pytest.mark.parametrize(
    ("b", "xyz"),
    [
        (pose(np.zeros(3)), np.array([[0, 0, 5.0]] * 5)),  # no baseline
        (pose(np.array([0, 0, 1.0])), np.array([[0, 0, 5.0]] * 5)),  # straight ahead
        (pose(np.array([1.0, 0, 0])), np.empty((0, 3))),  # nothing known of the depth
        (pose(np.array([1.0, 0, 0]), (0, 120, 0)), np.array([[0, 0, 5.0]] * 5)),  # looking away
    ],
)
def test_what_cannot_be_rectified_is_none(b: Pose, xyz: np.ndarray) -> None:
    assert rectify(pose(np.zeros(3)), b, xyz) is None
