"""Where a model is held together by few points: two halves that share few may differ in scale, or lie wrongly to each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from recon.sfm.joining import NO_POINT, point_ids

THIN_POINTS = 40
"""Two parts of a model that share fewer points may be torn: their scales are found from these alone."""
_LEAST_IMAGES = 3
"""A side of fewer images is no half of a model: an image or two at the rim often see little."""
_CUTS = 12
"""So many of the weakest links are looked at."""


@dataclass(frozen=True)
class Link:
    """Two sides of a model and what holds them together."""

    points: int
    """3D points that images of both sides see."""
    images: tuple[str, ...]
    """The smaller side."""


def thinnest_link(model: pycolmap.Reconstruction, least_points: int = THIN_POINTS) -> Link | None:
    """The cut of the model that the fewest points bridge, if they are fewer than ``least_points``.

    Looked for among the cuts that removing one edge of the maximum spanning tree of common points makes: across any other
    cut goes an edge of that tree that holds as much.
    """
    seen = point_ids(model)
    names = list(seen)
    if len(names) < 2 * _LEAST_IMAGES:
        return None
    valid = [np.unique(ids[ids != NO_POINT]) for ids in seen.values()]
    rows = np.repeat(np.arange(len(names)), [len(ids) for ids in valid])
    points, columns = np.unique(np.concatenate(valid), return_inverse=True)
    sees = csr_array((np.ones(len(rows), np.int32), (rows, columns)), shape=(len(names), len(points)))
    common = coo_array(sees @ sees.T)
    own = common.row == common.col
    common.data[own] = 0
    most = int(common.data.max(initial=0)) + 1
    apart = coo_array(((most - common.data)[~own], (common.row[~own], common.col[~own])), shape=common.shape)
    tree = coo_array(minimum_spanning_tree(apart))
    order = np.argsort(-tree.data, kind="stable")
    cuts = [np.zeros(0, np.int64)] if len(tree.data) < len(names) - 1 else []  # it falls apart as it is
    cuts += [order[k : k + 1] for k in range(min(_CUTS, len(order))) if most - tree.data[order[k]] < least_points]
    found = [link for cut in cuts if (link := _across(cut, tree, sees, names)) and link.points < least_points]
    return min(found, key=lambda link: link.points, default=None)


def _across(cut: NDArray[np.int64], tree: coo_array, sees: csr_array, names: list[str]) -> Link | None:
    """The two sides of the tree without these edges; None where one of them is too small to count."""
    kept = np.setdiff1d(np.arange(len(tree.data)), cut)
    graph = coo_array((np.ones(len(kept)), (tree.row[kept], tree.col[kept])), shape=tree.shape)
    side = connected_components(graph, directed=False)[1]
    inside = side == np.bincount(side).argmax()
    if min(inside.sum(), (~inside).sum()) < _LEAST_IMAGES:
        return None
    both = (sees[inside].sum(axis=0) > 0) & (sees[~inside].sum(axis=0) > 0)
    smaller = inside if inside.sum() < (~inside).sum() else ~inside
    return Link(int(both.sum()), tuple(name for name, here in zip(names, smaller, strict=True) if here))
