"""Which views are matched: those beside, not those ahead or in the same place, together covering the view."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.dense.covisibility import SparsePoints, stereo_neighbours, sweep_neighbours, tilt_deg
from recon.dense.view import View

ANGLES = (1.5, 40.0)


def at(x: float, y: float = 0.0, z: float = 0.0) -> View:
    """A view at (x, y, z) that looks along +z."""
    K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
    return View("", Path(), None, 320, 240, K, np.eye(3), -np.array([x, y, z]))


def ground(columns: int = 40) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(-10, 10, columns), np.linspace(-4, 4, 10))
    return np.column_stack([x.ravel(), y.ravel(), np.full(x.size, 10.0)])


def seen_from(views: list[View], xyz: np.ndarray) -> SparsePoints:
    seen = []
    for view in views:
        p = xyz - view.center
        seen.append(np.flatnonzero((np.abs(p[:, 0] / p[:, 2]) < 160 / 300) & (np.abs(p[:, 1] / p[:, 2]) < 120 / 300)))
    return SparsePoints(xyz, tuple(seen))


def test_tilt_is_the_angle_out_of_the_plane_across_the_baseline() -> None:
    assert tilt_deg(at(0), at(1)) == 0
    assert abs(tilt_deg(at(0), at(1, 0, 1)) - 45) < 1e-9
    assert tilt_deg(at(0), at(0, 0, 1)) == 90
    assert tilt_deg(at(0), at(0)) == 90


def test_the_best_baseline_comes_first_and_hopeless_ones_not_at_all() -> None:
    views = [at(0), at(0.05), at(1.8), at(4.0), at(0, 0, 2.0), at(0)]
    chosen = stereo_neighbours(views, seen_from(views, ground()), 4, ANGLES)[0]
    assert chosen[0] == 2  # 10 degrees
    assert not {1, 4, 5} & set(chosen)  # 0.3 degrees, straight ahead, the same place


def test_neighbours_on_both_sides_are_taken_though_one_side_has_more() -> None:
    views = [at(0), at(3.4), at(3.5), at(3.6), at(-3.5)]
    xyz = ground(400)
    chosen = stereo_neighbours(views, seen_from(views, xyz), 2, ANGLES)[0]
    assert 4 in chosen
    assert len(chosen) == 2


def test_a_sweep_may_look_ahead() -> None:
    views = [at(0), at(0, 0, 3.0), at(0, 0, 0.01)]
    points = seen_from(views, ground())
    assert stereo_neighbours(views, points, 4, ANGLES)[0] == []
    assert sweep_neighbours(0, views, points, 4, ANGLES) == [1]


def test_views_without_points_have_no_neighbours() -> None:
    points = SparsePoints(np.empty((0, 3)), (np.empty(0, np.int64), np.empty(0, np.int64)))
    assert stereo_neighbours([at(0), at(1)], points, 4, ANGLES) == [[], []]
