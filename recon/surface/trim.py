"""Cut away what no point supports: the balloons and skirts of a watertight reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.surface.mesh import Edges, components, face_areas
from recon.surface.poisson import Surface
from recon.surface.support import support
from recon.surface.thin import Samples

_ISLAND_SHARE = 0.005  # a piece smaller than this share of the surface is an island ...
_SURE_ISLAND_SHARE = 0.001  # ... but for one as well measured as the rest: a figure in a niche hangs on nothing that is seen
_SURE = 2.0  # up to so many times what is typical the median of an island counts as that
_AREA_SHARE = 1 / 3  # measured: 0.9 on fountain-P11 (one distance), 5 on karma.mp4 (along a cliff), over the median sample


@dataclass(frozen=True)
class Trimmed:
    """Faces of a surface that stay, and why the others went."""

    faces: NDArray[np.int32]
    """(F, 3) of the surface's vertices."""
    unsupported: float
    """Share of the surface's area that was cut away as too far from points."""
    uncertain: float
    """Share of the supported area that was cut away along its rims as too uncertain."""
    hole_width: float
    """Holes no wider than this were closed, world units."""
    holes_closed: int
    islands_removed: int


def trim(surface: Surface, samples: Samples, max_uncertainty: float, max_hole: float, threads: int = 1) -> Trimmed:
    """The part of a surface that samples support, with small holes left closed and islands left out.

    Along its rims, what is more than ``max_uncertainty`` times as uncertain as is typical goes too (0: all stays).
    Holes are closed up to a width of ``max_hole`` times the square root of the supported area.
    """
    areas = face_areas(surface.vertices, surface.faces)
    held = support(surface, samples, threads)
    supported: NDArray[np.bool_] = np.asarray(held.near[surface.faces].all(axis=1))
    edges = Edges.of(surface.faces)
    pairs, of_pair = edges.face_pairs()
    lost = np.asarray(~supported)
    width = max_hole * float(areas[~lost].sum()) ** 0.5
    worst = held.uncertainty[surface.faces].max(axis=1)
    typical = _typical(worst[supported], areas[supported])
    if max_uncertainty:
        uncertain = np.asarray(worst > max_uncertainty * typical)
        # around a small hole lies the surface still: what is uncertain there is no rim
        outer = lost & (_small_holes(surface, edges, pairs, of_pair, areas, lost, width) < 0)
        lost = lost | _outskirts(edges, pairs, outer, uncertain)
    closed = _small_holes(surface, edges, pairs, of_pair, areas, lost, width)
    keep = ~lost | (closed >= 0)
    large, islands = without_islands(pairs, areas, keep, np.asarray(worst <= _SURE * typical))
    near_area = areas[supported].sum()
    return Trimmed(
        surface.faces[large],
        float(1 - near_area / areas.sum()),
        float(areas[supported & lost].sum() / max(near_area, 1e-300)),
        width,
        len(np.unique(closed[closed >= 0])),
        islands,
    )


def without_islands(
    pairs: NDArray[np.int64], areas: NDArray[np.float64], keep: NDArray[np.bool_], sure: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], int]:
    """(F,) which of the faces to keep belong to no island, and how many islands there are. ``pairs`` (P, 2) are neighbours.

    A piece of which half is ``sure`` (F,) may be smaller than others.
    """
    piece = components(pairs[keep[pairs].all(axis=1)], len(keep))
    piece_area = np.bincount(piece, np.where(keep, areas, 0))
    large = (piece_area >= _ISLAND_SHARE * piece_area.sum()) | (piece_area == piece_area.max())
    if sure is not None:
        sure_area = np.bincount(piece, np.where(keep & sure, areas, 0))
        large |= (piece_area >= _SURE_ISLAND_SHARE * piece_area.sum()) & (2 * sure_area >= piece_area)
    return keep & large[piece], len(np.unique(piece[keep & ~large[piece]]))


def _typical(uncertainty: NDArray[np.float64], area: NDArray[np.float64]) -> float:
    """Uncertainty of the median sample, or of a share of the median of the surface where that is more.

    Where a scene goes from near to far, the near has most of the samples and the far most of the surface.
    """
    order = np.argsort(uncertainty, kind="stable")
    middle = np.searchsorted(np.cumsum(area[order]), area.sum() / 2)
    return max(1.0, _AREA_SHARE * float(uncertainty[order][middle])) if len(order) else 1.0


def _outskirts(edges: Edges, pairs: NDArray[np.int64], lost: NDArray[np.bool_], uncertain: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(F,) the uncertain faces that hang on a rim of the rest.

    An uncertain patch amid the surface is where the surface is hard to see, not where it ends.
    """
    thin = uncertain | lost
    patch = components(pairs[thin[pairs].all(axis=1)], len(thin))
    outer = lost | _at_border(edges)
    return ~lost & uncertain & (np.bincount(patch, outer & thin) > 0)[patch]


def _at_border(edges: Edges) -> NDArray[np.bool_]:
    """(F,) whether a face has an edge that no other face or more than one shares."""
    return np.asarray((edges.faces[edges.of_face] != 2).any(axis=1))


def _small_holes(
    surface: Surface,
    edges: Edges,
    pairs: NDArray[np.int64],
    of_pair: NDArray[np.int64],
    areas: NDArray[np.float64],
    lost: NDArray[np.bool_],
    width: float,
) -> NDArray[np.int32]:
    """(F,) number of the small hole that a lost face fills, -1 elsewhere.

    A hole is a patch of lost faces with kept ones all around it. It counts as small if its area is that of a disc of the
    width at most, and if it is no larger than a disc with its rim: a sheet drawn over the hole, not a balloon blown out of it.
    """
    patch = components(pairs[lost[pairs].all(axis=1)], len(lost))
    count = int(patch.max(initial=-1)) + 1
    area = np.bincount(patch, np.where(lost, areas, 0), minlength=count)
    reaches_border = np.bincount(patch, lost & _at_border(edges), minlength=count) > 0
    rim_pair = lost[pairs[:, 0]] != lost[pairs[:, 1]]
    ends = surface.vertices[edges.vertices[of_pair[rim_pair]]]
    inner = np.where(lost[pairs[rim_pair, 0]], pairs[rim_pair, 0], pairs[rim_pair, 1])
    rim = np.bincount(patch[inner], np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1), minlength=count)
    small = ~reaches_border & (area <= np.pi / 4 * width**2) & (area <= rim**2 / (4 * np.pi))
    return np.where(lost & small[patch], patch, -1).astype(np.int32)
