"""Holes of a trimmed surface that its own sheet may close: small ones, and wider ones amid what is flat."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.surface.mesh import Edges, components_within, face_areas, face_vectors
from recon.surface.poisson import Surface
from recon.surface.thin import Samples

_FLAT_SHEET = 0.9  # length of the mean unit normal of a hole's sheet: 1 is a plane. On photo clouds lawns and carpets have
_FLAT_RIM = 0.85  # 0.92 and more with rims of 0.86 and more; bridges from a ledge to a wall below 0.88 and 0.81
_SAME_WAY = 0.95  # cosine between the two: a flat sheet that stands across the surface around it is a bridge
_LOOKERS = 100_000  # samples that are asked whether they lie behind a hole
_BEHIND = 0.1  # ... by this share of its width
_SEEN_THROUGH = 0.05  # a hole was looked through if surface is seen behind this share of its area


@dataclass(frozen=True)
class Laid:
    """A surface as it was laid, with its faces' neighbours."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    areas: NDArray[np.float64]
    """(F,)"""
    edges: Edges
    pairs: NDArray[np.int64]
    """(P, 2) faces side by side."""
    of_pair: NDArray[np.int64]
    """(P,) the edge between them."""

    @classmethod
    def of(cls, surface: Surface) -> Laid:
        edges = Edges.of(surface.faces)
        return cls(surface.vertices, surface.faces, face_areas(surface.vertices, surface.faces), edges, *edges.face_pairs())

    def vectors(self, faces: NDArray[np.int64]) -> NDArray[np.float64]:
        """(N, 3) normals of some faces (N,), as long as their area."""
        return face_vectors(self.vertices, self.faces[faces]) / 2

    @cached_property
    def at_border(self) -> NDArray[np.bool_]:
        """(F,) whether a face has an edge that no other face or more than one shares."""
        return np.asarray((self.edges.faces[self.edges.of_face] != 2).any(axis=1))


@dataclass(frozen=True)
class _Rim:
    """The edges between lost faces and kept ones."""

    inside: NDArray[np.int64]
    """(R,) the lost face."""
    outside: NDArray[np.int64]
    """(R,) the kept one."""
    length: NDArray[np.float64]
    """(R,)"""

    @classmethod
    def of(cls, laid: Laid, lost: NDArray[np.bool_]) -> _Rim:
        at = np.flatnonzero(lost[laid.pairs[:, 0]] != lost[laid.pairs[:, 1]])
        first, second = laid.pairs[at].T
        ends = laid.vertices[laid.edges.vertices[laid.of_pair[at]]]
        swapped = lost[second]
        return cls(np.where(swapped, second, first), np.where(swapped, first, second), np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1))


@dataclass(frozen=True)
class Holes:
    """Patches of lost faces, numbered; kept faces are patches of their own."""

    lost: NDArray[np.bool_]
    """(F,)"""
    patch: NDArray[np.int32]
    """(F,) number."""
    area: NDArray[np.float64]
    """(patches,)"""
    rim: _Rim
    around: NDArray[np.float64]
    """(patches,) length of the rim."""
    sheet: NDArray[np.bool_]
    """(patches,) whether kept faces lie all around and the patch is no larger than a disc with its rim: a sheet drawn over a
    hole, not a balloon blown out of it."""

    @classmethod
    def of(cls, laid: Laid, lost: NDArray[np.bool_]) -> Holes:
        patch = components_within(laid.pairs, lost.astype(np.int8) - 1)
        count = int(patch.max(initial=-1)) + 1
        area = np.bincount(patch, np.where(lost, laid.areas, 0.0), minlength=count).astype(np.float64)
        open_ended = np.bincount(patch, lost & laid.at_border, minlength=count) > 0
        rim = _Rim.of(laid, lost)
        around = np.bincount(patch[rim.inside], rim.length, minlength=count).astype(np.float64)
        return cls(lost, patch, area, rim, around, ~open_ended & (area > 0) & (area <= around**2 / (4 * np.pi)))

    def up_to(self, width: float) -> NDArray[np.bool_]:
        """(patches,) which are sheets of the area of a disc of that width at most."""
        return np.asarray(self.sheet & (self.area <= np.pi / 4 * width**2))

    def faces(self, patches: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(F,) the lost faces of some patches."""
        return np.asarray(self.lost & patches[self.patch])


def closable(laid: Laid, samples: Samples, holes: Holes, width: float, flat_width: float) -> NDArray[np.bool_]:
    """(patches,) which holes may be closed by their sheets.

    Those up to the ``width``; and those up to ``flat_width`` where sheet and rim are flat and go on into each other, and no
    sample that faces the same way lies behind.
    """
    closed = holes.up_to(width)
    wide = holes.up_to(flat_width) & ~closed
    faces = np.flatnonzero(holes.faces(wide))
    for hole in np.flatnonzero(wide & _flat(laid, holes, wide, faces)):
        closed[hole] = not _seen_through(laid, samples, faces[holes.patch[faces] == hole])
    return closed


def _flat(laid: Laid, holes: Holes, asked: NDArray[np.bool_], faces: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(patches,) whether the sheet and the kept faces around it are flat and face the same way; of those ``asked``, with their faces."""
    patches = np.flatnonzero(asked)  # few of very many: each kept face is one
    number, count = np.cumsum(asked) - 1, len(patches)
    sheet = _sums(number[holes.patch[faces]], laid.vectors(faces), count) / np.maximum(holes.area[patches], 1e-300)[:, None]
    at = np.flatnonzero(asked[holes.patch[holes.rim.inside]])
    outside = holes.rim.outside[at]
    unit = laid.vectors(outside) / np.maximum(laid.areas[outside], 1e-300)[:, None]
    beside = _sums(number[holes.patch[holes.rim.inside[at]]], unit * holes.rim.length[at, None], count)
    beside = beside / np.maximum(holes.around[patches], 1e-300)[:, None]
    flatness, flatness_beside = np.linalg.norm(sheet, axis=1), np.linalg.norm(beside, axis=1)
    along = np.einsum("pc,pc->p", sheet, beside) >= _SAME_WAY * flatness * flatness_beside
    flat = np.zeros(len(asked), bool)
    flat[patches] = (flatness >= _FLAT_SHEET) & (flatness_beside >= _FLAT_RIM) & along
    return flat


def _sums(of: NDArray[np.integer], vectors: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(count, 3) sums of the vectors (N, 3) of each number."""
    return np.stack([np.bincount(of, vectors[:, axis], minlength=count) for axis in range(3)], axis=1)


def _seen_through(laid: Laid, samples: Samples, faces: NDArray[np.int64]) -> bool:
    """Whether samples lie behind a flat sheet of faces and face as it does: what a doorway shows of the room.

    What faces the other way was seen from the other side.
    """
    step = max(1, len(samples.xyz) // _LOOKERS)
    xyz, normal = samples.xyz[::step], samples.normal[::step]
    area = laid.areas[faces].sum()
    towards = laid.vectors(faces).sum(axis=0)
    towards /= max(np.linalg.norm(towards), 1e-300)
    middles = laid.vertices[laid.faces[faces]].mean(axis=1)
    behind = (middles.mean(axis=0) - xyz) @ towards > _BEHIND * np.sqrt(area)
    behind &= normal @ towards.astype(np.float32) > 0
    across = np.linalg.svd(towards[None])[2][1:]  # two axes along the sheet
    nearest = cKDTree(middles @ across.T).query(xyz[behind] @ across.T, distance_upper_bound=np.sqrt(laid.areas[faces].max()))[0]
    return bool(np.isfinite(nearest).sum() * step * samples.spacing**2 >= _SEEN_THROUGH * area)
