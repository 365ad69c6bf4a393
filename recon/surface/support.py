"""How well the samples support a surface: whether they are near, how exact they are, and how close together they lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.surface.poisson import Surface
from recon.surface.thin import Samples, spacing

_NEIGHBOURS = 12
_REACH = 1.05  # a vertex may be so many local sample spacings from the nearest sample (further, it spills over rims) ...
_SPARSE = 0.98  # local spacings count up to this quantile
_REACH_CELLS = 0.7  # ... and so many octree cells
_QUERIES = 20_000


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
    widest = spacing(samples, _SPARSE)
    reach = max(_REACH * widest, _REACH_CELLS * surface.cell)
    # the bound saves most of the time: a balloon's vertices are about equally far from very many samples
    distance, nearest = tree.query(surface.vertices, distance_upper_bound=reach, workers=threads)
    found = np.isfinite(distance)
    asked, of_vertex = np.unique(nearest[found], return_inverse=True)
    local, error = _around(tree, samples, asked, threads)
    typical = np.multiply(*_around(tree, samples, np.arange(0, len(samples.xyz), max(1, len(samples.xyz) // _QUERIES)), threads))
    near = np.zeros(len(distance), bool)
    near[found] = distance[found] <= np.maximum(_REACH * np.minimum(local, widest)[of_vertex], _REACH_CELLS * surface.cell)
    uncertainty = np.full(len(distance), np.inf)
    uncertainty[found] = np.sqrt(error * local / max(float(np.median(typical)), 1e-300))[of_vertex]
    return Support(near, np.where(near, uncertainty, np.inf))


def _around(tree: cKDTree, samples: Samples, asked: NDArray[np.integer], threads: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spacing of the samples around each sample asked for, and their mean expected error, world units."""
    count = min(_NEIGHBOURS, len(samples.xyz) - 1)
    distance, others = tree.query(samples.xyz[asked], k=count + 1, workers=threads)
    return distance[:, -1] * (np.pi / count) ** 0.5, samples.sigma[others].mean(axis=1)
