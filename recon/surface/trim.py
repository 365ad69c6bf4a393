"""Cut away what no point supports: the balloons and skirts of a watertight reconstruction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numba
import numpy as np
from numpy.typing import NDArray

from recon.config import Mesh
from recon.surface.holes import Holes, Laid, closable
from recon.surface.mesh import components_within
from recon.surface.poisson import Surface
from recon.surface.support import support
from recon.surface.thin import Samples
from recon.threads import both, in_parts

_ISLAND_SHARE = 0.005  # a piece smaller than this share of the surface is an island ...
_SURE_ISLAND_SHARE = 0.001  # ... but for one as well measured as the rest: a figure in a niche hangs on nothing that is seen
_SURE = 2.0  # up to so many times what is typical the median of an island counts as that
_AREA_SHARE = 1 / 3  # measured: 0.9 on fountain-P11 (one distance), 5 on karma.mp4 (along a cliff), over the median sample
_AMID = 0.25  # width of a hole, over the root of the area, up to which it is one amid the surface


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
    """Holes no wider than this were closed, world units ..."""
    flat_hole_width: float
    """... and so wide ones amid what is flat."""
    holes_closed: int
    closed_share: float
    """Of the area that stays: what lies in closed holes."""
    islands_removed: int


def trim(surface: Surface, samples: Samples, options: Mesh, threads: int = 1) -> Trimmed:
    """The part of a surface that samples support, with small holes left closed and islands left out.

    Along its rims, what is more than ``options.max_uncertainty`` times as uncertain as is typical goes too (0: all stays).
    Holes are closed up to a width of ``options.max_hole`` times the square root of the supported area, amid what is flat up to
    ``options.max_flat_hole`` times.
    """
    held, laid = both(lambda: support(surface, samples, threads), lambda: Laid.of(surface), threads)
    supported, worst = np.empty(len(surface.faces), np.bool_), np.empty(len(surface.faces))
    in_parts(partial(_of_faces, surface.faces, held.near, held.uncertainty, supported, worst), len(worst), threads)
    lost = np.asarray(~supported)
    near_area = float(laid.areas[supported].sum())
    width, flat_width = (share * near_area**0.5 for share in (options.max_hole, options.max_flat_hole))
    typical, holes = both(lambda: _typical(worst[supported], laid.areas[supported]), lambda: Holes.of(laid, lost), threads)
    if options.max_uncertainty:
        uncertain = np.asarray(worst > options.max_uncertainty * typical)
        # around a hole amid the surface lies the surface still: what is uncertain there is no rim
        lost = lost | _outskirts(laid, holes.faces(~holes.up_to(_AMID * near_area**0.5)), uncertain)
        holes = Holes.of(laid, lost)
    closed = closable(laid, samples, holes, width, flat_width)
    filled = holes.faces(closed)
    keep = ~lost | filled
    large, islands = without_islands(laid.pairs, laid.areas, keep, np.asarray(worst <= _SURE * typical))
    return Trimmed(
        surface.faces[large],
        float(1 - near_area / laid.areas.sum()),
        float(laid.areas[supported & lost].sum() / max(near_area, 1e-300)),
        width,
        flat_width,
        int(closed.sum()),
        float(laid.areas[large & filled].sum() / max(laid.areas[large].sum(), 1e-300)),
        islands,
    )


@numba.njit(cache=True, nogil=True)
def _of_faces(
    faces: NDArray[np.int32],
    near: NDArray[np.bool_],
    uncertainty: NDArray[np.float64],
    supported: NDArray[np.bool_],
    worst: NDArray[np.float64],
    first: int,
    last: int,
) -> None:
    """Into ``supported`` and ``worst``: whether all corners of a face are near samples, and the most uncertain one's uncertainty."""
    for f in range(first, last):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        supported[f] = near[i] and near[j] and near[k]
        worst[f] = max(uncertainty[i], uncertainty[j], uncertainty[k])


def without_islands(
    pairs: NDArray[np.int64], areas: NDArray[np.float64], keep: NDArray[np.bool_], sure: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], int]:
    """(F,) which of the faces to keep belong to no island, and how many islands there are. ``pairs`` (P, 2) are neighbours.

    A piece of which half is ``sure`` (F,) may be smaller than others.
    """
    piece = components_within(pairs, keep.astype(np.int8) - 1)
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
    order = np.argsort(uncertainty)
    middle = np.searchsorted(np.cumsum(area[order]), area.sum() / 2)
    return max(1.0, _AREA_SHARE * float(uncertainty[order][middle])) if len(order) else 1.0


def _outskirts(laid: Laid, lost: NDArray[np.bool_], uncertain: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(F,) the uncertain faces that hang on a rim of the rest.

    An uncertain patch amid the surface is where the surface is hard to see, not where it ends.
    """
    thin = uncertain | lost
    patch = components_within(laid.pairs, thin.astype(np.int8) - 1)
    outer = lost | laid.at_border
    return ~lost & uncertain & (np.bincount(patch, outer & thin) > 0)[patch]
