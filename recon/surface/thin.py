"""A dense cloud of any size as samples of bounded number: one weighted mean a voxel, part by part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.dense.view import Points
from recon.errors import NoSurface
from recon.threads import both, in_order, in_parts

MIN_POINTS = 100
_MIN_CONFIDENCE = 0.05  # the weight of a point is never zero: a voxel of doubtful points still has a mean
_GROWTH = 2**0.5
_NOISE_VOXEL = 2.0  # edge of the voxels that noisy points are averaged in, over their standard deviation
_STRAYS = 0.001  # samples beyond this quantile, at either end of an axis, do not say how large the scene is ...
_FAR = 4.0  # ... and those outside so many times the cube of the others are left out: they would coarsen all the rest
_SPACING_QUERIES = 20_000
_SPACING_NEIGHBOURS = 8
_COLUMNS = 11
_ROWS_A_THREAD = 100_000  # fewer are not worth another thread
_KEYS_ASKED = 10_000  # for where to part rows among threads

Table = NDArray[np.float32]
"""(N, 11) a sample a row: its weight, and the means of xyz, normal, rgb and sigma; all of a row lies in one place of memory."""


_Floats = NDArray[np.float32]
_Parted = tuple[NDArray[np.float64], _Floats, _Floats, _Floats, _Floats]


@dataclass(frozen=True)
class Samples:
    """Oriented, coloured points that a surface is laid through."""

    xyz: NDArray[np.float64]
    """(N, 3) world."""
    normal: NDArray[np.float32]
    """(N, 3) unit, outwards."""
    rgb: NDArray[np.float32]
    """(N, 3) 0..255."""
    weight: NDArray[np.float32]
    """(N,) sum of the confidences behind it."""
    sigma: NDArray[np.float32]
    """(N,) mean expected error of the points behind it, world units."""
    given: int
    """Points of the cloud."""
    unusable: int
    """Points of the cloud without a finite place or normal."""
    far: int
    """Samples left out because they lie far from all others."""
    voxel: float
    """Edge of the voxels in world units; 0 where nothing had to be thinned. Noisy points are averaged over more."""
    spacing: float
    """Typical distance between neighbours, world units: the edge of the square that a sample has on the surface."""

    def save(self, path: Path) -> None:
        np.savez(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def load(cls, path: Path) -> Samples:
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] if arrays[name].ndim else arrays[name].item() for name in cls.__dataclass_fields__})

    @cached_property
    def tree(self) -> cKDTree:
        """To look for samples near a place."""
        return cKDTree(self.xyz, leafsize=24, balanced_tree=False)  # made in two thirds of the time, and asked as quickly


def thin(parts: Iterable[Points], max_points: int, threads: int = 1) -> Samples:
    """The parts of a cloud as at most max_points samples.

    Never holds more than max_points samples and one part. Voxels grow by half an octave until the samples fit, from the
    size where they first did not. What lies far from all the rest is left out. The others are averaged over the points' own
    noise: a surface that follows noise finer than its points are placed is all spikes. Raises NoSurface below MIN_POINTS
    usable points, or where all lie on one line.
    """
    tables: list[Table] = []
    given = usable = 0
    voxel = 0.0
    for part in parts:
        rows = _rows(part, threads)
        given, usable = given + len(part.xyz), usable + len(rows)
        tables = [_binned(*tables, _binned(rows, voxel=voxel, threads=threads), voxel=voxel, threads=threads)] if voxel else [*tables, rows]
        while sum(map(len, tables)) > max_points:
            voxel = voxel * _GROWTH if voxel else spacing_of(_places(tables, threads), threads=threads)
            tables = [_binned(*tables, voxel=voxel, threads=threads)]
    if sum(map(len, tables)) < MIN_POINTS:
        raise NoSurface(
            f"the dense cloud has {usable} usable points, a surface needs {MIN_POINTS}",
            "Lower fuse.min_views to 2, or take more photos that overlap by two thirds",
        )
    near = _near(_places(tables, threads), threads)
    far = int((~near).sum())
    table = _denoised(_stacked([table[kept] for table, kept in _split(tables, near)] if far else tables, threads), voxel, threads)
    xyz, normal, rgb, weight, sigma = _parted(table, threads)
    spacing, _ = both(lambda: spacing_of(xyz, threads=threads), lambda: _check_spread(xyz), threads)
    return Samples(xyz, normal, rgb, weight, sigma, given, given - usable, far, voxel, spacing)


def spacing_of(xyz: NDArray[np.floating], share: float = 0.5, tree: cKDTree | None = None, threads: int = 1) -> float:
    """Distance between neighbours that a share of the places (N, 3) does not exceed."""
    asked = xyz[:: max(1, len(xyz) // _SPACING_QUERIES)]

    def neighbours(tree: cKDTree, workers: int = 1) -> NDArray[np.float64]:
        return np.asarray(tree.query(asked, k=_SPACING_NEIGHBOURS + 1, workers=workers)[0])

    if tree is not None:
        distance = neighbours(tree, threads)
    else:  # few places are asked for: trees that are made quickly will do, one on each thread for a part of the places
        parts = np.array_split(xyz, _worth(threads, len(xyz)))
        found = list(in_order(lambda part: neighbours(cKDTree(part, balanced_tree=False, compact_nodes=False)), parts, threads))
        distance = np.sort(np.concatenate(found, axis=1), axis=1)
    extent = max(float(np.ptp(xyz[:, axis])) for axis in range(3))  # along an axis at a time: quicker by far
    # the disc to the k-th neighbour holds k points; coincident points still get a positive spacing
    typical: float = float(np.quantile(distance[:, _SPACING_NEIGHBOURS], share)) * (np.pi / _SPACING_NEIGHBOURS) ** 0.5
    return max(typical, extent * 1e-6)


def _near(xyz: NDArray[np.float32], threads: int) -> NDArray[np.bool_]:
    """(N,) which places lie within some times the cube that nearly all of them fill."""
    strays = max(1, int(_STRAYS * len(xyz)))
    at = strays, len(xyz) - 1 - strays
    ends = np.array(list(in_order(lambda axis: np.partition(xyz[:, axis], at)[list(at)], range(3), threads)), np.float64)
    near = np.empty(len(xyz), bool)
    _mark_within(xyz, ends.mean(axis=1), _FAR / 2 * float(np.ptp(ends, axis=1).max()), near)
    return near


def _worth(threads: int, rows: int) -> int:
    """How many of the threads are worth it for so many rows."""
    return min(threads, 1 + rows // _ROWS_A_THREAD)


@numba.njit(cache=True, nogil=True)
def _mark_within(xyz: NDArray[np.float32], centre: NDArray[np.float64], reach: float, out: NDArray[np.bool_]) -> None:
    for n in range(len(xyz)):
        out[n] = abs(xyz[n, 0] - centre[0]) <= reach and abs(xyz[n, 1] - centre[1]) <= reach and abs(xyz[n, 2] - centre[2]) <= reach


def _split(tables: list[Table], rows: NDArray[np.bool_]) -> Iterator[tuple[Table, NDArray[np.bool_]]]:
    """Each table with its part of what is said of all their rows."""
    return zip(tables, np.split(rows, np.cumsum([len(table) for table in tables])[:-1]), strict=True)


def _rows(part: Points, threads: int) -> Table:
    """The usable points of a part."""
    table, usable = np.empty((len(part.xyz), _COLUMNS), np.float32), np.ones(len(part.xyz), np.bool_)
    given = part.xyz, part.normal, part.rgb, part.confidence, part.sigma
    in_parts(lambda first, last: _fill(table, usable, *given, first, last), len(table), _worth(threads, len(table)))
    return table if usable.all() else table[usable]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fill(
    table: Table,
    usable: NDArray[np.bool_],
    xyz: NDArray[np.float32],
    normal: NDArray[np.float32],
    rgb: NDArray[np.uint8],
    confidence: NDArray[np.float32],
    sigma: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """Points into the rows of the table from first to last; those without a finite place, normal and error are not ``usable``."""
    for n in range(first, last):
        length = np.sqrt(normal[n, 0] ** 2 + normal[n, 1] ** 2 + normal[n, 2] ** 2)
        finite = np.isfinite(xyz[n, 0]) and np.isfinite(xyz[n, 1]) and np.isfinite(xyz[n, 2]) and np.isfinite(sigma[n])
        if not finite or not np.isfinite(length) or length <= 1e-6:
            usable[n] = False
            continue
        table[n, 0] = confidence[n] if confidence[n] > _MIN_CONFIDENCE else _MIN_CONFIDENCE
        for axis in range(3):
            table[n, 1 + axis] = xyz[n, axis]
            table[n, 4 + axis] = normal[n, axis] / length
            table[n, 7 + axis] = rgb[n, axis]
        table[n, 10] = max(sigma[n], np.float32(0))


def _places(tables: Sequence[Table], threads: int) -> NDArray[np.float32]:
    """(N, 3) the mean places of all rows."""
    return _stacked([table[:, 1:4] for table in tables], threads)


def _stacked(tables: Sequence[Table], threads: int) -> Table:
    """One table of them all. Threads, since new memory is slow to get: most of the time is spent on its first use."""
    if len(tables) == 1:
        return tables[0]
    first = np.cumsum([0, *map(len, tables)])
    out = np.empty((first[-1], tables[0].shape[1]), np.float32)

    def copy(begin: int, end: int) -> None:
        for table, at in zip(tables, first[:-1], strict=True):
            rows = slice(max(begin, at), max(begin, at, min(end, at + len(table))))
            out[rows] = table[rows.start - at : rows.stop - at]

    in_parts(copy, len(out), _worth(threads, len(out)))
    return out


def _binned(*tables: Table, voxel: float, threads: int = 1) -> Table:
    """One row a voxel: the mean of the rows whose places lie in it, in order of the voxels. Voxel 0 keeps all rows."""
    table = _stacked(tables, threads)
    if not voxel or not table.size:
        return table
    keys = voxel_keys(table[:, 1:4], voxel)
    threads = _worth(threads, len(keys))
    ends = np.quantile(keys[:: max(1, len(keys) // _KEYS_ASKED)], np.arange(1, threads) / threads, method="lower")

    def between(part: tuple[int, int]) -> Table:
        rows = np.flatnonzero((keys >= part[0]) & (keys < part[1]))
        binned: Table = _averaged(table, keys, rows[np.argsort(keys[rows], kind="stable")])
        return binned

    bounds = [keys.min(), *ends, keys.max() + 1]
    return _stacked(list(in_order(between, pairwise(bounds), threads)), threads)


@numba.njit(cache=True, nogil=True)
def _averaged(table: Table, keys: NDArray[np.int64], order: NDArray[np.int64]) -> Table:
    """(M, 11) the weighted means of rows with the same key, in ascending order of keys."""
    count = 0
    for n in range(len(order)):
        count += n == 0 or keys[order[n]] != keys[order[n - 1]]
    out, total = np.empty((count, _COLUMNS), np.float32), np.zeros(_COLUMNS)
    row = 0
    for n in range(len(order)):
        for c in range(1, _COLUMNS):
            total[c] += table[order[n], 0] * table[order[n], c]
        total[0] += table[order[n], 0]
        if n + 1 == len(order) or keys[order[n + 1]] != keys[order[n]]:
            for c in range(1, _COLUMNS):
                out[row, c] = total[c] / total[0]
            out[row, 0] = total[0]
            total[:] = 0
            row += 1
    return out


def _denoised(table: Table, voxel: float, threads: int) -> Table:
    """Rows whose expected error exceeds their distance averaged in voxels of its size, in whole octaves; the rest as they are."""
    finest = max(voxel, spacing_of(table[:, 1:4], threads=threads))
    octave = np.round(np.log2(np.maximum(_NOISE_VOXEL * table[:, 10] / finest, 1.0))).astype(np.int8)
    highest = int(octave.max())
    if not highest:
        return table
    parts = [table[octave == 0]]
    parts += [_binned(table[octave == level], voxel=finest * 2.0**level, threads=threads) for level in range(1, highest + 1)]
    return _stacked(parts, threads)


def voxel_keys(xyz: NDArray[np.floating], voxel: float) -> NDArray[np.int64]:
    """(N,) one number for each occupied voxel."""
    keys: NDArray[np.int64] = _keys(xyz, 1 / voxel)
    return keys


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _keys(xyz: NDArray[np.floating], scale: float) -> NDArray[np.int64]:
    low, high = np.full(3, np.int64(2**62)), np.full(3, np.int64(-(2**62)))
    for n in range(len(xyz)):
        for axis in range(3):
            cell = np.int64(np.floor(np.float64(xyz[n, axis]) * scale))
            low[axis], high[axis] = min(low[axis], cell), max(high[axis], cell)
    keys = np.empty(len(xyz), np.int64)
    for n in range(len(xyz)):
        key = np.int64(0)
        for axis in range(3):
            key = key * (high[axis] - low[axis] + 1) + np.int64(np.floor(np.float64(xyz[n, axis]) * scale)) - low[axis]
        keys[n] = key
    return keys


def occupied(xyz: NDArray[np.float64], voxel: float) -> int:
    """How many voxels hold a place."""
    keys = np.sort(voxel_keys(xyz, voxel))
    return int((keys[1:] != keys[:-1]).sum()) + 1


def _parted(table: Table, threads: int) -> _Parted:
    """What a table holds, each for itself: xyz, normals of length 1, rgb, weight, sigma."""
    count = len(table)
    xyz, normal, rgb = np.empty((count, 3)), np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
    weight, sigma = np.empty(count, np.float32), np.empty(count, np.float32)
    in_parts(lambda first, last: _part(table, xyz, normal, rgb, weight, sigma, first, last), count, _worth(threads, count))
    return xyz, normal, rgb, weight, sigma


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _part(
    table: Table,
    xyz: NDArray[np.float64],
    normal: NDArray[np.float32],
    rgb: NDArray[np.float32],
    weight: NDArray[np.float32],
    sigma: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    for n in range(first, last):
        weight[n], sigma[n] = table[n, 0], table[n, 10]
        length = np.sqrt(table[n, 4] * table[n, 4] + table[n, 5] * table[n, 5] + table[n, 6] * table[n, 6])
        for axis in range(3):
            xyz[n, axis], rgb[n, axis] = table[n, 1 + axis], table[n, 7 + axis]
            normal[n, axis] = table[n, 4 + axis] / length if length > 1e-12 else axis == 2


def _check_spread(xyz: NDArray[np.float64]) -> None:
    centred = xyz - xyz.mean(axis=0)
    across = np.sqrt(np.maximum(np.linalg.eigvalsh(centred.T @ centred), 0))
    if across[1] <= 1e-5 * across[2]:
        raise NoSurface(f"all {len(xyz)} points of the dense cloud lie on one line", "Take photos of a surface, from several sides")
