"""Points of a cloud that have too few others around them: what floats is sparse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLOATER_CELL = 8
FLOATER_POINTS = 6
"""A surface fills a cell of FLOATER_CELL point spacings with some 64 points; cells with fewer than these float."""


def floating(xyz: NDArray[np.float32], spacing: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N,) whether a point has too few others around it, for the ``spacing`` (N,) that is expected there.

    Counts in two grids, one shifted by half a cell, so that no point is judged by a cell's corner.
    """
    if not len(xyz):
        return np.zeros(0, np.bool_)
    level = np.ceil(np.log2(np.maximum(spacing, 1e-30))).astype(np.int64)
    cell = FLOATER_CELL * np.exp2(level.astype(np.float64))
    most = np.zeros(len(xyz), np.int64)
    for shift in (0.0, 0.5):
        at = np.floor(xyz.astype(np.float64) / cell[:, None] + shift).astype(np.int64)
        # equal keys of different cells are possible and harmless: a floater would stay
        key = ((at[:, 0] * 73856093) ^ (at[:, 1] * 19349669) ^ (at[:, 2] * 83492791)) * 64 + level % 64
        _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
        most = np.maximum(most, counts[inverse])
    return np.asarray(most < FLOATER_POINTS)
