"""Rotations and rigid motions by their exponential and logarithm: vectorised, and never by Euler angles.

A rotation vector is axis times angle [rad]; a twist is (N, 6): translation part first, then the rotation vector. Quaternions are
x, y, z, w, as pycolmap and scipy order them; q and -q are one rotation. Leading dimensions are taken as they come, ``(..., 3)``.

Sources: Sola, Deray, Atchuthan, "A micro Lie theory for state estimation in robotics", 2018 (equations in brackets).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SMALL = 1e-3
"""Angle below which series stand in for quotients: their next term is below 1e-15 there."""


def hat(w: Floats) -> Floats:
    """(..., 3, 3) skew-symmetric matrices of (..., 3): ``hat(a) @ b`` is the cross product."""
    x, y, z = np.moveaxis(np.asarray(w, np.float64), -1, 0)
    zero = np.zeros_like(x)
    return np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], -2)


def so3_exp(w: Floats) -> Floats:
    """(..., 3, 3) rotations of rotation vectors (..., 3). [Rodrigues, (133)]"""
    w = np.asarray(w, np.float64)
    angle = np.linalg.norm(w, axis=-1)
    a, b, _ = _coefficients(angle)
    turn = hat(w)
    return np.eye(3) + a[..., None, None] * turn + b[..., None, None] * (turn @ turn)


def so3_log(rotation: Floats) -> Floats:
    """(..., 3) rotation vectors of rotations (..., 3, 3), of an angle of at most pi; at pi either sign is right.

    By way of the quaternion: its parts are sine and cosine of half the angle, so that nothing cancels near 0 or pi.
    """
    return quaternion_log(quaternion_of(rotation))


def quaternion_of(rotation: Floats) -> Floats:
    """(..., 4) unit quaternions x, y, z, w >= 0 of rotations (..., 3, 3), by the largest of four square roots [Shepperd 1978]."""
    m = np.asarray(rotation, np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    d, e, f = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    # four times the outer product of the quaternion with itself: any of its rows is the quaternion but for its length
    rows = np.stack(
        [
            np.stack([1 + xx - yy - zz, d, e, a], -1),
            np.stack([d, 1 - xx + yy - zz, f, b], -1),
            np.stack([e, f, 1 - xx - yy + zz, c], -1),
            np.stack([a, b, c, 1 + xx + yy + zz], -1),
        ],
        -2,
    )
    strongest = np.argmax(np.einsum("...ii->...i", rows), axis=-1)
    row = np.take_along_axis(rows, strongest[..., None, None], axis=-2)[..., 0, :]
    q = row / np.linalg.norm(row, axis=-1, keepdims=True)
    return np.asarray(np.where(q[..., 3:] < 0, -q, q))


def quaternion_log(q: Floats) -> Floats:
    """(..., 3) rotation vectors of unit quaternions (..., 4), the short way round: q and -q give one vector."""
    q = np.asarray(q, np.float64)
    q = np.where(q[..., 3:] < 0, -q, q)
    sine = np.linalg.norm(q[..., :3], axis=-1)
    half = np.arctan2(sine, q[..., 3])
    small = sine < _SMALL
    factor = np.where(small, 2 + sine**2 / 3, 2 * half / np.where(small, 1.0, sine))  # arcsin(s) / s is 1 + s^2 / 6 near 0
    return np.asarray(factor[..., None] * q[..., :3])


def rotation_of(q: Floats) -> Floats:
    """(..., 3, 3) rotations of quaternions (..., 4) of any length but zero."""
    q = np.asarray(q, np.float64)
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    vector = hat(q[..., :3])
    return np.asarray(np.eye(3) + 2 * q[..., 3, None, None] * vector + 2 * vector @ vector)


def left_jacobian(w: Floats) -> Floats:
    """(..., 3, 3) J with exp(w + dw) = exp(J dw) exp(w) to first order. [(145)]"""
    w = np.asarray(w, np.float64)
    _, b, c = _coefficients(np.linalg.norm(w, axis=-1))
    turn = hat(w)
    return np.asarray(np.eye(3) + b[..., None, None] * turn + c[..., None, None] * (turn @ turn))


def right_jacobian(w: Floats) -> Floats:
    """(..., 3, 3) J with exp(w + dw) = exp(w) exp(J dw) to first order. [(143)]"""
    return left_jacobian(-np.asarray(w, np.float64))


def left_jacobian_inverse(w: Floats) -> Floats:
    """(..., 3, 3); defined for angles below 2 pi. [(146)]"""
    w = np.asarray(w, np.float64)
    angle = np.linalg.norm(w, axis=-1)
    small = angle < _SMALL
    safe = np.where(small, 1.0, angle)
    # (1 + cos) / sin is the cotangent of half the angle, which stays finite at pi
    d = np.where(small, 1 / 12 + angle**2 / 720, 1 / safe**2 - 1 / (2 * safe * np.tan(safe / 2)))
    turn = hat(w)
    return np.asarray(np.eye(3) - 0.5 * turn + d[..., None, None] * (turn @ turn))


def right_jacobian_inverse(w: Floats) -> Floats:
    """(..., 3, 3); see ``left_jacobian_inverse``. [(144)]"""
    return left_jacobian_inverse(-np.asarray(w, np.float64))


def se3_exp(twist: Floats) -> Floats:
    """(..., 4, 4) rigid motions of twists (..., 6): translation part, rotation vector. [(172)]"""
    twist = np.asarray(twist, np.float64)
    motion = np.zeros((*twist.shape[:-1], 4, 4))
    motion[..., :3, :3] = so3_exp(twist[..., 3:])
    motion[..., :3, 3] = np.einsum("...ij,...j->...i", left_jacobian(twist[..., 3:]), twist[..., :3])
    motion[..., 3, 3] = 1.0
    return motion


def se3_log(motion: Floats) -> Floats:
    """(..., 6) twists of rigid motions (..., 4, 4), of an angle of at most pi. [(173)]"""
    motion = np.asarray(motion, np.float64)
    w = so3_log(motion[..., :3, :3])
    translation = np.einsum("...ij,...j->...i", left_jacobian_inverse(w), motion[..., :3, 3])
    return np.concatenate([translation, w], -1)


def geodesic(a: Floats, b: Floats, share: Floats | float) -> Floats:
    """(..., 3, 3) rotations that far, 0..1, along the shortest way from a to b, at constant angular speed; of half a turn either way."""
    way = so3_log(np.swapaxes(a, -1, -2) @ b)
    return np.asarray(a @ so3_exp(np.asarray(share)[..., None] * way))


def angle_between(a: Floats, b: Floats) -> Floats:
    """(...) angle [rad] of the rotation from a to b, (..., 3, 3) each, 0..pi."""
    return np.asarray(np.linalg.norm(so3_log(np.swapaxes(a, -1, -2) @ b), axis=-1))


def _coefficients(angle: Floats) -> tuple[Floats, Floats, Floats]:
    """sin(t) / t, (1 - cos(t)) / t^2 and (t - sin(t)) / t^3."""
    small = angle < _SMALL
    t = np.where(small, 1.0, angle)
    square = angle**2
    sine = np.where(small, 1 - square / 6 + square**2 / 120, np.sin(t) / t)
    versine = np.where(small, 0.5 - square / 24, 2 * np.sin(t / 2) ** 2 / t**2)
    rest = np.where(small, 1 / 6 - square / 120, (t - np.sin(t)) / t**3)
    return sine, versine, rest
