"""What a graph of agreeing matches says: its parts, and where they hang on few matches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from recon.matchers.pairing import Pair, components

_LOOKED_AT = 40
"""Weakest links of the spanning tree at which a cut is looked for."""


@dataclass(frozen=True)
class Cut:
    """Two sides of a part, joined by few matches."""

    pair: Pair
    """The strongest across."""
    side: tuple[int, ...]
    """The smaller one."""
    matches: int
    """Over all pairs across."""


def parts_of(count: int, agreeing: Mapping[Pair, int]) -> list[list[int]]:
    """Images 0..count-1 by part, the largest first."""
    return components(range(count), agreeing)


def weak_cuts(count: int, agreeing: Mapping[Pair, int], least: int, smallest: int = 2) -> list[Cut]:
    """Cuts of fewer than ``least`` matches with ``smallest`` images or more on both sides, the weakest first.

    Any cut of a graph goes through its maximum spanning tree; those through a single weak link of it are looked at.
    """
    if not agreeing:
        return []
    pairs = np.array(sorted(agreeing), dtype=np.int64)
    weights = np.array([agreeing[i, j] for i, j in sorted(agreeing)], dtype=np.float64)
    tree = minimum_spanning_tree(coo_array((1 / weights, pairs.T), shape=(count, count)).tocsr()).tocoo()
    links = sorted(zip(-tree.data, tree.row, tree.col, strict=True))[:_LOOKED_AT]
    part = _labels(count, tree.row, tree.col)
    found: list[Cut] = []
    for _, one, other in links:
        kept = ~((tree.row == one) & (tree.col == other))
        label = _labels(count, tree.row[kept], tree.col[kept])
        side = label == label[one]
        across = side[pairs[:, 0]] != side[pairs[:, 1]]
        matches = int(weights[across].sum())
        smaller = np.flatnonzero(side if 2 * side.sum() <= (part == part[one]).sum() else label == label[other])
        if matches < least and len(smaller) >= smallest:
            best = pairs[across][np.argmax(weights[across])]
            found.append(Cut((int(best[0]), int(best[1])), tuple(int(k) for k in smaller), matches))
    return sorted(found, key=lambda cut: (cut.matches, cut.pair))


def _labels(count: int, row: NDArray[np.int64], col: NDArray[np.int64]) -> NDArray[np.int32]:
    _, label = connected_components(coo_array((np.ones(len(row)), (row, col)), shape=(count, count)), directed=False)
    return np.asarray(label)
