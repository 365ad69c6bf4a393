"""Photos of one view at several exposures, taken within moments: a bracket, or a phone's photo with its HDR copy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from recon.capture.records import ImageRecord

_WITHIN_S = 4.0
_STEP = 0.04
"""Difference of mean brightness, 0..1, from which two photos count as of two exposures."""
_BRIGHTNESS = 0.45
"""Of a well exposed photo, 0..1 in its file's gamma."""
_BLACK, _WHITE = 8, 225
"""Grey levels: beyond, a pixel of a thumb is an average of clipped ones."""
_LEAST_SEEN = 0.25
"""Share of a thumb that must be neither black nor white in both."""
_ALIKE = 0.92
"""Correlation of the steps between neighbours: a shift by 0.3 % of the width leaves that, one by 0.6 % at most 0.9 (real photos
of three captures, 2 stops up and down)."""


def brackets(records: Sequence[ImageRecord], thumbs: NDArray[np.uint8]) -> dict[int, int]:
    """Index of each photo that is to be dropped -> index of the best exposed one of its bracket. thumbs is (N, 64, 64)."""
    times = np.array([_seconds(record.captured_at) for record in records])
    order = sorted(range(len(records)), key=lambda i: (abs(records[i].brightness - _BRIGHTNESS), i))
    dropped: dict[int, int] = {}
    for i in order:
        if i in dropped:
            continue
        for j in (int(j) for j in np.flatnonzero(np.abs(times - times[i]) <= _WITHIN_S)):
            if j != i and j not in dropped and j not in dropped.values() and _one_view(records[i], records[j], thumbs[i], thumbs[j]):
                dropped[j] = i
    return dropped


def _seconds(captured_at: str | None) -> float:
    """NaN where it is not known, which is near nothing."""
    try:
        return datetime.fromisoformat(captured_at or "").replace(tzinfo=None).timestamp()
    except (ValueError, OverflowError):
        return float("nan")


def _one_view(a: ImageRecord, b: ImageRecord, thumb_a: NDArray[np.uint8], thumb_b: NDArray[np.uint8]) -> bool:
    if a.camera != b.camera or abs(a.brightness - b.brightness) < _STEP:
        return False
    seen = (thumb_a > _BLACK) & (thumb_a < _WHITE) & (thumb_b > _BLACK) & (thumb_b < _WHITE)
    if seen.mean() < _LEAST_SEEN:
        return False
    # an exposure is a factor before the gamma, so nearly a step of the logarithm behind it
    first, second = (np.log(thumb.astype(np.float64) + 4.0) for thumb in (thumb_a, thumb_b))
    steps = [_steps(log, seen) for log in (first, second)]
    spread = [step.std() for step in steps]
    return min(spread) > 1e-3 and float(np.mean(steps[0] * steps[1]) / (spread[0] * spread[1])) > _ALIKE


def _steps(log: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N,) differences of neighbours in both directions, where both are seen; of mean zero."""
    steps = np.concatenate(
        [(log[:, 1:] - log[:, :-1])[seen[:, 1:] & seen[:, :-1]], (log[1:] - log[:-1])[seen[1:] & seen[:-1]]],
    )
    return steps - steps.mean() if len(steps) else np.zeros(1)
