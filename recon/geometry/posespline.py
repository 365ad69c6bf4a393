"""A smooth path through poses: a cumulative cubic B-spline, and interpolation that meets every pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.geometry.rotations import angle_between, geodesic, so3_exp, so3_log

Floats = NDArray[np.float64]
_BLEND: Floats = np.array([[5, 3, -3, 1], [1, 3, 3, -2], [0, 0, 0, 1]]) / 6.0
"""Cumulative cubic basis: row j is the share of the step j + 1, a polynomial 1, u, u^2, u^3 of the place u between two knots."""
_TIGHT_RAD, _ROUNDS = 1e-9, 60


@dataclass(frozen=True)
class PoseSpline:
    """Poses at any time, twice continuously differentiable in time; control poses are uniform in time.

    Kim, Kim, Shin, "A general construction scheme for unit quaternion curves", SIGGRAPH 1995; derivatives as in Sommer et al., "Efficient
    derivative computation for cumulative B-splines on Lie groups", CVPR 2020, section 4. Centres and rotations are splined apart,
    so a camera that turns does not bend its path.
    """

    start_s: float
    step_s: float
    rotations: Floats
    """(N, 3, 3) world_from_cam of the control poses, N >= 4."""
    centers: Floats
    """(N, 3) in world."""

    @classmethod
    def through(cls, times_s: Floats, rotations: Floats, centers: Floats) -> PoseSpline:
        """The spline that meets the poses (world_from_cam (N, 3, 3), centres (N, 3)) at uniform times (N,), N >= 2.

        Control poses are found by repeated correction, which converges like a Jacobi iteration: the middle one has a weight of 2/3.
        """
        times_s = np.asarray(times_s, np.float64)
        step = float(times_s[-1] - times_s[0]) / (len(times_s) - 1)
        if np.abs(np.diff(times_s) - step).max() > 1e-6 * step:
            raise ValueError("the times of a pose spline are uniform: interpolate the poses first")
        ends = _beyond(rotations, centers)
        spline = cls(float(times_s[0]) - step, step, ends[0], ends[1])
        turns, places = spline.rotations.copy(), spline.centers.copy()
        for _ in range(_ROUNDS):
            now = cls(spline.start_s, step, turns, places)
            met, at = now.at(times_s)
            turns[1:-1] = turns[1:-1] @ so3_exp(so3_log(np.swapaxes(met, -1, -2) @ rotations))
            places[1:-1] += centers - at
            turns, places = _beyond(turns[1:-1], places[1:-1])
            if angle_between(met, rotations).max() < _TIGHT_RAD and np.abs(centers - at).max() < 1e-12 * (1 + np.abs(centers).max()):
                break
        return cls(spline.start_s, step, turns, places)

    def at(self, times_s: Floats) -> tuple[Floats, Floats]:
        """world_from_cam (M, 3, 3) and centres (M, 3). Times beyond the ends are moved to them."""
        rotation, center, *_ = self._evaluated(times_s)
        return rotation, center

    def velocity(self, times_s: Floats) -> tuple[Floats, Floats]:
        """Angular velocity (M, 3) [rad/s] in the camera's frame, and velocity (M, 3) of the centre in world."""
        evaluated = self._evaluated(times_s)
        return evaluated[2], evaluated[3]

    def acceleration(self, times_s: Floats) -> Floats:
        """(M, 3) acceleration of the centre in world."""
        return self._evaluated(times_s)[4]

    def _evaluated(self, times_s: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        place = np.clip((np.asarray(times_s, np.float64) - self.start_s) / self.step_s, 1.0, len(self.centers) - 2.0)
        first = np.minimum(place.astype(int), len(self.centers) - 3) - 1
        u = place - first - 1
        zero, one = np.zeros_like(u), np.ones_like(u)
        value = np.stack([one, u, u**2, u**3], -1) @ _BLEND.T
        speed = np.stack([zero, one, 2 * u, 3 * u**2], -1) @ _BLEND.T / self.step_s
        change = np.stack([zero, zero, 2 * one, 6 * u], -1) @ _BLEND.T / self.step_s**2
        rotation, center = self.rotations[first], self.centers[first]
        omega, velocity, acceleration = np.zeros((3, len(u), 3))
        for j in range(3):
            turn = so3_log(np.swapaxes(self.rotations[first + j], -1, -2) @ self.rotations[first + j + 1])
            move = self.centers[first + j + 1] - self.centers[first + j]
            step = so3_exp(value[:, j, None] * turn)
            rotation = rotation @ step
            omega = np.einsum("nji,nj->ni", step, omega) + speed[:, j, None] * turn
            center = center + value[:, j, None] * move
            velocity = velocity + speed[:, j, None] * move
            acceleration = acceleration + change[:, j, None] * move
        return rotation, center, omega, velocity, acceleration


def interpolated(times_s: Floats, rotations: Floats, centers: Floats, wanted_s: Floats) -> tuple[Floats, Floats]:
    """Poses at wanted times (M,) between poses at increasing times (N,), N >= 2: geodesic in turn, straight in place; the ends stay."""
    wanted = np.clip(np.asarray(wanted_s, np.float64), times_s[0], times_s[-1])
    left = np.clip(np.searchsorted(times_s, wanted, side="right") - 1, 0, len(times_s) - 2)
    share = (wanted - times_s[left]) / (times_s[left + 1] - times_s[left])
    return (
        geodesic(rotations[left], rotations[left + 1], share),
        centers[left] + share[:, None] * (centers[left + 1] - centers[left]),
    )


def _beyond(rotations: Floats, centers: Floats) -> tuple[Floats, Floats]:
    """The poses with one more before and after, as the first and last step go on."""
    before = rotations[0] @ np.swapaxes(rotations[1], 0, 1) @ rotations[0]
    after = rotations[-1] @ np.swapaxes(rotations[-2], 0, 1) @ rotations[-1]
    return (
        np.concatenate([before[None], rotations, after[None]]),
        np.concatenate([2 * centers[:1] - centers[1:2], centers, 2 * centers[-1:] - centers[-2:-1]]),
    )
