"""Points of a cloud that have too few others around them: what floats is sparse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recon.threads import in_order

FLOATER_CELL = 8
FLOATER_POINTS = 6
"""A surface fills a cell of FLOATER_CELL point spacings with some 64 points; cells with fewer than these float."""
UNSURE_CELL = 16
UNSURE_POINTS = 48
"""The same of points that fewer views confirm than are asked for: a mistake that two views share comes in clumps of a dozen or three.
A surface fills such a cell with some 256."""
AT_ONCE = 1 << 20
GRIDS_AT_ONCE = 2
"""Each takes some 24 bytes a point."""


def floating(xyz: NDArray[np.float32], spacing: NDArray[np.float32], sure: NDArray[np.bool_], threads: int = 1) -> NDArray[np.bool_]:
    """(N,) whether a point has too few others around it, for the ``spacing`` (N,) that is expected there.

    One that is not ``sure`` (N,) needs more of them, sure or not.
    """
    kinds = [(FLOATER_CELL, FLOATER_POINTS)] if sure.all() else [(FLOATER_CELL, FLOATER_POINTS), (UNSURE_CELL, UNSURE_POINTS)]
    # counts in two grids, one shifted by half a cell, so that no point is judged by a cell's corner
    grids = [(size, least, shift) for size, least in kinds for shift in (0.0, 0.5)]
    sparse = list(in_order(lambda grid: _in_sparse_cells(xyz, spacing, *grid), grids, min(threads, GRIDS_AT_ONCE)))
    found = sparse[0] & sparse[1]
    return found if len(sparse) == 2 else found | (~sure & sparse[2] & sparse[3])


def _in_sparse_cells(xyz: NDArray[np.float32], spacing: NDArray[np.float32], size: int, least: int, shift: float) -> NDArray[np.bool_]:
    """(N,) whether a point's cell, ``size`` spacings wide, holds fewer than ``least``."""
    bands = [slice(start, start + AT_ONCE) for start in range(0, max(1, len(xyz)), AT_ONCE)]
    key = np.concatenate([_cells(xyz[band], spacing[band], size, shift) for band in bands])
    ordered = np.append(np.sort(key), np.full(least, np.iinfo(np.int64).max))
    # a cell has enough points if it holds the one that far behind its first, in order
    return np.concatenate([ordered[np.searchsorted(ordered, key[band]) + least - 1] != key[band] for band in bands])


def _cells(xyz: NDArray[np.float32], spacing: NDArray[np.float32], size: int, shift: float) -> NDArray[np.int64]:
    """(N,) a number for each point's cell; equal numbers of different cells are possible and harmless: a floater would stay."""
    level = np.ceil(np.log2(np.maximum(spacing, 1e-30))).astype(np.int64)
    cell = size * np.exp2(level.astype(np.float64))
    at = np.floor(xyz.astype(np.float64) / cell[:, None] + shift).astype(np.int64)
    return np.asarray(((at[:, 0] * 73856093) ^ (at[:, 1] * 19349669) ^ (at[:, 2] * 83492791)) * 64 + level % 64)
