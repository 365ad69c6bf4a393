"""Rotations by their group's laws, at the ends of their range, and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from recon.geometry import rotations as so3

ANGLES = [0.0, 1e-12, 1e-8, 9.99e-4, 1.001e-3, 0.3, 2.0, np.pi - 1e-3, np.pi - 1e-8, np.pi]


def vectors(rng: np.random.Generator, angle: float, count: int = 50) -> np.ndarray:
    axes = rng.normal(size=(count, 3))
    return angle * axes / np.linalg.norm(axes, axis=1, keepdims=True)


@pytest.mark.parametrize("angle", ANGLES)
def test_exp_and_log_are_scipys_at_every_angle(rng: np.random.Generator, angle: float) -> None:
    w = vectors(rng, angle)
    turns = so3.so3_exp(w)
    assert np.abs(turns - Rotation.from_rotvec(w).as_matrix()).max() < 1e-14
    back = so3.so3_log(turns)
    if angle < np.pi - 1e-6:
        assert np.abs(back - w).max() < 1e-13
    assert np.abs(so3.so3_exp(back) - turns).max() < 1e-14
    assert np.linalg.norm(back, axis=1).max() <= np.pi + 1e-12


def test_laws_of_the_group(rng: np.random.Generator) -> None:
    a, b, c = so3.so3_exp(rng.normal(size=(3, 40, 3)))
    assert np.abs((a @ b) @ c - a @ (b @ c)).max() < 1e-14
    assert np.abs(np.linalg.det(a) - 1).max() < 1e-14
    w = rng.normal(size=(40, 3))
    assert np.abs(so3.so3_exp(w) @ so3.so3_exp(-w) - np.eye(3)).max() < 1e-14
    # the adjoint: a exp(w) a^-1 = exp(a w)
    moved = np.einsum("nij,nj->ni", a, w)
    assert np.abs(a @ so3.so3_exp(w) @ np.swapaxes(a, 1, 2) - so3.so3_exp(moved)).max() < 1e-13
    assert np.abs(so3.so3_exp(0.3 * w) @ so3.so3_exp(0.7 * w) - so3.so3_exp(w)).max() < 1e-14


def test_both_quaternions_of_a_rotation_give_it(rng: np.random.Generator) -> None:
    q = Rotation.random(100, rng=rng).as_quat()
    assert np.abs(so3.quaternion_log(q) - so3.quaternion_log(-q)).max() == 0
    assert np.abs(so3.rotation_of(-q) - Rotation.from_quat(q).as_matrix()).max() < 1e-14
    found = so3.quaternion_of(so3.rotation_of(3.0 * q))
    assert np.abs(found - np.where(q[:, 3:] < 0, -q, q)).max() < 1e-14
    half_turns = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    assert np.abs(so3.quaternion_of(so3.rotation_of(half_turns))) == pytest.approx(half_turns, abs=1e-15)


def test_leading_dimensions_stay(rng: np.random.Generator) -> None:
    w = rng.normal(size=(2, 3, 4, 3))
    assert so3.so3_log(so3.so3_exp(w)).shape == w.shape
    assert so3.so3_exp(w[0, 0, 0]).shape == (3, 3)
    assert so3.se3_log(so3.se3_exp(rng.normal(size=(5, 2, 6)))).shape == (5, 2, 6)


@pytest.mark.parametrize("angle", [0.0, 5e-4, 2e-3, 1.0, 3.0])
def test_jacobians_are_derivatives(rng: np.random.Generator, angle: float) -> None:
    w, step = vectors(rng, angle, 20), 1e-6 * rng.normal(size=(20, 3))
    turned = so3.so3_exp(w + step)
    left = so3.so3_log(turned @ np.swapaxes(so3.so3_exp(w), 1, 2))
    right = so3.so3_log(np.swapaxes(so3.so3_exp(w), 1, 2) @ turned)
    assert np.abs(left - np.einsum("nij,nj->ni", so3.left_jacobian(w), step)).max() < 3e-12
    assert np.abs(right - np.einsum("nij,nj->ni", so3.right_jacobian(w), step)).max() < 3e-12
    assert np.abs(so3.left_jacobian(w) @ so3.left_jacobian_inverse(w) - np.eye(3)).max() < 1e-12
    assert np.abs(so3.right_jacobian_inverse(w) @ so3.right_jacobian(w) - np.eye(3)).max() < 1e-12


@pytest.mark.parametrize("angle", [0.0, 1e-9, 9e-4, 0.4, 2.9])
def test_rigid_motions_come_back_and_compose(rng: np.random.Generator, angle: float) -> None:
    twist = np.concatenate([rng.normal(0, 5, (30, 3)), vectors(rng, angle, 30)], 1)
    motion = so3.se3_exp(twist)
    assert np.abs(so3.se3_log(motion) - twist).max() < 1e-11
    assert np.abs(so3.se3_exp(0.25 * twist) @ so3.se3_exp(0.75 * twist) - motion).max() < 1e-12
    assert np.abs(so3.se3_exp(-twist) @ motion - np.eye(4)).max() < 1e-12
    import scipy.linalg

    generator = np.zeros((4, 4))
    generator[:3, :3], generator[:3, 3] = so3.hat(twist[0, 3:]), twist[0, :3]
    assert np.abs(scipy.linalg.expm(generator) - motion[0]).max() < 1e-12


def test_the_geodesic_is_slerp_and_the_shortest_way(rng: np.random.Generator) -> None:
    a, b = so3.so3_exp(rng.normal(size=(2, 3)))
    share = np.linspace(0, 1, 21)
    way = so3.geodesic(np.broadcast_to(a, (21, 3, 3)), np.broadcast_to(b, (21, 3, 3)), share)
    assert np.abs(way - Slerp([0, 1], Rotation.from_matrix([a, b]))(share).as_matrix()).max() < 1e-13
    steps = so3.angle_between(way[:-1], way[1:])
    assert np.ptp(steps) < 1e-12, "constant angular speed"
    assert steps.sum() == pytest.approx(float(so3.angle_between(a, b)), abs=1e-12)
    turned = so3.so3_exp(np.array([0, 0, np.radians(179.0)]))
    back = so3.so3_exp(np.array([0, 0, np.radians(-179.0)]))
    assert float(so3.angle_between(turned, back)) == pytest.approx(np.radians(2.0)), "over the seam, not round the world"


def test_euler_angles_stray_where_the_geodesic_does_not() -> None:
    """The figure of docs/rotations.md in numbers: a gimbal that swings 2 degrees through straight down."""
    start, end = [0.0, -89.0, 0.0], [180.0, -89.0, 180.0]
    a, b = Rotation.from_euler("ZYX", [start, end], degrees=True).as_matrix()
    assert np.degrees(so3.angle_between(a, b)) == pytest.approx(2.0, abs=1e-9)
    share = np.linspace(0, 1, 101)
    euler = Rotation.from_euler("ZYX", np.outer(1 - share, start) + np.outer(share, end), degrees=True).as_matrix()
    way = so3.geodesic(np.broadcast_to(a, (101, 3, 3)), np.broadcast_to(b, (101, 3, 3)), share)
    assert np.degrees(so3.angle_between(way[:-1], way[1:]).sum()) == pytest.approx(2.0, abs=1e-9)
    assert np.degrees(so3.angle_between(way, euler).max()) > 170, "the picture hangs upside down half way"
    assert np.degrees(so3.angle_between(euler[:-1], euler[1:]).sum()) > 350
