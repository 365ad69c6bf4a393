"""Where to stand to show a reconstruction: on the side the cameras were, a little above, the subject filling the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.products.render import Viewpoint
from recon.products.textured import TexturedMesh
from recon.surface.mesh import face_areas

_FOV_DEG = 35.0
_SUBJECT = (0.05, 0.95)  # quantiles of the points that mark the subject: strays and far surroundings do not push it away
_MARGIN = 0.06  # of the range between them, to either side: evenly spread points are all within
_ONE_SIDED = 0.45  # mean horizontal direction to the cameras, 0 all around .. 1 all from one side
_THREE_QUARTER_DEG = 22.0
_FILL = 0.86  # share of the picture that the subject may take
_SWING_DEG = 30.0  # half the swing of a turntable where only one side was seen
_NADIR_DEG = 60.0  # cameras that look from higher than this look down
_MAX_POINTS = 20_000
_MAX_CAMERAS = 60


@dataclass(frozen=True)
class Orbit:
    """A circle (or an arc) of viewpoints around the subject."""

    subject: NDArray[np.float64]
    """(N, 3) points in world that the pictures are framed on."""
    azimuth_deg: float
    """Of the best viewpoint, counter-clockwise from world x."""
    elevation_deg: float
    one_sided: bool
    """The cameras saw one side only: a full turn would show the back of nothing."""

    def best(self, width: int, height: int) -> Viewpoint:
        """The viewpoint of the preview."""
        return self._framed([self.azimuth_deg], width, height)[0]

    def turn(self, count: int, width: int, height: int) -> list[Viewpoint]:
        """Count viewpoints of a loop: a full turn, or a swing to and fro where only one side was seen; one distance for all."""
        phase = np.arange(count) / count
        offsets = _SWING_DEG * np.sin(2 * np.pi * phase) if self.one_sided else 360.0 * phase
        return self._framed([self.azimuth_deg + float(offset) for offset in offsets], width, height)

    def returns_at(self, number: int, count: int) -> int | None:
        """Which other frame of a `turn` of count has the same viewpoint as this one: a swing passes each twice."""
        if not self.one_sided or count % 2:
            return None
        return (count // 2 - number) % count

    def _framed(self, azimuths_deg: list[float], width: int, height: int) -> list[Viewpoint]:
        """Views from these directions, all as far off as needed to have the whole subject in each picture, centred over all."""
        middle = (self.subject.min(axis=0) + self.subject.max(axis=0)) / 2
        views = [
            Viewpoint.look_at(middle + _direction(azimuth, self.elevation_deg), middle, width, height, _FOV_DEG) for azimuth in azimuths_deg
        ]
        sampled = views[:: max(1, len(views) // 24)]
        x, y, z = np.concatenate([(self.subject - middle) @ view.R.T for view in sampled]).T
        slope_x, slope_y = _FILL * width / 2 / views[0].focal_px, _FILL * height / 2 / views[0].focal_px
        # a point is in the picture if |x - cx| <= slope (z - cz): of these planes two opposite ones fix the nearest cz
        across = np.max(x - slope_x * z) + np.max(-x - slope_x * z)
        along = np.max(y - slope_y * z) + np.max(-y - slope_y * z)
        back = min(-across / (2 * slope_x), -along / (2 * slope_y), float(z.min()))
        depth = np.maximum(z - back, 1e-9)
        eye_in_view = np.array([_centre(x, depth), _centre(y, depth), back])
        return [Viewpoint(width, height, view.focal_px, view.R, middle + view.R.T @ eye_in_view) for view in views]


def orbit_of(mesh: TexturedMesh, centers: NDArray[np.float64]) -> Orbit:
    """The orbit that shows a mesh best; each part of it counts by its area, and by how large the cameras' pictures show it."""
    area = np.bincount(mesh.faces.ravel(), np.repeat(face_areas(mesh.vertices, mesh.faces), 3), minlength=len(mesh.vertices))
    step = max(1, len(mesh.vertices) // (5 * _MAX_POINTS))
    xyz, some = mesh.vertices[::step].astype(np.float64), centers[:: -(-len(centers) // _MAX_CAMERAS)]
    near = np.sum([1 / np.maximum(((xyz - center) ** 2).sum(axis=1), 1e-12) for center in some], axis=0)
    return choose_orbit(xyz, area[::step] * near, centers)


def choose_orbit(xyz: NDArray[np.floating], weight: NDArray[np.floating | np.integer], centers: NDArray[np.float64]) -> Orbit:
    """The orbit that shows best what was captured.

    xyz (N, 3) are points of it in world, weight (N,) how much each says of what the subject is; centers (M, 3) are the cameras'.
    """
    subject = _subject(xyz.astype(np.float64), weight.astype(np.float64))
    middle = (subject.min(axis=0) + subject.max(axis=0)) / 2
    directions = centers - middle
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    mean = directions.mean(axis=0)
    elevation = math.degrees(math.asin(float(np.clip(directions[:, 2].mean(), -1, 1))))
    flat = float(np.hypot(mean[0], mean[1]))
    one_sided = flat > _ONE_SIDED and elevation < _NADIR_DEG
    facing = math.degrees(math.atan2(mean[1], mean[0])) if one_sided else _across(subject, mean)
    height = 42.0 if elevation > _NADIR_DEG else float(np.clip(elevation + 5, 12, 40))
    return Orbit(subject, facing + _THREE_QUARTER_DEG, height, one_sided)


def _centre(across: NDArray[np.float64], depth: NDArray[np.float64]) -> float:
    """The offset at which the extremes of (across - offset) / depth lie evenly about zero."""
    low, high = float(across.min()), float(across.max())
    for _ in range(40):  # the sum of the extremes falls with the offset
        middle = (low + high) / 2
        slope = (across - middle) / depth
        if slope.max() + slope.min() > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _subject(points: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points about as far as the quantiles of the weight on every axis."""
    inside = np.ones(len(points), bool)
    for axis in range(3):
        order = np.argsort(points[:, axis], kind="stable")
        share = np.cumsum(weight[order]) / max(float(weight.sum()), 1e-12)
        low, high = (points[order[min(int(np.searchsorted(share, q)), len(order) - 1)], axis] for q in _SUBJECT)
        margin = _MARGIN * (high - low)
        inside &= (points[:, axis] >= low - margin) & (points[:, axis] <= high + margin)
    kept = points[inside] if inside.any() else points
    return kept[:: max(1, len(kept) // _MAX_POINTS)]


def _across(subject: NDArray[np.float64], towards: NDArray[np.float64]) -> float:
    """Azimuth (deg) that looks across the subject's longer horizontal side, from where there are more cameras (else the south)."""
    flat = subject[:, :2] - subject[:, :2].mean(axis=0)
    _, axes = np.linalg.eigh(flat.T @ flat)
    shorter = axes[:, 0]
    side = float(shorter @ towards[:2])
    if abs(side) < 0.05:
        side = -float(shorter[1]) or -float(shorter[0])
    if side < 0:
        shorter = -shorter
    return math.degrees(math.atan2(shorter[1], shorter[0]))


def _direction(azimuth_deg: float, elevation_deg: float) -> NDArray[np.float64]:
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    return np.array([math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)])
