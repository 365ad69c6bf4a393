"""One vector an image from its local descriptors, to find images that look alike (VLAD: Jegou et al., CVPR 2010)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recon.features.store import Features

_CENTRES = 64
_KEYPOINTS_AN_IMAGE = 1500
"""The coarsest ones: they are seen again from other distances, and cost less."""
_SAMPLE = 30_000
_ITERATIONS = 12
_BLOCK = 256
"""Images whose likeness to all others is in memory at once."""


def image_vectors(features: Mapping[str, Features], names: Sequence[str], seed: int) -> NDArray[np.float32]:
    """(len(names), D) unit vectors whose products rank images by likeness; zero for an image without keypoints."""
    rng = np.random.default_rng([seed, 64])
    with threadpool_limits(1, "blas"):  # sums in another order give other bits
        centres = _codebook(_sample(features, names, rng), rng)
        vectors = np.zeros((len(names), centres.size), np.float32)
        for row, name in enumerate(names):
            vectors[row] = vlad(_coarsest(features[name]), centres)
        return vectors


def vlad(descriptors: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """(K * 128,) unit vector: residuals to the nearest centres, summed and normalised a centre (Arandjelovic, CVPR 2013)."""
    summed = np.zeros_like(centres)
    if len(descriptors):
        nearest = _nearest(descriptors, centres)
        np.add.at(summed, nearest, descriptors - centres[nearest])
    summed /= np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-6)
    vector = summed.ravel()
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-6), dtype=np.float32)


def most_alike(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], allowed: NDArray[np.bool_], count: int
) -> list[NDArray[np.int64]]:
    """For each query the indices of its ``count`` most alike candidates, best first, among those it is allowed (Q, C)."""
    with threadpool_limits(1, "blas"):
        likeness = queries @ candidates.T
    likeness[~allowed] = -np.inf
    order = np.argsort(-likeness, axis=1, kind="stable")[:, :count]
    return [row[np.isfinite(likeness[i, row]) & (likeness[i, row] > 0)] for i, row in enumerate(order)]


def ranked_alike(
    vectors: NDArray[np.float32], queries: Sequence[int], among: Sequence[int], count: int, apart: int = 0
) -> dict[int, list[int]]:
    """For each query the ``count`` most alike images of ``among``, the most alike first, in blocks of bounded memory.

    Those whose place in ``among`` is nearer than ``apart`` to the query's own are left out: at 1 the query itself.
    """
    place = {k: row for row, k in enumerate(among)}
    candidates, rows = vectors[list(among)], np.arange(len(among))
    found: dict[int, list[int]] = {}
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        own = np.array([place.get(k, -apart - 1) for k in block])
        allowed = np.abs(rows[None] - own[:, None]) >= apart
        for k, others in zip(block, most_alike(vectors[list(block)], candidates, allowed, count), strict=True):
            found[k] = [int(among[other]) for other in others]
    return found


def _sample(features: Mapping[str, Features], names: Sequence[str], rng: np.random.Generator) -> NDArray[np.float32]:
    chosen = [names[i] for i in np.sort(rng.permutation(len(names))[:200])]
    pool = np.concatenate([_coarsest(features[name]) for name in chosen])
    return pool[np.sort(rng.permutation(len(pool))[:_SAMPLE])]


def _codebook(sample: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """k-means by Lloyd's iterations from random samples."""
    centres = sample[np.sort(rng.permutation(len(sample))[:_CENTRES])].copy()
    for _ in range(_ITERATIONS):
        nearest = _nearest(sample, centres)
        summed = np.zeros_like(centres)
        np.add.at(summed, nearest, sample)
        count = np.bincount(nearest, minlength=len(centres))
        centres = np.where(count[:, None] > 0, summed / np.maximum(count, 1)[:, None], centres).astype(np.float32)
    return centres


def _nearest(descriptors: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    squared = np.sum(centres**2, axis=1) - 2 * descriptors @ centres.T
    return np.asarray(np.argmin(squared, axis=1))


def _coarsest(features: Features) -> NDArray[np.float32]:
    length = 1 if features.is_learned else 512
    return features.descriptors[:_KEYPOINTS_AN_IMAGE].astype(np.float32) / np.float32(length)
