"""What differs between photos of the same surface: exposure, white balance, and things that passed by."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, diags

from recon.surface.linear import solve
from recon.surface.visibility import Candidates

_RELIABLE = (6.0, 248.0)  # outside, a colour is black or saturated and says nothing of exposure
_HIGHLIGHTS, WHITE = 170.0, 252.0  # brightest channel from which a colour counts as near white, and as white
_ROUNDS = 6
_CAUCHY = 0.1  # scale of robust weights on log colour differences
_RIDGE = 1e-3  # share of a typical photo's weight that holds its gain at 1
_FACES = 40_000  # that gains are fitted to, at most
_MIN_VIEWS = 3  # from two photos nobody can tell which is wrong
_MIN_DEVIATION = 22.0  # grey levels, at least, by which an outlier differs from the median
_DEVIATIONS = 4.0  # and so many times the usual difference at that face
_SMOOTHING = 3
_GROWTH = 6


def exposure_gains(candidates: Candidates, photos: int) -> NDArray[np.float64]:
    """(photos, 3) factors by channel that bring the photos' colours of the same faces together, geometric mean 1.

    Minimises the robust sum over faces and photos of (log colour + log gain - log colour of the face)^2 over gains and face
    colours, the latter eliminated; photos that share no face keep gain 1. Bright faces weigh more: a tone curve bends dark
    colours, and the gain that suits a meadow's little blue would tint the road.
    """
    usable = (candidates.photo >= 0) & ((candidates.rgb > _RELIABLE[0]) & (candidates.rgb < _RELIABLE[1])).all(axis=2)
    usable &= usable.sum(axis=1, keepdims=True) >= 2
    several = np.flatnonzero(usable.any(axis=1))
    several = several[:: len(several) // _FACES + 1]
    usable, candidates = usable[several], candidates.of(several)
    face, slot = np.nonzero(usable)
    log_gain = np.zeros((photos, 3))
    if not len(face):
        return np.exp(log_gain)
    photo, rgb = candidates.photo[face, slot], candidates.rgb[face, slot].astype(np.float64)
    seen = np.bincount(photo, minlength=photos)
    views = np.maximum(usable.sum(axis=1), 1)
    for c in range(3):
        logs = np.log(rgb[:, c])
        bright = (np.bincount(face, rgb[:, c], minlength=len(usable)) / views / 128)[face] ** 2
        weight = bright
        for _ in range(_ROUNDS):
            column = _solve_gains(face, photo, logs, weight, len(usable), photos)
            corrected = logs + column[photo]
            total = np.maximum(np.bincount(face, weight, minlength=len(usable)), 1e-12)
            residual = corrected - (np.bincount(face, weight * corrected, minlength=len(usable)) / total)[face]
            weight = bright / (1 + (residual / _CAUCHY) ** 2)
        log_gain[:, c] = column - (seen * column).sum() / seen.sum()
    return np.exp(log_gain)


def _solve_gains(
    face: NDArray[np.int64], photo: NDArray[np.int32], logs: NDArray[np.float64], weight: NDArray[np.float64], faces: int, photos: int
) -> NDArray[np.float64]:
    """(photos,) log gains of one channel."""
    incidence = coo_matrix((weight, (face, photo)), shape=(faces, photos)).tocsr()
    per_face = np.maximum(np.asarray(incidence.sum(axis=1)).ravel(), 1e-12)
    per_photo = np.asarray(incidence.sum(axis=0)).ravel()
    ridge = _RIDGE * per_photo.mean() + 1e-12
    laplacian = diags(per_photo + ridge) - incidence.T @ diags(1 / per_face) @ incidence
    mean = np.bincount(face, weight * logs, minlength=faces) / per_face
    right = np.bincount(photo, weight * (mean[face] - logs), minlength=photos).astype(np.float64)
    return solve(laplacian.tocsr(), right[:, None], tolerance=1e-10)[:, 0]


def evened(rgb: NDArray[np.float32], gain: NDArray[np.float64]) -> NDArray[np.float32]:
    """Colours (..., 3), 0..255, times a gain (3,) by channel, and grey where the photo was saturated.

    A saturated pixel has lost its colour: gains that differ by channel would tint it, and gains above 1 would clip what is
    near it. Towards white, all channels take one gain, of at most 1; from where on depends on how far there is to bend.
    """
    at_white, start = white_point(gain)
    near_white = np.clip((rgb.max(axis=-1, keepdims=True) - start) / (WHITE - start), 0, 1)
    return np.asarray(rgb * (gain + (at_white - gain) * near_white), dtype=np.float32)


def white_point(gain: NDArray[np.float64]) -> tuple[float, float]:
    """The one gain at white for `evened`, and the brightness from which colours bend towards it."""
    at_white = min(1.0, float(np.exp(np.log(gain).mean())))
    bend = WHITE * max(0.0, float(gain.max()) - at_white) / (0.8 * at_white)
    return at_white, min(_HIGHLIGHTS, max(0.0, WHITE - bend))


def inconsistent(candidates: Candidates, gains: NDArray[np.float64], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(F, K) slots whose photo shows something else than the face's other photos do: a passer-by, a reflection.

    The difference from the median over photos is averaged over neighbouring faces, so that a poor fit of fine texture
    cancels out and a foreign object does not. Objects are then grown to where the difference fades.
    """
    filled = candidates.photo >= 0
    enough = filled.sum(axis=1) >= _MIN_VIEWS
    corrected = np.full_like(candidates.rgb, np.nan)
    corrected[filled] = candidates.rgb[filled] * gains[candidates.photo[filled]].astype(np.float32)
    difference = np.zeros_like(corrected)
    difference[enough] = corrected[enough] - _medians(corrected[enough])[:, None]
    difference[~filled] = 0
    known = filled & enough[:, None]
    for _ in range(_SMOOTHING):
        difference = _spread(candidates.photo, known, difference, pairs)
    deviation = np.linalg.norm(difference, axis=2)
    usual = np.zeros(len(deviation), np.float32)
    usual[enough] = _medians(np.where(filled, deviation, np.float32(np.nan))[enough][..., None])[:, 0]
    limit = np.maximum(_MIN_DEVIATION, _DEVIATIONS * usual)[:, None]
    foreign = known & (deviation > limit)
    possible = known & (deviation > limit / 2)
    for _ in range(_GROWTH):
        foreign = _grow(candidates.photo, foreign, possible, pairs)
    return np.asarray(_grow(candidates.photo, foreign, known, pairs))


@numba.njit(cache=True)
def _medians(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, C) medians over the second axis of (N, K, C), NaN left out; at least one of each K is a number."""
    rows, slots, channels = values.shape
    medians = np.empty((rows, channels), np.float32)
    known = np.empty(slots, np.float32)
    for n in range(rows):
        for c in range(channels):
            count = 0
            for k in range(slots):
                value = values[n, k, c]
                if np.isnan(value):
                    continue
                place = count
                while place > 0 and known[place - 1] > value:
                    known[place] = known[place - 1]
                    place -= 1
                known[place] = value
                count += 1
            medians[n, c] = (known[(count - 1) // 2] + known[count // 2]) / np.float32(2)
    return medians


@numba.njit(cache=True)
def _spread(
    photo: NDArray[np.int32], known: NDArray[np.bool_], values: NDArray[np.float32], pairs: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Each slot's mean with the slots of the same photo at the face's neighbours."""
    total = values.copy()
    count = np.ones(photo.shape, np.float32)
    for p in range(len(pairs)):
        a, b = pairs[p, 0], pairs[p, 1]
        for k in range(photo.shape[1]):
            if not known[a, k]:
                continue
            for m in range(photo.shape[1]):
                if known[b, m] and photo[a, k] == photo[b, m]:
                    total[a, k] += values[b, m]
                    total[b, m] += values[a, k]
                    count[a, k] += 1
                    count[b, m] += 1
    for f in range(len(photo)):
        for k in range(photo.shape[1]):
            total[f, k] /= count[f, k]
    return total


@numba.njit(cache=True)
def _grow(photo: NDArray[np.int32], marked: NDArray[np.bool_], allowed: NDArray[np.bool_], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Marks and the allowed slots of the same photo at neighbouring faces."""
    grown = marked.copy()
    for p in range(len(pairs)):
        a, b = pairs[p, 0], pairs[p, 1]
        for k in range(photo.shape[1]):
            for m in range(photo.shape[1]):
                if photo[a, k] >= 0 and photo[a, k] == photo[b, m]:
                    grown[a, k] |= marked[b, m] and allowed[a, k]
                    grown[b, m] |= marked[a, k] and allowed[b, m]
    return grown
