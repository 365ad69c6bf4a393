"""A dense cloud of any size as samples of bounded number: one weighted mean a voxel, part by part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.dense.view import Points
from recon.errors import NoSurface

MIN_POINTS = 100
_MIN_CONFIDENCE = 0.05  # the weight of a point is never zero: a voxel of doubtful points still has a mean
_GROWTH = 2**0.5
_NOISE_VOXEL = 2.0  # edge of the voxels that noisy points are averaged in, over their standard deviation
_STRAYS = 0.001  # samples beyond this quantile, at either end of an axis, do not say how large the scene is ...
_FAR = 4.0  # ... and those outside so many times the cube of the others are left out: they would coarsen all the rest
_SPACING_QUERIES = 20_000
_SPACING_NEIGHBOURS = 8
_COLUMNS = 11


@dataclass(frozen=True)
class Samples:
    """Oriented, coloured points that a surface is laid through."""

    xyz: NDArray[np.float64]
    """(N, 3) world."""
    normal: NDArray[np.float64]
    """(N, 3) unit, outwards."""
    rgb: NDArray[np.float64]
    """(N, 3) 0..255."""
    weight: NDArray[np.float64]
    """(N,) sum of the confidences behind it."""
    sigma: NDArray[np.float64]
    """(N,) mean expected error of the points behind it, world units."""
    given: int
    """Points of the cloud."""
    unusable: int
    """Points of the cloud without a finite place or normal."""
    far: int
    """Samples left out because they lie far from all others."""
    voxel: float
    """Edge of the voxels in world units; 0 where nothing had to be thinned. Noisy points are averaged over more."""

    def save(self, path: Path) -> None:
        np.savez(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def load(cls, path: Path) -> Samples:
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] if arrays[name].ndim else arrays[name].item() for name in cls.__dataclass_fields__})

    @cached_property
    def tree(self) -> cKDTree:
        """To look for samples near a place."""
        return cKDTree(self.xyz)


def thin(parts: Iterable[Points], max_points: int) -> Samples:
    """The parts of a cloud as at most max_points samples.

    Never holds more than max_points samples and one part. Voxels grow by half an octave until the samples fit, from the
    size where they first did not. What lies far from all the rest is left out. The others are averaged over the points' own
    noise: a surface that follows noise finer than its points are placed is all spikes. Raises NoSurface below MIN_POINTS
    usable points, or where all lie on one line.
    """
    table = np.zeros((_COLUMNS, 0))
    given = usable = 0
    voxel = 0.0
    for part in parts:
        new = _columns(part)
        given, usable = given + len(part.xyz), usable + new.shape[1]
        new = _binned(new, voxel)
        table = np.concatenate([table, new], axis=1) if table.size else new
        if voxel:
            table = _binned(table, voxel)
        while table.shape[1] > max_points:
            voxel = voxel * _GROWTH if voxel else _spacing(_places(table))
            table = _binned(table, voxel)
    if table.shape[1] < MIN_POINTS:
        raise NoSurface(
            f"the dense cloud has {usable} usable points, a surface needs {MIN_POINTS}",
            "Lower fuse.min_views to 2, or take more photos that overlap by two thirds",
        )
    near = _near(_places(table))
    table = _denoised(table if near.all() else table[:, near], voxel)
    weight, normal = table[0], np.ascontiguousarray(table[4:7].T)
    xyz, rgb = (np.ascontiguousarray((table[rows] / weight).T) for rows in (slice(1, 4), slice(7, 10)))
    samples = Samples(xyz, _unit(normal), rgb, weight, table[10] / weight, given, given - usable, int((~near).sum()), voxel)
    _check_spread(samples.xyz)
    return samples


def spacing(samples: Samples, share: float = 0.5) -> float:
    """Distance between neighbouring samples that a share of them does not exceed, world units.

    It is the edge of the square that a sample has on the surface.
    """
    return _spacing(samples.xyz, share, samples.tree)


def _spacing(xyz: NDArray[np.float64], share: float = 0.5, tree: cKDTree | None = None) -> float:
    """The spacing that a share of the points does not exceed."""
    step = max(1, len(xyz) // _SPACING_QUERIES)
    # few places are asked for: a tree that is made quickly will do
    tree = tree or cKDTree(xyz, balanced_tree=False, compact_nodes=False)
    distance = tree.query(xyz[::step], k=_SPACING_NEIGHBOURS + 1)[0][:, -1]
    extent = max(float(np.ptp(xyz[:, axis])) for axis in range(3))  # along an axis at a time: quicker by far
    # the disc to the k-th neighbour holds k points; coincident points still get a positive spacing
    typical: float = float(np.quantile(distance, share)) * (np.pi / _SPACING_NEIGHBOURS) ** 0.5
    return max(typical, extent * 1e-6)


def _near(xyz: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) which places lie within some times the cube that nearly all of them fill."""
    strays = max(1, int(_STRAYS * len(xyz)))
    low, high = (np.partition(xyz, at, axis=0)[at] for at in (strays, len(xyz) - 1 - strays))
    reach = _FAR / 2 * float((high - low).max())
    return np.asarray((np.abs(xyz - (low + high) / 2) <= reach).all(axis=1))


def _columns(part: Points) -> NDArray[np.float64]:
    """(11, N) weight, and weight times xyz, normal, rgb, sigma of the usable points: sums of columns are quick where they lie apart."""
    length = np.sqrt(np.einsum("nc,nc->n", part.normal, part.normal, dtype=np.float64))
    good = np.isfinite(part.xyz).all(axis=1) & np.isfinite(length) & (length > 1e-6) & np.isfinite(part.sigma)
    if not good.all():
        part, length = part.take(good), length[good]
    table = np.empty((_COLUMNS, len(length)))
    table[0] = np.maximum(np.nan_to_num(part.confidence), _MIN_CONFIDENCE)
    for first, values in ((1, part.xyz), (4, part.normal), (7, part.rgb)):
        for axis in range(3):
            np.multiply(table[0], values[:, axis], out=table[first + axis])
    table[4:7] /= length
    np.multiply(table[0], np.maximum(part.sigma, 0), out=table[10])
    return table


def _places(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) the mean place of each column."""
    return np.asarray((table[1:4] / table[0]).T)


def _binned(table: NDArray[np.float64], voxel: float) -> NDArray[np.float64]:
    """One column a voxel: the sum of the columns whose mean place lies in it. Voxel 0 keeps all columns."""
    if not voxel or not table.size:
        return table
    keys, of_column = np.unique(voxel_keys(_places(table), voxel), return_inverse=True)
    binned = np.empty((_COLUMNS, len(keys)))
    for row, values in zip(binned, table, strict=True):
        row[:] = np.bincount(of_column, values)
    return binned


def _denoised(table: NDArray[np.float64], voxel: float) -> NDArray[np.float64]:
    """Columns whose expected error exceeds their distance averaged in voxels of its size, in whole octaves; the rest as they are."""
    finest = max(voxel, _spacing(_places(table)))
    octave = np.round(np.log2(np.maximum(_NOISE_VOXEL * table[10] / table[0] / finest, 1.0))).astype(np.int8)
    highest = int(octave.max())
    if not highest:
        return table
    parts = [table[:, octave == 0]]
    parts += [_binned(table[:, octave == level], finest * 2.0**level) for level in range(1, highest + 1)]
    return np.concatenate(parts, axis=1)


def voxel_keys(xyz: NDArray[np.float64], voxel: float) -> NDArray[np.int64]:
    """(N,) one number for each occupied voxel."""
    keys = np.zeros(len(xyz), np.int64)
    for axis in range(3):
        cell = np.floor(xyz[:, axis] / voxel).astype(np.int64)
        cell -= cell.min()
        keys = keys * (int(cell.max(initial=0)) + 1) + cell
    return keys


def occupied(xyz: NDArray[np.float64], voxel: float) -> int:
    """How many voxels hold a place."""
    keys = np.sort(voxel_keys(xyz, voxel))
    return int((keys[1:] != keys[:-1]).sum()) + 1


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length > 1e-12, vectors / np.where(length > 1e-12, length, 1), [0.0, 0.0, 1.0])


def _check_spread(xyz: NDArray[np.float64]) -> None:
    centred = xyz - xyz.mean(axis=0)
    across = np.sqrt(np.maximum(np.linalg.eigvalsh(centred.T @ centred), 0))
    if across[1] <= 1e-5 * across[2]:
        raise NoSurface(f"all {len(xyz)} points of the dense cloud lie on one line", "Take photos of a surface, from several sides")
