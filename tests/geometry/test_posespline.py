"""Splines through poses: they meet them, move smoothly, and their derivatives are derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from recon.geometry.posespline import PoseSpline, interpolated
from recon.geometry.rotations import angle_between, so3_exp, so3_log


def walk(count: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    t = 0.5 * np.arange(count)
    turns = so3_exp(np.column_stack([0.4 * np.sin(t), 0.9 * t, 0.3 * np.cos(1.3 * t)]))
    return t, turns, np.column_stack([np.cos(t), np.sin(t), 0.1 * t])


def test_the_spline_meets_its_poses_and_the_path_between() -> None:
    t, turns, places = walk(24)
    spline = PoseSpline.through(t, turns, places)
    met, at = spline.at(t)
    assert angle_between(met, turns).max() < 1e-8
    assert np.abs(at - places).max() < 1e-9
    fine = np.linspace(t[3], t[-4], 200)
    truth = np.column_stack([np.cos(fine), np.sin(fine), 0.1 * fine])
    assert 1e-6 < np.abs(spline.at(fine)[1] - truth).max() < 2e-3


def test_velocities_and_accelerations_are_derivatives() -> None:
    t, turns, places = walk()
    spline = PoseSpline.through(t, turns, places)
    at, dt = np.linspace(0.7, 4.8, 57), 1e-5
    (before, here_before), (after, here_after) = spline.at(at - dt), spline.at(at + dt)
    omega, velocity = spline.velocity(at)
    assert np.abs(velocity - (here_after - here_before) / (2 * dt)).max() < 1e-7
    assert np.abs(omega - so3_log(np.swapaxes(before, 1, 2) @ after) / (2 * dt)).max() < 1e-6
    faster = (spline.velocity(at + dt)[1] - spline.velocity(at - dt)[1]) / (2 * dt)
    assert np.abs(spline.acceleration(at) - faster).max() < 1e-5


def test_acceleration_has_no_jumps_at_the_knots() -> None:
    t, turns, places = walk()
    spline = PoseSpline.through(t, turns, places)
    assert np.abs(spline.acceleration(t[2:-2] - 1e-9) - spline.acceleration(t[2:-2] + 1e-9)).max() < 1e-6


def test_any_frame_of_the_world_gives_the_same_path() -> None:
    t, turns, places = walk()
    turn, shift = so3_exp(np.array([1.0, -2.0, 0.5])), np.array([4.0, 5.0, 6.0])
    here = PoseSpline.through(t, turns, places).at(np.linspace(0, 5, 31))
    there = PoseSpline.through(t, turn @ turns, places @ turn.T + shift).at(np.linspace(0, 5, 31))
    assert angle_between(turn @ here[0], there[0]).max() < 1e-8
    assert np.abs(here[1] @ turn.T + shift - there[1]).max() < 1e-8


def test_interpolation_meets_every_pose_at_uneven_times() -> None:
    t, turns, places = walk()
    uneven = t + np.linspace(0, 0.4, len(t)) ** 2
    met, at = interpolated(uneven, turns, places, uneven)
    assert angle_between(met, turns).max() < 1e-7
    assert np.abs(at - places).max() < 1e-12
    middle, _ = interpolated(uneven, turns, places, (uneven[:-1] + uneven[1:]) / 2)
    assert angle_between(turns[:-1], middle) == pytest.approx(angle_between(middle, turns[1:]), abs=1e-7)
    assert interpolated(uneven, turns, places, np.array([-9.0, 99.0]))[1] == pytest.approx(places[[0, -1]])


def test_uneven_times_are_refused() -> None:
    t, turns, places = walk()
    with pytest.raises(ValueError, match="uniform"):
        PoseSpline.through(t**1.1, turns, places)
