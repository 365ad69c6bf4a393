"""Where a camera was while it filmed: positions and angles by time, cleaned of what can't be true, and asked for at any time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recon.capture.duplicates import distance_m
from recon.capture.exif import valid_position
from recon.capture.records import Gps
from recon.geometry.frames import cam_from_gimbal, gimbal_angles_deg
from recon.geometry.posespline import interpolated

TRACK_FILE = "track.json"
"""Beside the keyframes of a video: its ``sequence`` and ``track``."""
Floats = NDArray[np.float64]
Datum = Literal["ellipsoid", "sea_level", "takeoff", "unknown"]
DEGREE_M = 111_195.0
"""Of latitude, on a sphere of the earth's mean radius."""
_FASTEST_M_S = 70.0
"""Faster than this no camera flies; positions that ask for it have jumped."""
_JUMP_M = 30.0
"""Jumps from one fix to the next that are shorter than this are noise."""
_FROZEN_S, _FROZEN_COARSE_S = 3.0, 20.0
"""A position repeated for so long stands for a receiver that stopped; the second where positions are given to a metre or worse."""
_HOVER_S = 1.0
_GAP_S = 2.5
"""Between positions further apart nothing is interpolated."""
_ONE_POINT_M = 3.0
_METRE = 1.0 / DEGREE_M


@dataclass(frozen=True)
class Entry:
    """What a device wrote at one time of its video."""

    time_s: float
    gps: Gps | None = None
    """None where it had no fix, or the entry tells no position."""
    gimbal_deg: tuple[float, float, float] | None = None
    """Yaw (clockwise from north), pitch (-90 down), roll."""


@dataclass
class Reading:
    """All that could be read of one source of telemetry."""

    format: str
    """Maker, container and dialect, in words."""
    entries: list[Entry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    quantum_deg: float = 0.0
    """Step of the degrees as written."""

    @property
    def fixes(self) -> int:
        return sum(entry.gps is not None for entry in self.entries)


@dataclass(frozen=True)
class Track:
    """Positions that can be true, at increasing times of the video's clock."""

    format: str
    entries: int
    """How many the source had, with a position or without."""
    times_s: Floats
    lat_lon_alt: Floats
    """(N, 3) degrees, and metres, NaN where there is no altitude."""
    alt_datum: Datum
    sigma_m: Floats
    """(N, 2) horizontal and vertical standard deviation."""
    gimbal_times_s: Floats
    gimbal_deg: Floats
    """(M, 3) yaw, pitch, roll at times of their own."""
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.times_s)

    def gps_at(self, time_s: float) -> Gps | None:
        """The position at a time between two fixes; None beyond the ends and in gaps."""
        i = int(np.searchsorted(self.times_s, time_s))
        if i < len(self) and self.times_s[i] == time_s:
            i, share = max(i, 1), 1.0 if i else 0.0
        elif 0 < i < len(self):
            share = float((time_s - self.times_s[i - 1]) / (self.times_s[i] - self.times_s[i - 1]))
        else:
            return None
        if len(self) < 2 or (self.times_s[i] - self.times_s[i - 1] > _GAP_S and 0 < share < 1):
            return None
        lat, lon, alt = (1 - share) * self.lat_lon_alt[i - 1] + share * self.lat_lon_alt[i]
        sigma = np.maximum(self.sigma_m[i - 1], self.sigma_m[i])
        return Gps(
            lat_deg=round(float(lat), 9),
            lon_deg=round((float(lon) + 180) % 360 - 180, 9),
            alt_m=None if math.isnan(alt) else round(float(alt), 4),
            alt_datum=self.alt_datum,
            sigma_m=(round(float(sigma[0]), 3), round(float(sigma[1]), 3)),
        )

    def gimbal_at(self, time_s: float) -> tuple[float, float, float] | None:
        """Yaw, pitch, roll, along the shortest turn between the two that were written; None beyond the ends and in gaps."""
        times = self.gimbal_times_s
        i = int(np.searchsorted(times, time_s))
        i = 1 if i == 0 and len(times) > 1 and times[0] == time_s else i
        if not 0 < i < len(times) or times[i] - times[i - 1] > _GAP_S:
            return None
        two = slice(i - 1, i + 1)
        turns = np.swapaxes(cam_from_gimbal(self.gimbal_deg[two]), 1, 2)
        turn, _ = interpolated(times[two], turns, np.zeros((2, 3)), np.array([time_s]))
        yaw, pitch, roll = gimbal_angles_deg(turn[0].T)
        return round(yaw, 4), round(pitch, 4), round(roll, 4)

    @property
    def extent_m(self) -> float:
        """Diagonal of the box about the positions."""
        if len(self) == 0:
            return 0.0
        lat, lon, alt = np.ptp(np.nan_to_num(self.lat_lon_alt), axis=0)
        narrow = math.cos(math.radians(float(self.lat_lon_alt[0, 0])))
        return math.hypot(lat * DEGREE_M, lon * DEGREE_M * narrow, alt)

    @classmethod
    def of(cls, video: Mapping[str, Any]) -> Track | None:
        """The track in a row of ``videos.json``."""
        return cls.from_json(video["telemetry"]) if video.get("telemetry") else None

    def as_json(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "entries": self.entries,
            "times_s": self.times_s.round(6).tolist(),
            "lat_deg": self.lat_lon_alt[:, 0].round(9).tolist(),
            "lon_deg": self.lat_lon_alt[:, 1].round(9).tolist(),
            "alt_m": [None if math.isnan(alt) else round(alt, 4) for alt in self.lat_lon_alt[:, 2].tolist()],
            "alt_datum": self.alt_datum,
            "sigma_m": self.sigma_m.round(3).tolist(),
            "gimbal_times_s": self.gimbal_times_s.round(6).tolist(),
            "gimbal_deg": self.gimbal_deg.round(4).tolist(),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Track:
        alt = np.array([math.nan if value is None else value for value in row["alt_m"]], np.float64)
        return cls(
            row["format"],
            row["entries"],
            np.array(row["times_s"], np.float64),
            np.stack([np.array(row["lat_deg"], np.float64), np.array(row["lon_deg"], np.float64), alt], 1),
            row["alt_datum"],
            np.array(row["sigma_m"], np.float64).reshape(-1, 2),
            np.array(row["gimbal_times_s"], np.float64),
            np.array(row["gimbal_deg"], np.float64).reshape(-1, 3),
            tuple(row["warnings"]),
        )


def cleaned(reading: Reading, duration_s: float | None = None) -> Track:
    """The track of a reading: without positions that can't be true, each kind counted in a warning. A track may end up empty."""
    entries = _in_order(reading.entries)
    warnings = list(reading.warnings)
    fixes = [(entry.time_s, entry.gps) for entry in entries if entry.gps is not None]
    kept = [(time, gps) for time, gps in fixes if valid_position(gps.lat_deg, gps.lon_deg)]
    if without := len(entries) - len(kept):
        warnings.append(f"{without} of {len(entries)} entries have no position")
    kept, datum, other = _of_one_datum(kept)
    if other:
        warnings.append(f"{other} of {len(entries)} altitudes are measured from elsewhere than the rest and not used")
    frozen_s = _FROZEN_COARSE_S if reading.quantum_deg > 0.5 * _METRE else _FROZEN_S
    updates, frozen = _without_frozen(_updates(kept), frozen_s)
    if frozen:
        warnings.append(f"{frozen} positions of {len(kept)} are left out: one is repeated for longer than {frozen_s:g} s")
    updates, jumped = _without_jumps(updates)
    if jumped:
        warnings.append(f"{jumped} positions of {len(kept)} are left out: they jump, faster than {_FASTEST_M_S:g} m/s")
    gimbal = [(entry.time_s, entry.gimbal_deg) for entry in entries if entry.gimbal_deg is not None]
    track = _track(reading, len(entries), updates, datum, gimbal)
    if len(track) and track.extent_m <= max(_ONE_POINT_M, 2 * reading.quantum_deg * DEGREE_M):
        where = f"all {len(track)} positions lie within {track.extent_m:.1f} m" if len(track) > 1 else "there is one position"
        warnings.append(f"{where}: that tells the place, not the scale")
    warnings += _coverage(track, duration_s)
    return replace(track, warnings=tuple(f"{reading.format}: {warning}" for warning in warnings))


def _in_order(entries: Sequence[Entry]) -> list[Entry]:
    """Entries by time; of equal times the first."""
    kept: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: entry.time_s):
        if not kept or entry.time_s > kept[-1].time_s:
            kept.append(entry)
    return kept


Fixes = list[tuple[float, Gps]]


def _of_one_datum(fixes: Fixes) -> tuple[Fixes, Datum, int]:
    """Altitudes of the commonest datum; the others lose theirs. How many did."""
    count = {datum: sum(gps.alt_datum == datum for _, gps in fixes if gps.alt_m is not None) for datum in get_args(Datum)}
    commonest = max(count, key=lambda datum: count[datum])
    same = [
        (time, gps if gps.alt_datum == commonest else gps.model_copy(update={"alt_m": None, "alt_datum": commonest})) for time, gps in fixes
    ]
    return same, commonest, sum(count.values()) - count[commonest]


def _updates(fixes: Fixes) -> Fixes:
    """The moments at which a position is new. Devices repeat the last one with every frame; of a standstill one a second stays."""
    kept: Fixes = []
    for time, gps in fixes:
        if not kept or _place(gps) != _place(kept[-1][1]) or time - kept[-1][0] >= _HOVER_S:
            kept.append((time, gps))
    return kept


def _place(gps: Gps) -> tuple[float, float, float | None]:
    return gps.lat_deg, gps.lon_deg, gps.alt_m


def _without_frozen(fixes: Fixes, limit_s: float) -> tuple[Fixes, int]:
    """Of a place that is repeated for longer than limit_s, its first second. A drone that hovers loses nothing by it."""
    kept: Fixes = []
    start = 0
    for end in range(1, len(fixes) + 1):
        if end < len(fixes) and _place(fixes[end][1]) == _place(fixes[start][1]):
            continue
        run = fixes[start:end]
        kept += run if run[-1][0] - run[0][0] <= limit_s else run[:1]
        start = end
    return kept, len(fixes) - len(kept)


def _without_jumps(fixes: Fixes) -> tuple[Fixes, int]:
    """Those that can be reached from the longest unbroken piece without flying faster than any camera does."""
    if len(fixes) < 3:
        return fixes, 0
    breaks = [0, *(i for i in range(1, len(fixes)) if not _reachable(fixes[i - 1], fixes[i])), len(fixes)]
    first, last = max(pairwise(breaks), key=lambda piece: piece[1] - piece[0])
    kept = list(fixes[first:last])
    for fix in fixes[last:]:
        if _reachable(kept[-1], fix):
            kept.append(fix)
    before: Fixes = []
    for fix in reversed(fixes[:first]):
        if _reachable(before[-1] if before else kept[0], fix):
            before.append(fix)
    kept = before[::-1] + kept
    return kept, len(fixes) - len(kept)


def _reachable(a: tuple[float, Gps], b: tuple[float, Gps]) -> bool:
    return distance_m(a[1], b[1]) <= _JUMP_M + _FASTEST_M_S * abs(b[0] - a[0])


def _track(reading: Reading, entries: int, fixes: Fixes, datum: Datum, gimbal: list[tuple[float, tuple[float, float, float]]]) -> Track:
    places = [(gps.lat_deg, gps.lon_deg, math.nan if gps.alt_m is None else gps.alt_m) for _, gps in fixes]
    lat_lon_alt = np.array(places, np.float64).reshape(-1, 3)
    lat_lon_alt[:, 1] = np.unwrap(lat_lon_alt[:, 1], period=360.0)
    coarse_m = reading.quantum_deg * DEGREE_M / math.sqrt(12)  # of a value that was rounded
    sigmas = [gps.sigma_m or (math.hypot(2.0, coarse_m), 3.0) for _, gps in fixes]
    return Track(
        reading.format,
        entries,
        np.array([time for time, _ in fixes], np.float64),
        lat_lon_alt,
        datum,
        np.array(sigmas, np.float64).reshape(-1, 2),
        np.array([time for time, _ in gimbal], np.float64),
        np.array([angles for _, angles in gimbal], np.float64).reshape(-1, 3),
    )


def _coverage(track: Track, duration_s: float | None) -> list[str]:
    if not duration_s or not len(track):
        return []
    start, end, slack = float(track.times_s[0]), float(track.times_s[-1]), max(2.0, 0.05 * duration_s)
    if start > duration_s:
        return [f"positions begin at {start:.1f} s, after the video's end at {duration_s:.1f} s: they belong to another one"]
    if end > duration_s + slack:
        return [f"positions go on to {end:.1f} s, the video ends at {duration_s:.1f} s: the rest is not used"]
    if end < duration_s - slack or start > slack:
        return [f"positions from {start:.1f} s to {end:.1f} s alone, of {duration_s:.1f} s of video: frames beyond have none"]
    return []
