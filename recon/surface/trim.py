"""Cut away what no point supports: the balloons and skirts of a watertight reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.surface.mesh import Edges, components, face_areas
from recon.surface.poisson import Surface
from recon.surface.thin import Samples, spacing

_NEIGHBOURS = 6
_REACH = 2.5  # a vertex may be so many local sample spacings from the nearest sample ...
_SPARSE = 0.98  # local spacings count up to this quantile
_REACH_CELLS = 1.5  # ... and so many octree cells
_HOLE_SHARE = 0.005  # a hole is closed up to this share of the supported area
_ISLAND_SHARE = 0.005  # a piece smaller than this share of the surface is an island


@dataclass(frozen=True)
class Trimmed:
    """Faces of a surface that stay, and why the others went."""

    faces: NDArray[np.int32]
    """(F, 3) of the surface's vertices."""
    unsupported: float
    """Share of the surface's area that was cut away as too far from points or too sparse."""
    holes_closed: int
    islands_removed: int


def trim(surface: Surface, samples: Samples, share: float, threads: int = 1) -> Trimmed:
    """The part of a surface that samples support, with small holes left closed and islands left out.

    Up to ``share`` of the supported area, where samples are sparsest along the rim, is cut away too.
    """
    areas = face_areas(surface.vertices, surface.faces)
    lost: NDArray[np.bool_] = ~np.asarray(supported(surface, samples, threads)[surface.faces].all(axis=1))
    edges = Edges.of(surface.faces)
    pairs, of_pair = edges.face_pairs()
    lost |= _sparse_outskirts(surface, edges, pairs, areas, lost, share)
    closed = _small_holes(surface, edges, pairs, of_pair, areas, lost)
    holes = len(np.unique(closed[closed >= 0]))
    keep = ~lost | (closed >= 0)
    piece = components(pairs[keep[pairs].all(axis=1)], len(keep))
    piece_area = np.bincount(piece, np.where(keep, areas, 0))
    large = (piece_area >= _ISLAND_SHARE * piece_area.sum()) | (piece_area == piece_area.max())
    islands = len(np.unique(piece[keep & ~large[piece]]))
    stay = keep & large[piece]
    return Trimmed(surface.faces[stay], float(1 - areas[keep].sum() / areas.sum()), holes, islands)


def supported(surface: Surface, samples: Samples, threads: int = 1) -> NDArray[np.bool_]:
    """(V,) whether a vertex has samples nearby, measured by how far apart the samples are there."""
    tree = cKDTree(samples.xyz)
    # a lone sample far from all others supports no more than those of a sparse region
    widest = spacing(samples, _SPARSE)
    reach = max(_REACH * widest, _REACH_CELLS * surface.cell)
    # the bound saves most of the time: a balloon's vertices are about equally far from very many samples
    distance, nearest = tree.query(surface.vertices, distance_upper_bound=reach, workers=threads)
    near = np.isfinite(distance)
    asked, of_vertex = np.unique(nearest[near], return_inverse=True)
    around = tree.query(samples.xyz[asked], k=_NEIGHBOURS + 1, distance_upper_bound=2 * widest, workers=threads)[0][:, -1]
    local = np.minimum(around * (np.pi / _NEIGHBOURS) ** 0.5, widest)
    within = np.zeros(len(distance), bool)
    within[near] = distance[near] <= np.maximum(_REACH * local[of_vertex], _REACH_CELLS * surface.cell)
    return within


def _sparse_outskirts(
    surface: Surface, edges: Edges, pairs: NDArray[np.int64], areas: NDArray[np.float64], lost: NDArray[np.bool_], share: float
) -> NDArray[np.bool_]:
    """(F,) the faces of lowest density that make up a share of the area not lost yet, as far as they hang on the rest's rim.

    A sparse patch amid the surface is where the surface is hard to see, not where it ends.
    """
    sparse = np.zeros(len(areas), bool)
    kept = np.flatnonzero(~lost)
    order = kept[np.argsort(surface.density[surface.faces].mean(axis=1)[kept], kind="stable")]
    sparse[order[np.cumsum(areas[order]) <= share * areas[order].sum()]] = True
    thin = sparse | lost
    patch = components(pairs[thin[pairs].all(axis=1)], len(thin))
    outer = lost | _at_border(edges)
    return sparse & (np.bincount(patch, outer & thin) > 0)[patch]


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
) -> NDArray[np.int32]:
    """(F,) number of the small hole that a lost face fills, -1 elsewhere.

    A hole is a patch of lost faces with supported ones all around it. It counts as small if its area is, and if it is no
    larger than a disc with its rim: a sheet drawn over the hole, not a balloon blown out of it.
    """
    patch = components(pairs[lost[pairs].all(axis=1)], len(lost))
    count = int(patch.max(initial=-1)) + 1
    area = np.bincount(patch, np.where(lost, areas, 0), minlength=count)
    reaches_border = np.bincount(patch, lost & _at_border(edges), minlength=count) > 0
    rim_pair = lost[pairs[:, 0]] != lost[pairs[:, 1]]
    ends = surface.vertices[edges.vertices[of_pair[rim_pair]]]
    inner = np.where(lost[pairs[rim_pair, 0]], pairs[rim_pair, 0], pairs[rim_pair, 1])
    rim = np.bincount(patch[inner], np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1), minlength=count)
    small = ~reaches_border & (area <= _HOLE_SHARE * areas[~lost].sum()) & (area <= rim**2 / (4 * np.pi))
    return np.where(lost & small[patch], patch, -1).astype(np.int32)
