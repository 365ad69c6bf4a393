"""Measured positions beside where a model has the camera at that time: of photos, and of the track of a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator

from recon.capture.records import ImageRecord
from recon.capture.telemetry import Track

Floats = NDArray[np.float64]
_UNSTATED_M = (3.0, 6.0)
"""Deviations of a fix that states none, among others that do."""
_WIDEST_GAP_S = 3.0
"""Between keyframes further apart the camera may have been anywhere."""


@dataclass(frozen=True)
class Fixes:
    """A row a fix."""

    lat_lon_alt: Floats
    """(N, 3) degrees, metres; 0 where altitudes are not used."""
    sigma_m: Floats
    """(N, 2) horizontal and vertical, NaN where it is not stated."""
    centers: Floats
    """(N, 3) cameras in the model."""
    rotations: Floats
    """(N, 3, 3) cam_from_model."""
    pitches_deg: Floats
    """(N,) what gimbals state, NaN without."""

    def __len__(self) -> int:
        return len(self.centers)

    @property
    def weights(self) -> Floats | None:
        """(N,) by the deviations, of a mean square over the three axes; None where none is stated."""
        if not np.isfinite(self.sigma_m).any():
            return None
        sigma = np.where(np.isfinite(self.sigma_m), self.sigma_m, _UNSTATED_M)
        return np.asarray(3.0 / (2 * sigma[:, 0] ** 2 + sigma[:, 1] ** 2))

    @classmethod
    def joined(cls, parts: Sequence[Fixes]) -> Fixes:
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    @classmethod
    def of_photos(cls, records: Sequence[ImageRecord], images: Mapping[str, pycolmap.Image]) -> Fixes:
        """Of registered images that have a position."""
        known = [(record, record.gps) for record in records if record.gps]
        poses = [images[record.name].cam_from_world() for record, _ in known]
        nan = (np.nan, np.nan)
        return cls(
            np.array([(gps.lat_deg, gps.lon_deg, np.nan if gps.alt_m is None else gps.alt_m) for _, gps in known]).reshape(-1, 3),
            np.array([gps.sigma_m or nan for _, gps in known], np.float64).reshape(-1, 2),
            np.array([pose.inverse().translation for pose in poses]).reshape(-1, 3),
            np.array([pose.rotation.matrix() for pose in poses]).reshape(-1, 3, 3),
            np.array([record.gimbal_deg[1] if record.gimbal_deg else np.nan for record, _ in known], np.float64),
        )


@dataclass(frozen=True)
class Flight:
    """The registered keyframes of one video, and its track."""

    sequence: str
    track: Track
    times_s: Floats
    """(K,) of the keyframes, increasing, by the video's clock."""
    centers: Floats
    """(K, 3) in the model."""
    rotations: Floats
    pitches_deg: Floats

    @classmethod
    def of(cls, sequence: str, track: Track, records: Sequence[ImageRecord], images: Mapping[str, pycolmap.Image]) -> Flight | None:
        """None where fewer than four keyframes are registered, or fewer than four positions known."""
        frames = {record.timestamp_s: record for record in records if record.sequence == sequence and record.name in images}
        rows = [(time, record) for time, record in sorted((time, record) for time, record in frames.items() if time is not None)]
        if len(rows) < 4 or len(track) < 4:
            return None
        poses = [images[record.name].cam_from_world() for _, record in rows]
        return cls(
            sequence,
            track,
            np.array([time for time, _ in rows], np.float64),
            np.array([pose.inverse().translation for pose in poses]),
            np.array([pose.rotation.matrix() for pose in poses]),
            np.array([record.gimbal_deg[1] if record.gimbal_deg else np.nan for _, record in rows], np.float64),
        )

    @cached_property
    def _path(self) -> Akima1DInterpolator:
        return Akima1DInterpolator(self.times_s, self.centers, method="makima")

    def center_at(self, times_s: Floats) -> Floats:
        """(M, 3) in the model; beyond the keyframes that of the last one."""
        return np.asarray(self._path(np.clip(times_s, self.times_s[0], self.times_s[-1])))

    def inside(self, times_s: Floats) -> NDArray[np.bool_]:
        """(M,) whether a time lies between two keyframes that are not far apart."""
        after = np.clip(np.searchsorted(self.times_s, times_s), 1, len(self.times_s) - 1)
        near = self.times_s[after] - self.times_s[after - 1] <= _WIDEST_GAP_S
        return np.asarray(near & (times_s >= self.times_s[0]) & (times_s <= self.times_s[-1]))

    def fixes(self, offset_s: float) -> Fixes:
        """Every position of the track, beside the camera of its time: the track's clock is the video's plus the offset.

        All of them count, not only those near a keyframe: the more the better the mean.
        """
        times_s = self.track.times_s - offset_s
        chosen = np.flatnonzero(self.inside(times_s))
        near = np.argmin(np.abs(self.times_s[None] - times_s[chosen, None]), axis=1) if len(chosen) else np.zeros(0, int)
        return Fixes(
            self.track.lat_lon_alt[chosen],
            self.track.sigma_m[chosen],
            self.center_at(times_s[chosen]).reshape(-1, 3),
            self.rotations[near],
            self.pitches_deg[near],
        )
