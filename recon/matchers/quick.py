"""Whether two images see the same, from a few coarse keypoints: in milliseconds, to choose pairs and to foretell what will connect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recon.features.store import Features
from recon.matchers.nearest import match

KEYPOINTS = 500
"""An image's coarsest keypoints, which another image sees too even from another distance."""
AGREE = 10
"""Agreeing matches from which on a pair counts. Of 1,000 pairs of photos of different places, none had more than 6 that turn and grow
alike, of 1,000 keypoints each."""
_RATIO = 0.85
_COSINE = 0.8
"""Of learned descriptors, below which they do not show the same."""
_BINS = 24
_SCALE = 0.6
"""Natural logarithm of how far a match's change of scale may be from what is typical of the pair."""
_MAX_ERROR = 0.006
"""Epipolar error, of the longer side of what the keypoints span."""
_FEWEST = 8


def agreeing(first: Features, second: Features, keypoints: int = KEYPOINTS) -> NDArray[np.uint32]:
    """(M, 2) matches of the coarsest keypoints that turn and grow alike (Lowe, IJCV 2004, section 7.3) and obey one epipolar geometry."""
    pairs = _nearest(first, second, keypoints)
    if len(pairs) < _FEWEST:
        return pairs[:0]
    one, two = first.keypoints[pairs[:, 0]], second.keypoints[pairs[:, 1]]
    pairs = pairs[_alike(one, two)]
    if len(pairs) < _FEWEST:
        return pairs[:0]
    xy1, xy2 = first.keypoints[pairs[:, 0], :2], second.keypoints[pairs[:, 1], :2]
    limit = _MAX_ERROR * float(max(np.ptp(first.keypoints[:, :2], axis=0).max(), np.ptp(second.keypoints[:, :2], axis=0).max()))
    _, inside = cv2.findFundamentalMat(xy1.astype(np.float64), xy2.astype(np.float64), cv2.FM_RANSAC, limit, 0.99, 400)  # of fixed seed
    return pairs[:0] if inside is None else pairs[inside.ravel() != 0]


def agreements(
    features: Mapping[str, Features], pairs: Sequence[tuple[str, str]], threads: int = 1, keypoints: int = KEYPOINTS
) -> list[int]:
    """Number of agreeing matches of each pair of names."""

    def one(pair: tuple[str, str]) -> int:
        return len(agreeing(features[pair[0]], features[pair[1]], keypoints))

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(max(1, threads)) as pool:
        return list(pool.map(one, pairs))


def _nearest(first: Features, second: Features, keypoints: int) -> NDArray[np.uint32]:
    """(M, 2) mutual nearest descriptors of the first keypoints: those of SIFT by the ratio test, learned ones by their cosine."""
    one, two = first.descriptors[:keypoints], second.descriptors[:keypoints]
    if not first.is_learned:
        return match(one, two, _RATIO)[0]
    if len(one) == 0 or len(two) == 0:
        return np.zeros((0, 2), np.uint32)
    product = one.astype(np.float32) @ two.astype(np.float32).T
    there, back = product.argmax(axis=1), product.argmax(axis=0)
    own = np.flatnonzero((back[there] == np.arange(len(one))) & (product.max(axis=1) > _COSINE))
    return np.column_stack([own, there[own]]).astype(np.uint32)


def _alike(one: NDArray[np.float32], two: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of the matched (M, 4) keypoints turned by about what most did, and grew by it."""
    turn = np.mod(two[:, 3] - one[:, 3], 2 * np.pi)
    bins = np.minimum((turn * (_BINS / (2 * np.pi))).astype(np.int64), _BINS - 1)
    votes = np.bincount(bins, minlength=_BINS)
    peak = int(np.argmax(votes + np.roll(votes, 1) + np.roll(votes, -1)))
    near = np.abs((bins - peak + _BINS // 2) % _BINS - _BINS // 2) <= 1
    growth = np.log(np.maximum(two[:, 2], 1e-6) / np.maximum(one[:, 2], 1e-6))
    return np.asarray(near & (np.abs(growth - np.median(growth[near])) < _SCALE))
