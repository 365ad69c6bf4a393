"""Which photos see the same ground, from where they were taken: positions, and footprints where the camera's direction is known.

A photo that states its gimbal's angles sees a rectangle about the point that its axis meets, turned by its yaw; of others only
the position is known. The height above ground is the altitude where that counts from take-off, else what would make photos
overlap as a survey's do. Only the order of neighbours hangs on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.capture.records import Gps, ImageRecord

_EARTH_M = 6_371_000.0
_SPACING = 0.27
"""Way to the nearest neighbour as a share of the footprint's shorter side, in a flight with the usual overlap of 70 to 80 %."""
_GUESSED_FOCAL = 1.2
"""Over the longer side, as where no focal length is known."""
_STEEPEST_DEG = 60.0
"""A view further off the vertical is taken to look down so far: the horizon has no footprint."""
_LOWEST_M = 5.0


@dataclass(frozen=True)
class Footprints:
    """What N photos see of the ground. Metres east, north, up of a local plane."""

    centers: NDArray[np.float64]
    """(N, 3): the middle of what is seen, and the photo's own altitude (0 for all where one does not know its)."""
    sides: NDArray[np.float64]
    """(N, 2) across and along the image's upright."""
    yaws: NDArray[np.float64]
    """(N,) radians clockwise from north; NaN where the direction is not known."""
    axes: NDArray[np.float64]
    """(N, 3) unit vectors of view; straight down where the direction is not known."""

    def __len__(self) -> int:
        return len(self.centers)

    @classmethod
    def of(cls, records: Sequence[ImageRecord]) -> Footprints:
        """Of photos that all have a position."""
        fixes = [record.gps for record in records if record.gps is not None]
        xyz = local_m(fixes)
        size = np.array([(record.width, record.height) for record in records], dtype=np.float64)
        focal = np.array([record.focal_px or _GUESSED_FOCAL * max(record.width, record.height) for record in records])
        height = _heights_m(fixes, xyz, size, focal)
        angles = np.radians([record.gimbal_deg or (np.nan,) * 3 for record in records]).reshape(-1, 3)
        yaw, off = angles[:, 0], np.nan_to_num(np.clip(angles[:, 1] + np.pi / 2, 0, np.radians(_STEEPEST_DEG)))
        heading = np.nan_to_num(np.column_stack([np.sin(yaw), np.cos(yaw)]))
        reach = height * np.tan(off)
        centers = np.column_stack([xyz[:, :2] + reach[:, None] * heading, xyz[:, 2]])
        axes = np.column_stack([np.sin(off)[:, None] * heading, -np.cos(off)])
        return cls(centers, height[:, None] / np.cos(off)[:, None] * size / focal[:, None], yaw, axes)

    def overlap(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of i's footprint that j sees, about, 0..1, less where they look from different sides. Index arrays of one shape."""
        east, north = (self.centers[j, axis] - self.centers[i, axis] for axis in (0, 1))
        yaw = np.nan_to_num(self.yaws)
        right = np.abs(east * np.cos(yaw[i]) - north * np.sin(yaw[i]))
        forward = np.abs(east * np.sin(yaw[i]) + north * np.cos(yaw[i]))
        unknown = np.isnan(self.yaws[i])
        mean = self.sides.mean(1)
        across, along = (np.where(unknown, mean[i], self.sides[i, axis]) for axis in (0, 1))
        right = np.where(unknown, np.hypot(east, north) / 2, right)
        forward = np.where(unknown, right, forward)
        shares = np.clip(1 - right / across, 0, 1) * np.clip(1 - forward / along, 0, 1)
        return np.asarray(shares * np.clip((self.axes[i] * self.axes[j]).sum(-1), 0, 1))


def nearest(records: Sequence[ImageRecord], count: int) -> list[list[int]]:
    """For each of the records, which all have a position, up to ``count`` others: the greatest overlap first, then the nearest."""
    if len(records) < 2:
        return [[] for _ in records]
    prints = Footprints.of(records)
    asked = min(len(records), 2 * count + 2)
    _, found = cKDTree(prints.centers).query(prints.centers, k=asked)  # by position, a few more than are wanted
    found = np.asarray(found, dtype=np.int64).reshape(len(records), asked)
    own = np.broadcast_to(np.arange(len(records))[:, None], found.shape)
    distance = np.linalg.norm(prints.centers[found] - prints.centers[own], axis=-1)
    order = np.lexsort((found, distance, -prints.overlap(own, found)), axis=1)
    rows = np.take_along_axis(found, order, axis=1)
    return [[int(other) for other in row if other != k][:count] for k, row in enumerate(rows)]


def local_m(fixes: Sequence[Gps]) -> NDArray[np.float64]:
    """(N, 3) metres east, north, up in a plane through the first fix; up is 0 for all where one does not know its altitude."""
    latitude, longitude = np.radians([gps.lat_deg for gps in fixes]), np.radians([gps.lon_deg for gps in fixes])
    altitudes = [gps.alt_m for gps in fixes]
    height = np.zeros(len(fixes)) if None in altitudes else np.array(altitudes, dtype=float)
    turned = np.angle(np.exp(1j * (longitude - longitude[0])))  # a site may lie on the date line
    return np.column_stack([_EARTH_M * turned * np.cos(latitude.mean()), _EARTH_M * (latitude - latitude[0]), height])


def _heights_m(
    fixes: Sequence[Gps], xyz: NDArray[np.float64], size: NDArray[np.float64], focal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N,) above ground: from take-off where the altitudes say so, else from the spacing."""
    if all(gps.alt_datum == "takeoff" and (gps.alt_m or 0) > _LOWEST_M for gps in fixes):
        return xyz[:, 2]
    distance, _ = cKDTree(xyz[:, :2]).query(xyz[:, :2], k=2)
    apart = distance[:, 1][distance[:, 1] > 0]
    spacing = float(np.median(apart)) if len(apart) else 1.0
    return np.full(len(fixes), np.median(spacing / _SPACING * focal / size.min(1)))
