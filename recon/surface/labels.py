"""One photo for each face: good photos, and few seams."""

from __future__ import annotations

from functools import partial

import numba
import numpy as np
from numpy.typing import NDArray

from recon.surface.mesh import components_within, face_neighbours
from recon.surface.visibility import Candidates
from recon.threads import in_parts

_SEAM_COST = 0.5  # of two neighbours with different photos, where a photo's own cost runs from 0 (best) to 1
_ROUNDS = 30
_DAMPING = 0.3
_SMALL_CHART = 12
_MERGES = 10


def choose_photos(candidates: Candidates, rejected: NDArray[np.bool_], pairs: NDArray[np.int64], threads: int = 1) -> NDArray[np.int32]:
    """(F,) the photo that each face takes its colours from, -1 where none sees it.

    Minimises the photos' shortfall against each face's best plus a Potts cost on seams (the model of Waechter et al. 2014)
    by min-sum belief propagation on the graph of neighbouring faces; small charts then join a neighbour that is visible.
    A face whose photos were all rejected keeps its best.
    """
    keep = (candidates.photo >= 0) & ~rejected
    none_left = ~keep.any(axis=1)
    keep[none_left] = candidates.photo[none_left] >= 0
    photo = np.where(keep, candidates.photo, -1)
    quality = np.where(keep, candidates.quality, 0)
    best = np.maximum(quality.max(axis=1, keepdims=True), 1e-12)
    cost = np.where(keep, 1 - quality / best, np.inf).astype(np.float32)
    neighbours = face_neighbours(pairs, len(photo))
    label = _propagate(photo, cost, neighbours, threads)
    for _ in range(_MERGES):
        chart = components_within(pairs, label + 1)
        small = np.bincount(chart)[chart] < _SMALL_CHART
        merged = _join_neighbours(label, small, photo, cost, neighbours)
        if (merged == label).all():
            break
        label = merged
    return np.asarray(label)


def _propagate(photo: NDArray[np.int32], cost: NDArray[np.float32], neighbours: NDArray[np.int32], threads: int) -> NDArray[np.int32]:
    """Labels after some rounds; all messages of a round are sent at once, so that threads can share them."""
    faces, slots = photo.shape
    # received[f, j, k]: what neighbour j says slot k of f costs, 0.._SEAM_COST
    received, sent = (np.zeros((faces, 3, slots), np.float32) for _ in range(2))
    belief, label = np.empty((faces, slots), np.float32), np.full(faces, -1, np.int32)
    for _ in range(_ROUNDS):
        received, sent = sent, received
        in_parts(partial(_believe, cost, sent, belief), faces, threads)
        in_parts(partial(_send, photo, neighbours, belief, sent, received), faces, threads)
    in_parts(partial(_believe, cost, received, belief), faces, threads)
    _decide(photo, belief, label)
    return label


@numba.njit(cache=True, nogil=True)
def _believe(cost: NDArray[np.float32], sent: NDArray[np.float32], belief: NDArray[np.float32], first: int, last: int) -> None:
    for f in range(first, last):
        for k in range(cost.shape[1]):
            belief[f, k] = cost[f, k] + sent[f, 0, k] + sent[f, 1, k] + sent[f, 2, k]


@numba.njit(cache=True, nogil=True)
def _send(
    photo: NDArray[np.int32],
    neighbours: NDArray[np.int32],
    belief: NDArray[np.float32],
    sent: NDArray[np.float32],
    received: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    slots = photo.shape[1]
    for f in range(first, last):
        for j in range(3):
            g = neighbours[f, j]
            if g < 0:
                continue
            back = 0
            while neighbours[g, back] != f:
                back += 1
            lowest = np.float32(np.inf)
            for m in range(slots):
                lowest = min(lowest, belief[g, m] - sent[g, back, m])
            for k in range(slots):
                if photo[f, k] < 0:
                    continue
                message = np.float32(_SEAM_COST)
                for m in range(slots):
                    if photo[g, m] == photo[f, k]:
                        message = min(message, belief[g, m] - sent[g, back, m] - lowest)
                if lowest == np.inf:
                    message = np.float32(0)
                received[f, j, k] = _DAMPING * sent[f, j, k] + (1 - _DAMPING) * message


@numba.njit(cache=True, nogil=True)
def _decide(photo: NDArray[np.int32], belief: NDArray[np.float32], label: NDArray[np.int32]) -> None:
    for f in range(len(photo)):
        lowest = np.float32(np.inf)
        for k in range(photo.shape[1]):
            if photo[f, k] >= 0 and belief[f, k] < lowest:
                lowest, label[f] = belief[f, k], photo[f, k]


@numba.njit(cache=True)
def _join_neighbours(
    label: NDArray[np.int32], small: NDArray[np.bool_], photo: NDArray[np.int32], cost: NDArray[np.float32], neighbours: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Labels where each face of a small chart has taken that of a neighbour outside it, if its photo sees the face."""
    joined = label.copy()
    for f in range(len(label)):
        if not small[f] or label[f] < 0:
            continue
        lowest = np.float32(np.inf)
        for j in range(3):
            g = neighbours[f, j]
            if g < 0 or joined[g] < 0 or joined[g] == label[f]:
                continue
            for k in range(photo.shape[1]):
                if photo[f, k] == joined[g] and cost[f, k] < lowest:
                    lowest, joined[f] = cost[f, k], joined[g]
    return joined
