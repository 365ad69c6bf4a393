"""The constant offset between the clocks of a video and of its telemetry: where the two paths fit each other best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from recon.geometry.geodesy import LocalFrame
from recon.geometry.similarity import fit_similarity
from recon.sfm.fixes import Flight

Floats = NDArray[np.float64]
MOST_S = 2.0
_STEP_S = 0.1
_EXPECTED_S = 0.5
"""Deviation of what offsets are like before anything is measured: where the motion says nothing, the offset stays near 0."""
_LEAST_SAMPLES = 8
_ROUNDS = 6
_WILD = 3.0
"""Residuals of so many robust deviations lose weight."""


@dataclass(frozen=True)
class ClockOffset:
    """The track's clock is the video's plus ``offset_s``."""

    sequence: str
    offset_s: float
    sigma_s: float
    samples: int

    @property
    def at_the_end(self) -> bool:
        """Whether the true offset may lie beyond what was searched."""
        return abs(self.offset_s) > MOST_S - _STEP_S


def clock_offset(flight: Flight, frame: LocalFrame) -> ClockOffset:
    """The offset in +-2 s that leaves the least of the residuals of a similarity from the camera's path to the track's positions.

    The same positions are compared at every offset: those that stay inside the path. A flight too short for that gets the range
    that it allows; one that says nothing gets 0 and a deviation of what is expected beforehand.
    """
    track, span = flight.track, flight.times_s[[0, -1]]
    most = min(MOST_S, 0.2 * float(span[1] - span[0]))
    times = track.times_s
    chosen = (times >= span[0] + most) & (times <= span[1] - most)
    for offset in np.arange(-most, most + _STEP_S, _STEP_S):
        chosen &= flight.inside(times - min(offset, most))
    count = int(chosen.sum())
    if count < _LEAST_SAMPLES:
        return ClockOffset(flight.sequence, 0.0, _EXPECTED_S, count)
    target = frame.from_geodetic(np.nan_to_num(track.lat_lon_alt[chosen]))
    stated = 1.0 / np.maximum(track.sigma_m[chosen, 0], 1e-3) ** 2

    def residuals(offset: float) -> tuple[Floats, Floats]:
        return _fit(flight.center_at(times[chosen] - offset), target, stated)

    def cost(offset: float) -> float:
        rows, weights = residuals(offset)
        return float((weights[:, None] * rows**2).sum())

    rough = np.arange(-most, most + 1e-9, _STEP_S)
    costs = np.array([cost(offset) for offset in rough])
    first = float(rough[np.argmin(costs)])
    alike = correlation(residuals(first)[0])
    independent = max(3.0, count * (1 - alike) / (1 + alike))
    # variance of an axis; eight numbers are taken from the residuals: a similarity and the offset
    variance = max(costs.min(), 1e-12) / (3 * count) * (3 * independent / max(1.0, 3 * independent - 8))
    scale = independent / (count * variance)

    def posterior(offset: float) -> float:
        return float(0.5 * scale * cost(offset) + 0.5 * (offset / _EXPECTED_S) ** 2)

    start = float(rough[np.argmin(0.5 * scale * costs + 0.5 * (rough / _EXPECTED_S) ** 2)])
    bounds = (max(-most, start - _STEP_S), min(most, start + _STEP_S))
    best = float(minimize_scalar(posterior, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x)
    middle = float(np.clip(best, -most + _STEP_S, most - _STEP_S))
    bend = (posterior(middle - _STEP_S) - 2 * posterior(middle) + posterior(middle + _STEP_S)) / _STEP_S**2
    return ClockOffset(flight.sequence, round(best, 4), round(float(1 / np.sqrt(max(bend, 1e-9))), 4), count)


def _fit(source: Floats, target: Floats, stated: Floats) -> tuple[Floats, Floats]:
    """Residuals (N, 3) [m] of a robust similarity, and weights (N,) of mean 1 at most: outliers lose theirs."""
    weights = stated / stated.mean()
    given = weights
    for _ in range(_ROUNDS):
        rows = fit_similarity(source, target, weights=weights) * source - target
        away = np.linalg.norm(rows, axis=1)
        limit = _WILD * max(float(np.median(away)), 1e-6)
        weights = given * np.minimum(1.0, limit / np.maximum(away, 1e-9))
    return np.asarray(rows), weights


def correlation(rows: Floats) -> float:
    """Of neighbouring residuals, 0..0.98: how much less than they seem successive positions say."""
    strength = float((rows**2).sum())
    return float(np.clip((rows[1:] * rows[:-1]).sum() / strength, 0.0, 0.98)) if strength > 0 else 0.0
