"""A 2.5D surface for captures from above: one height over every place of the ground plane (world x, y; z is up)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import LinearNDInterpolator

from recon.errors import NoSurface
from recon.surface.mesh import components
from recon.surface.thin import Samples, occupied

_CELLS_A_SAMPLE = 2.0  # grid step over sample spacing
_FACES_A_CELL = 2
_OVERSAMPLING = 5  # faces before simplification, over those asked for
_MOST_CELLS = 40_000_000  # of the grid, empty ones too: a flight along a river crosses its rectangle as a thread
_LEVEL = 0.7  # where a cell holds roof and ground, this quantile of heights tells the level: the upper, but no floater
_STEP = 4.0  # neighbours hang together up to this difference of heights, in cells ...
_LEAST_CELLS = 60  # ... and fewer cells that do are crumbs of tree tops and wires: as a height field they would be towers
_STEEPEST = 0.3  # z of the normal below which a sample lies on a wall, which has no height


@dataclass(frozen=True)
class HeightField:
    """A grid of heights as triangles."""

    vertices: NDArray[np.float64]
    """(V, 3) world."""
    faces: NDArray[np.int32]
    """(F, 3) counter-clockwise from above."""
    cell: float
    """Step of the grid, world units."""
    hole_width: float
    """Holes no wider than this were closed, world units."""
    holes_closed: int


def height_field(samples: Samples, faces: int, max_hole: float) -> HeightField:
    """The upper surface of the samples on a grid fine enough to be simplified to ``faces``.

    Slopes are met exactly: every sample is carried to the middle of its cell along its own plane. Crumbs are left out.
    Empty cells are filled linearly from their rim where they make up holes no wider than ``max_hole`` times the square root
    of the area.
    Raises NoSurface where no sample faces up.
    """
    ground = samples.normal[:, 2] > _STEEPEST
    if np.count_nonzero(ground) < 4:
        raise NoSurface(f"{np.count_nonzero(ground)} of {len(ground)} points face up: there is no ground to see", "Set mesh.mode to 3d")
    xyz, normal = samples.xyz[ground], samples.normal[ground].astype(np.float64)
    cell = _CELLS_A_SAMPLE * samples.spacing
    flat = np.column_stack([xyz[:, :2], np.zeros(len(xyz))])
    cell *= max(1.0, (_FACES_A_CELL * occupied(flat, cell) / (_OVERSAMPLING * faces)) ** 0.5)
    origin = xyz[:, :2].min(axis=0)
    cell = max(cell, float(np.prod(np.ptp(xyz[:, :2], axis=0)) / _MOST_CELLS) ** 0.5)
    column, row = np.floor((xyz[:, :2] - origin) / cell).astype(np.int64).T
    away = origin + (np.column_stack([column, row]) + 0.5) * cell - xyz[:, :2]
    at_middle = xyz[:, 2] - np.einsum("nk,nk->n", normal[:, :2], away) / normal[:, 2]
    heights = np.full((row.max() + 1, column.max() + 1), np.nan)
    where, level = _levels(row * heights.shape[1] + column, at_middle, samples.weight[ground] * normal[:, 2], cell)
    heights.ravel()[where] = level
    _drop_crumbs(heights, _STEP * cell)
    width = max_hole * cell * len(where) ** 0.5
    closed = _close_holes(heights, width / cell)
    return HeightField(*_triangles(heights, origin, cell), cell, width, closed)


def _levels(
    key: NDArray[np.int64], height: NDArray[np.float64], weight: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The cells that hold samples, and in each the weighted mean of the heights within reach of its level."""
    order = np.lexsort((height, key))
    key, height, weight = key[order], height[order], weight[order]
    cells, first, of_row = np.unique(key, return_index=True, return_inverse=True)
    total = np.bincount(of_row, weight)
    below = np.cumsum(weight) - weight - (np.cumsum(total) - total)[of_row]
    at_level = np.bincount(of_row, below < _LEVEL * total[of_row]).astype(np.int64) - 1
    level = height[first + np.maximum(at_level, 0)]
    near = np.abs(height - level[of_row]) <= reach
    return cells, np.bincount(of_row, weight * height * near) / np.bincount(of_row, weight * near)


def _drop_crumbs(heights: NDArray[np.float64], step: float) -> None:
    """Empties, in place, patches of few cells that lie a step above or below, or apart from, all cells around them."""
    index = np.arange(heights.size).reshape(heights.shape)
    beside = (heights[:, 1:], heights[:, :-1], index[:, 1:], index[:, :-1])
    above = (heights[1:], heights[:-1], index[1:], index[:-1])
    links = [np.column_stack([i[close], j[close]]) for a, b, i, j in (beside, above) for close in (np.abs(a - b) <= step,)]
    patch = components(np.concatenate(links), heights.size)
    heights.ravel()[np.bincount(patch)[patch] < _LEAST_CELLS] = np.nan


def _close_holes(heights: NDArray[np.float64], width: float) -> int:
    """Fills, in place, holes up to a width in cells; returns how many."""
    empty = np.isnan(heights)
    label, count = ndimage.label(empty)
    size = np.bincount(label.ravel(), minlength=count + 1)
    small = size <= np.pi / 4 * width**2
    small[0] = False
    for side in (label[0], label[-1], label[:, 0], label[:, -1]):
        small[side] = False  # open to the outside
    hole = small[label]
    if not hole.any():
        return 0
    rim = ndimage.binary_dilation(hole, np.ones((3, 3))) & ~empty
    heights[hole] = LinearNDInterpolator(np.argwhere(rim), heights[rim])(np.argwhere(hole))
    return int(small.sum())


def _triangles(heights: NDArray[np.float64], origin: NDArray[np.float64], cell: float) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertices in the middle of cells, and two faces wherever four neighbours have heights."""
    known = ~np.isnan(heights)
    row, column = np.nonzero(known)
    vertices = np.column_stack([origin[0] + (column + 0.5) * cell, origin[1] + (row + 0.5) * cell, heights[known]])
    index = np.cumsum(known).reshape(known.shape) - 1
    corners = (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1])
    square = known[:-1, :-1] & known[:-1, 1:] & known[1:, 1:] & known[1:, :-1]
    a, b, c, d = (corner[square] for corner in corners)
    return vertices, np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]).astype(np.int32)
