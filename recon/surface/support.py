"""How well the samples support a surface: whether they are near, how exact they are, and how close together they lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.surface.mesh import vertex_normals
from recon.surface.poisson import Surface
from recon.surface.thin import Samples, spacing_of
from recon.threads import in_order

_NEIGHBOURS = 12
_REACH = 1.0  # a vertex may be so many local sample spacings from the nearest sample (further, it spills over rims) ...
_SPARSE = 0.99  # local spacings count up to this quantile
_REACH_CELLS = 0.7  # ... and so many octree cells
_REACH_FLAT = 1.75  # ... or so many spacings, where the surface there goes on as that sample lies:
_FLAT_COSINE, _FLAT_OFFSET = 0.95, 0.3  # least cosine between their normals, most of the distance that is off the sample's plane
_QUERIES = 20_000
_SPAN = (
    2.5  # ... or so many spacings, if samples of its own orientation lie all around: between samples a surface is known, beyond them not
)
_AROUND = 24  # samples that are asked whether they do
_WIDEST_GAP = np.pi  # between the directions that they lie in; beyond a straight rim more than half a turn is empty
_ALONG = 0.5  # least cosine between a sample's normal and the vertex': a web from a near rim to a far one stands across its samples
_AT_ONCE = 10_000


@dataclass(frozen=True)
class Support:
    """What the samples say of each vertex of a surface."""

    near: NDArray[np.bool_]
    """(V,) whether samples lie nearby, measured by how far apart they are there."""
    uncertainty: NDArray[np.float64]
    """(V,) geometric mean of the samples' expected error and spacing there, over that of the median sample; inf where none is near.

    Either alone tells less (measured on fountain-P11): a wrong surface is one that few views see, and those from afar or aslant.
    """


def support(surface: Surface, samples: Samples, threads: int = 1) -> Support:
    """How the samples support each vertex."""
    tree = samples.tree
    # a lone sample far from all others supports no more than those of a sparse region
    widest = spacing_of(samples.xyz, _SPARSE, tree, threads)
    reach = max(_SPAN * widest, _REACH_CELLS * surface.cell)
    # the bound saves most of the time: a balloon's vertices are about equally far from very many samples
    distance, nearest = tree.query(surface.vertices, distance_upper_bound=reach, workers=threads)
    found = np.flatnonzero(np.isfinite(distance))
    asked, of_vertex = np.unique(nearest[found], return_inverse=True)
    local, error = (values[of_vertex] for values in _around(tree, samples, asked, threads))
    typical = np.multiply(*_around(tree, samples, np.arange(0, len(samples.xyz), max(1, len(samples.xyz) // _QUERIES)), threads))
    step = np.minimum(local, widest)
    normals = vertex_normals(surface.vertices, surface.faces)
    near = np.zeros(len(distance), bool)
    near[found] = distance[found] <= np.maximum(_REACH * step, _REACH_CELLS * surface.cell)
    beyond = found[~near[found] & (distance[found] <= _REACH_FLAT * step)]
    near[beyond] = _goes_on(surface.vertices[beyond], normals[beyond], samples, nearest[beyond])
    doubtful = found[~near[found] & (distance[found] <= _SPAN * step)]
    near[doubtful] = _amid(surface.vertices[doubtful], normals[doubtful], samples, distance[doubtful], threads)
    uncertainty = np.full(len(distance), np.inf)
    uncertainty[found] = np.sqrt(error * local / max(float(np.median(typical)), 1e-300))
    return Support(near, np.where(near, uncertainty, np.inf))


def _goes_on(
    vertices: NDArray[np.float64], normals: NDArray[np.float32], samples: Samples, nearest: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """(N,) whether (N, 3) vertices face as their nearest samples do, and lie in the planes of those."""
    offset, plane = vertices - samples.xyz[nearest], samples.normal[nearest].astype(np.float64)
    away = np.abs(np.einsum("vc,vc->v", offset, plane))
    along = np.einsum("vc,vc->v", normals, plane)
    return np.asarray((away <= _FLAT_OFFSET * np.linalg.norm(offset, axis=1)) & (along >= _FLAT_COSINE))


def _amid(
    vertices: NDArray[np.float64], normals: NDArray[np.float32], samples: Samples, nearest: NDArray[np.float64], threads: int
) -> NDArray[np.bool_]:
    """Whether samples lie all around each vertex, within twice the distance of the ``nearest``, and face the same way."""

    def look(start: int) -> NDArray[np.bool_]:
        part = slice(start, start + _AT_ONCE)
        vertex, normal = vertices[part], normals[part].astype(np.float64)
        distance, others = samples.tree.query(vertex, k=min(_AROUND, len(samples.xyz)))
        along = np.abs(np.einsum("vkc,vc->vk", samples.normal[others], normal)) >= _ALONG
        counted = along & (distance <= 2 * nearest[part, None])
        return _widest_gap(samples.xyz[others] - vertex[:, None], normal, counted) <= _WIDEST_GAP

    return np.concatenate([np.zeros(0, bool), *in_order(look, range(0, len(vertices), _AT_ONCE), threads)])


def _widest_gap(offset: NDArray[np.float64], normal: NDArray[np.float64], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(V,) the widest angle about each (V, 3) normal in which none of the counted (V, K) of the (V, K, 3) offsets lies, radians."""
    aside = np.where(np.abs(normal[:, :1]) < 0.9, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    u = np.cross(normal, aside)
    u /= np.maximum(np.linalg.norm(u, axis=1, keepdims=True), 1e-300)
    v = np.cross(normal, u)
    angle = np.arctan2(np.einsum("vkc,vc->vk", offset, v), np.einsum("vkc,vc->vk", offset, u))
    # those that do not count stand where the first does, and widen no gap
    first = np.where(counted, angle, np.pi).min(axis=1, keepdims=True)
    turn = np.sort(np.where(counted, angle, first), axis=1)
    gaps = np.diff(turn, axis=1, append=turn[:, :1] + 2 * np.pi)
    return np.where(counted.any(axis=1), gaps.max(axis=1), 2 * np.pi)


def _around(tree: cKDTree, samples: Samples, asked: NDArray[np.integer], threads: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spacing of the samples around each sample asked for, and their mean expected error, world units."""
    count = min(_NEIGHBOURS, len(samples.xyz) - 1)
    spacing, error = np.empty(len(asked)), np.empty(len(asked))

    def look(start: int) -> None:
        part = slice(start, start + _AT_ONCE)
        distance, others = tree.query(samples.xyz[asked[part]], k=count + 1)
        spacing[part], error[part] = distance[:, -1] * (np.pi / count) ** 0.5, samples.sigma[others].mean(axis=1)

    for _ in in_order(look, range(0, len(asked), _AT_ONCE), threads):
        pass
    return spacing, error
