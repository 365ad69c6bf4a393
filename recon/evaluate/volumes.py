"""The volume of a heap in a cloud."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import griddata
from scipy.stats import binned_statistic_2d

from recon.errors import InputError

CELLS = 100
"""Across the heap."""


def heap_volume(xyz: NDArray[np.float64], center: tuple[float, float], radius: float, base: float) -> float:
    """Volume between a level base and the cloud (N, 3), z up, within a circle: median heights on a grid, gaps filled linearly.

    Raises InputError where fewer than ``CELLS`` points lie on it.
    """
    local = xyz[:, :2] - center
    inside = (np.abs(local) <= radius).all(1)
    edges = np.linspace(-radius, radius, CELLS + 1)
    if inside.sum() < CELLS:
        raise InputError(f"{int(inside.sum())} points lie on the heap", f"its volume needs at least {CELLS}")
    heights = binned_statistic_2d(local[inside, 0], local[inside, 1], xyz[inside, 2], "median", [edges, edges]).statistic
    middle = (edges[1:] + edges[:-1]) / 2
    x, y = np.meshgrid(middle, middle, indexing="ij")
    known = np.isfinite(heights)
    filled = griddata((x[known], y[known]), heights[known], (x, y), method="linear")
    gaps = ~np.isfinite(filled)
    filled[gaps] = griddata((x[known], y[known]), heights[known], (x[gaps], y[gaps]), method="nearest")
    disc = np.hypot(x, y) <= radius
    return float((filled[disc] - base).sum() * (2 * radius / CELLS) ** 2)
