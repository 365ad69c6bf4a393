"""What differs between photos of the same surface: exposure, white balance, and things that passed by."""

from __future__ import annotations

from functools import partial

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from recon.dense.fusion import median
from recon.surface.linear import solve
from recon.surface.mesh import face_neighbours
from recon.surface.visibility import Candidates
from recon.threads import in_order, in_parts

_RELIABLE = (6.0, 248.0)  # outside, a colour is black or saturated and says nothing of exposure
_HIGHLIGHTS, WHITE = 170.0, 252.0  # brightest channel from which a colour counts as near white, and as white
_ROUNDS = 6
_CAUCHY = 0.1  # scale of robust weights on log colour differences
_RIDGE = 1e-3  # share of a typical photo's weight that holds its gain at 1
_FACES, _FACES_A_PHOTO = 20_000, 100  # that gains are fitted to, at most: whichever is more
_MIN_VIEWS = 3  # from two photos nobody can tell which is wrong
_MIN_DEVIATION = 22.0  # grey levels, at least, by which an outlier differs from the median
_DEVIATIONS = 4.0  # and so many times the usual difference at that face
_SMOOTHING = 3
_GROWTH = 6


def exposure_gains(candidates: Candidates, photos: int, threads: int = 1) -> NDArray[np.float64]:
    """(photos, 3) factors by channel that bring the photos' colours of the same faces together, geometric mean 1.

    Minimises the robust sum over faces and photos of (log colour + log gain - log colour of the face)^2 over gains and face
    colours, the latter eliminated; photos that share no face keep gain 1. Bright faces weigh more: a tone curve bends dark
    colours, and the gain that suits a meadow's little blue would tint the road.
    """
    usable = (candidates.photo >= 0) & ((candidates.rgb > _RELIABLE[0]) & (candidates.rgb < _RELIABLE[1])).all(axis=2)
    usable &= usable.sum(axis=1, keepdims=True) >= 2
    several = np.flatnonzero(usable.any(axis=1))
    several = several[:: len(several) // max(_FACES, _FACES_A_PHOTO * photos) + 1]
    usable, candidates = usable[several], candidates.of(several)
    face, slot = np.nonzero(usable)
    if not len(face):
        return np.ones((photos, 3))
    photo, rgb = candidates.photo[face, slot], candidates.rgb[face, slot].astype(np.float64)
    seen = np.bincount(photo, minlength=photos)
    views = np.maximum(usable.sum(axis=1), 1)

    def fit(c: int) -> NDArray[np.float64]:
        logs = np.log(rgb[:, c])
        bright = (np.bincount(face, rgb[:, c], minlength=len(usable)) / views / 128)[face] ** 2
        weight, gain = bright, np.zeros(photos)
        for _ in range(_ROUNDS):
            gain = _solve_gains(face, photo, logs, weight, len(usable), photos)
            corrected = logs + gain[photo]
            total = np.maximum(np.bincount(face, weight, minlength=len(usable)), 1e-12)
            residual = corrected - (np.bincount(face, weight * corrected, minlength=len(usable)) / total)[face]
            weight = bright / (1 + (residual / _CAUCHY) ** 2)
        return np.asarray(gain - (seen * gain).sum() / seen.sum())

    return np.exp(np.stack(list(in_order(fit, range(3), threads)), axis=1))


def _solve_gains(
    face: NDArray[np.int64], photo: NDArray[np.int32], logs: NDArray[np.float64], weight: NDArray[np.float64], faces: int, photos: int
) -> NDArray[np.float64]:
    """(photos,) log gains of one channel; ``face`` ascends."""
    per_face = np.maximum(np.bincount(face, weight, minlength=faces), 1e-12)
    per_photo = np.bincount(photo, weight, minlength=photos)
    ridge = _RIDGE * per_photo.mean() + 1e-12
    first = np.concatenate(([0], np.cumsum(np.bincount(face, minlength=faces))))
    shared = csr_matrix((weight / np.sqrt(per_face)[face], photo, first), shape=(faces, photos))
    laplacian = diags(per_photo + ridge) - shared.T @ shared
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


def inconsistent(candidates: Candidates, gains: NDArray[np.float64], pairs: NDArray[np.int64], threads: int = 1) -> NDArray[np.bool_]:
    """(F, K) slots whose photo shows something else than the face's other photos do: a passer-by, a reflection.

    The difference from the median over photos is averaged over neighbouring faces, so that a poor fit of fine texture
    cancels out and a foreign object does not. Objects are then grown to where the difference fades.
    """
    photo, faces = candidates.photo, len(candidates.photo)
    known = (photo >= 0) & ((photo >= 0).sum(axis=1) >= _MIN_VIEWS)[:, None]
    neighbours = face_neighbours(pairs, faces)
    difference, smoother = np.zeros_like(candidates.rgb), np.empty_like(candidates.rgb)
    in_parts(partial(_differ, photo, known, candidates.rgb, gains.astype(np.float32), difference), faces, threads)
    for _ in range(_SMOOTHING):
        in_parts(partial(_spread, photo, known, neighbours, difference, smoother), faces, threads)
        difference, smoother = smoother, difference
    foreign, possible, grown = (np.zeros(photo.shape, np.bool_) for _ in range(3))
    in_parts(partial(_judge, known, difference, foreign, possible), faces, threads)
    for allowed in (*[possible] * _GROWTH, known):
        in_parts(partial(_grow, photo, allowed, neighbours, foreign, grown), faces, threads)
        foreign, grown = grown, foreign
    return foreign


@numba.njit(cache=True, nogil=True)
def _differ(
    photo: NDArray[np.int32],
    known: NDArray[np.bool_],
    rgb: NDArray[np.float32],
    gains: NDArray[np.float32],
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """Into ``out``: what the known slots' colours, evened out, are off the face's median."""
    values = np.empty(photo.shape[1], np.float32)
    for f in range(first, last):
        for c in range(3):
            count = 0
            for k in range(photo.shape[1]):
                if known[f, k]:
                    out[f, k, c] = values[count] = rgb[f, k, c] * gains[photo[f, k], c]
                    count += 1
            if not count:
                break
            middle = np.float32(median(values, count))
            for k in range(photo.shape[1]):
                if known[f, k]:
                    out[f, k, c] -= middle


@numba.njit(cache=True, nogil=True)
def _judge(
    known: NDArray[np.bool_],
    difference: NDArray[np.float32],
    foreign: NDArray[np.bool_],
    possible: NDArray[np.bool_],
    first: int,
    last: int,
) -> None:
    """Marks slots that differ by much more than is usual at their face, and those that do by half as much."""
    deviation, values = np.empty(known.shape[1], np.float32), np.empty(known.shape[1], np.float32)
    for f in range(first, last):
        count = 0
        for k in range(known.shape[1]):
            if known[f, k]:
                red, green, blue = difference[f, k]
                deviation[k] = values[count] = np.sqrt(red * red + green * green + blue * blue)
                count += 1
        if not count:
            continue
        limit = max(np.float32(_MIN_DEVIATION), np.float32(_DEVIATIONS) * np.float32(median(values, count)))
        for k in range(known.shape[1]):
            if known[f, k]:
                foreign[f, k], possible[f, k] = deviation[k] > limit, deviation[k] > limit / 2


@numba.njit(cache=True, nogil=True)
def _spread(
    photo: NDArray[np.int32],
    known: NDArray[np.bool_],
    neighbours: NDArray[np.int32],
    values: NDArray[np.float32],
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """Into ``out``, of the faces from first to last: each slot's mean with the slots of the same photo at the face's neighbours."""
    for f in range(first, last):
        for k in range(photo.shape[1]):
            red, green, blue = values[f, k]
            count = np.float32(1)
            for g in neighbours[f]:
                for m in range(photo.shape[1] if g >= 0 and known[f, k] else 0):
                    if known[g, m] and photo[g, m] == photo[f, k]:
                        red += values[g, m, 0]
                        green += values[g, m, 1]
                        blue += values[g, m, 2]
                        count += np.float32(1)
            out[f, k, 0], out[f, k, 1], out[f, k, 2] = red / count, green / count, blue / count


@numba.njit(cache=True, nogil=True)
def _grow(
    photo: NDArray[np.int32],
    allowed: NDArray[np.bool_],
    neighbours: NDArray[np.int32],
    marked: NDArray[np.bool_],
    out: NDArray[np.bool_],
    first: int,
    last: int,
) -> None:
    """Into ``out``, of the faces from first to last: marks, and the allowed slots of the same photo at neighbours of marked faces."""
    for f in range(first, last):
        for k in range(photo.shape[1]):
            out[f, k] = marked[f, k]
            for g in neighbours[f]:
                for m in range(photo.shape[1] if g >= 0 and allowed[f, k] and photo[f, k] >= 0 else 0):
                    out[f, k] |= marked[g, m] and photo[g, m] == photo[f, k]
