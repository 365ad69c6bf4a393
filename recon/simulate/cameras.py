"""Where the cameras go: poses, and smooth paths through them. Rotations here are world_from_cam, (3, 3): its columns are the camera's
x (right), y (down) and z (forward) axes in world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline


def look_at(center: NDArray[np.float64], target: NDArray[np.float64], roll_deg: float = 0.0) -> NDArray[np.float64]:
    """world_from_cam rotation (3, 3) of a camera at center that looks at target, upright but for a roll about its axis."""
    forward = (target - center) / np.linalg.norm(target - center)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    upright = np.stack([right, np.cross(forward, right), forward], 1)
    return np.asarray(upright @ Rotation.from_euler("z", roll_deg, degrees=True).as_matrix())


def gimbal_rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> NDArray[np.float64]:
    """enu_from_cam rotation (3, 3) of a drone's gimbal: yaw clockwise from north, pitch 0 level and -90 down, roll clockwise.

    The usual aircraft sequence yaw, pitch, roll about the z, y, x axes of north-east-down; camera z is the body's x axis.
    """
    ned_from_body = Rotation.from_euler("ZYX", [yaw_deg, pitch_deg, roll_deg], degrees=True).as_matrix()
    body_from_cam = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    enu_from_ned = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
    return np.asarray(enu_from_ned @ ned_from_body @ body_from_cam)


def pose(rotation: NDArray[np.float64], center: NDArray[np.float64]) -> pycolmap.Rigid3d:
    """cam_from_world of a world_from_cam rotation (3, 3) and a camera centre (3,)."""
    return pycolmap.Rigid3d(pycolmap.Rotation3d(rotation.T), -rotation.T @ center)


@dataclass(frozen=True)
class Trajectory:
    """A smooth path: splines through poses at given times."""

    times_s: NDArray[np.float64]
    """(N,), increasing, N >= 2."""
    rotations: NDArray[np.float64]
    """(N, 3, 3) world_from_cam."""
    centers: NDArray[np.float64]
    """(N, 3) world."""

    @cached_property
    def _center(self) -> CubicSpline:
        return CubicSpline(self.times_s, self.centers)

    @cached_property
    def _rotation(self) -> RotationSpline:
        return RotationSpline(self.times_s, Rotation.from_matrix(self.rotations))

    def at(self, times_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """world_from_cam rotations (M, 3, 3) and centres (M, 3)."""
        return self._rotation(times_s).as_matrix(), self._center(times_s)

    def pose(self, time_s: float) -> pycolmap.Rigid3d:
        """cam_from_world."""
        rotations, centers = self.at(np.array([time_s]))
        return pose(rotations[0], centers[0])


def path_length(poses: Sequence[pycolmap.Rigid3d]) -> float:
    """Length of the polyline through the camera centres, in order."""
    centers = np.array([p.inverse().translation for p in poses])
    return float(np.linalg.norm(np.diff(centers, axis=0), axis=1).sum())


def shaken(path: Trajectory, shift: float, turn_deg: float, rng: np.random.Generator) -> Trajectory:
    """The path as a hand or head carries it: sums of slow sines of about the given amplitudes."""
    frequency = rng.uniform(0.4, 2.2, (4, 6))
    phase = rng.uniform(0, 2 * np.pi, (4, 6))
    waves = np.sin(2 * np.pi * frequency * path.times_s[:, None, None] + phase).sum(1) / 2
    turns = Rotation.from_rotvec(np.radians(turn_deg) * waves[:, 3:]).as_matrix()
    return Trajectory(path.times_s, path.rotations @ turns, path.centers + shift * waves[:, :3])


def orbit(duration_s: float, radius_m: float, height_m: float, arc_deg: float, target: NDArray[np.float64]) -> Trajectory:
    """A walk around a target at z = height_m, looking at it; distance and height drift a little, as a walker's do."""
    times = np.linspace(0, duration_s, max(2, int(duration_s * 30) + 1))
    share = times / duration_s
    angle = np.radians(arc_deg) * (share - 0.5) - np.pi / 2
    radius = radius_m * (1 + 0.06 * np.sin(2 * np.pi * share))
    height = height_m * (1 + 0.10 * np.sin(3 * np.pi * share))
    centers = np.stack([target[0] + radius * np.cos(angle), target[1] + radius * np.sin(angle), height], 1)
    return Trajectory(times, np.array([look_at(c, target) for c in centers]), centers)


def lawnmower(
    count: int, spacing_m: tuple[float, float], altitude_m: float, rng: np.random.Generator
) -> list[tuple[NDArray[np.float64], tuple[float, float, float]]]:
    """Centres and gimbal angles (yaw, pitch, roll) of a survey flight about the origin: strips along north, every other one back.

    spacing_m is along and across the strips. Wind moves the drone and tilts the gimbal a little.
    """
    strips = max(1, round(np.sqrt(count * spacing_m[0] / spacing_m[1])))
    per_strip = -(-count // strips)
    stops = []
    for n in range(count):
        strip, step = divmod(n, per_strip)
        back = strip % 2 == 1
        along = (per_strip - 1 - step if back else step) - (per_strip - 1) / 2
        east, north = (strip - (strips - 1) / 2) * spacing_m[1], along * spacing_m[0]
        center = np.array([east, north, altitude_m]) + rng.normal(0, [0.8, 0.8, 0.6])
        yaw, pitch, roll = (180.0 if back else 0.0) + rng.normal(0, 2), -90.0 + abs(rng.normal(0, 1.5)), rng.normal(0, 1)
        stops.append((center, (float(yaw), float(pitch), float(roll))))
    return stops


def room_walk(duration_s: float, eye_m: float = 1.45, loops: float = 1.0) -> Trajectory:
    """A loop inside a room about the origin, always looking across it at the far side, a little down."""
    times = np.linspace(0, duration_s, max(2, int(duration_s * 30) + 1))
    angle = 2 * np.pi * loops * times / duration_s
    centers = np.stack([1.3 * np.cos(angle), 0.95 * np.sin(angle), np.full(len(times), eye_m)], 1)
    targets = np.stack([-1.5 * np.cos(angle + 0.5), -1.2 * np.sin(angle + 0.5), 0.8 + 0.25 * np.sin(2.3 * angle)], 1)
    return Trajectory(times, np.array([look_at(c, t) for c, t in zip(centers, targets, strict=True)]), centers)
