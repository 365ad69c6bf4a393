"""Pieces of surface that lie flat in one photo, and their rectangles."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from recon.surface.mesh import TriMesh, components, components_within, face_vectors
from recon.surface.photos import Photo

PADDING = 2
"""Texels around a chart that belong to it, so that bilinear filtering stays in it."""

_SPARSE = 0.6  # of its rectangle that a large chart must cover, lest it be split
_LARGE_TEXELS = 96
_SPLITS = 12
_PLAIN_TEXELS = 2.0  # texels along a typical edge where only vertex colours are known


@dataclass(frozen=True)
class Charts:
    """Every face in exactly one chart."""

    of_face: NDArray[np.int32]
    """(F,) index of chart."""
    photo: NDArray[np.int32]
    """(C,) the photo that a chart is cut from, -1 for one without."""
    corners: NDArray[np.float64]
    """(F, 3, 2) corners of faces in their photo [px]; in a plane of their own where there is no photo."""
    scale: NDArray[np.float64]
    """(C,) texels a photo pixel: 1, or less for a face larger than a page."""
    origin: NDArray[np.float64]
    """(C, 2) whole: the rectangle's corner nearest to zero, texels."""
    size: NDArray[np.int64]
    """(C, 2) width and height of the rectangle, texels, with its padding."""


def corner_pixels(mesh: TriMesh, photos: list[Photo], label: NDArray[np.int32], max_size_px: int) -> NDArray[np.float64]:
    """(F, 3, 2) where each face's corners lie in its photo [px at that size]; NaN for faces without one."""
    corners = np.full((len(label), 3, 2), np.nan)
    for index, photo in enumerate(photos):
        faces = np.flatnonzero(label == index)
        if len(faces):
            used, of_corner = np.unique(mesh.faces[faces], return_inverse=True)
            corners[faces] = photo.project(mesh.vertices[used], max_size_px)[of_corner.reshape(-1, 3)]
    return corners


def make_charts(mesh: TriMesh, label: NDArray[np.int32], corners: NDArray[np.float64], pairs: NDArray[np.int64], max_texels: int) -> Charts:
    """Connected faces of the same photo, cut up where they would not fit on a page of max_texels."""
    plain = label < 0
    corners = corners.copy()
    side = _sides(mesh, plain)
    corners[plain] = _flattened(mesh, plain, side)
    code = np.where(plain, -1 - side, label).astype(np.int64)
    inner = max_texels - 2 * PADDING - 2
    chart = components_within(pairs, code - code.min(initial=0))
    low, high = _bounds(chart, corners)
    large = ((high - low).max(axis=1) > inner)[chart]
    if large.any():
        tile = np.zeros((len(code), 2), np.int64)
        tile[large] = (corners[large].mean(axis=1) - low[chart[large]]) // (inner / 2)
        same = (code[pairs[:, 0]] == code[pairs[:, 1]]) & (tile[pairs[:, 0]] == tile[pairs[:, 1]]).all(axis=1)
        chart = components(pairs[same], len(code))
    chart = _split_sparse(chart, corners, pairs)
    low, high = _bounds(chart, corners)
    scale = np.minimum(1.0, inner / np.maximum((high - low).max(axis=1), 1e-9))
    origin = np.floor(low * scale[:, None]) - PADDING
    size = (np.ceil(high * scale[:, None]) + PADDING - origin).astype(np.int64)
    photo = np.full(len(low), -1, np.int32)
    photo[chart] = label
    return Charts(chart, photo, corners, scale, origin, size)


def _split_sparse(chart: NDArray[np.int32], corners: NDArray[np.float64], pairs: NDArray[np.int64]) -> NDArray[np.int32]:
    """(F,) charts, halved again and again where they leave much of a large rectangle empty."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area, middle = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2, corners.mean(axis=1)
    for _ in range(_SPLITS):
        low, high = _bounds(chart, corners)
        size = high - low
        sparse = (size.max(axis=1) > _LARGE_TEXELS) & (np.bincount(chart, area) < _SPARSE * size.prod(axis=1))
        longer = size.argmax(axis=1)
        cut = ((low + high) / 2)[np.arange(len(longer)), longer]
        upper = sparse[chart] & (middle[np.arange(len(chart)), longer[chart]] > cut[chart])
        halves = 2 * chart.astype(np.int64) + upper
        split = components_within(pairs, halves)
        if split.max(initial=0) == chart.max(initial=0):
            break
        chart = split
    return chart


def _bounds(chart: NDArray[np.int32], corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(C, 2) each: least and greatest coordinates of a chart's corners."""
    count = int(chart.max(initial=-1)) + 1
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    _widen(chart, corners, low, high)
    return low, high


@numba.njit(cache=True, nogil=True)
def _widen(chart: NDArray[np.int32], corners: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    for f in range(len(chart)):
        for k in range(3):
            for axis in range(2):
                value = corners[f, k, axis]
                low[chart[f], axis] = min(low[chart[f], axis], value)
                high[chart[f], axis] = max(high[chart[f], axis], value)


def _sides(mesh: TriMesh, plain: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(F,) the side of a cube, 0..5, that a face without a photo looks to; 0 for the others."""
    normals = face_vectors(mesh.vertices, mesh.faces)
    axis = np.abs(normals).argmax(axis=1)
    ahead = np.take_along_axis(normals, axis[:, None], axis=1)[:, 0] > 0
    return np.where(plain, 2 * axis + ahead, 0)


def _flattened(mesh: TriMesh, plain: NDArray[np.bool_], side: NDArray[np.int64]) -> NDArray[np.float64]:
    """(P, 3, 2) corners of the plain faces seen along their side's axis, in texels."""
    xyz = mesh.vertices[mesh.faces].astype(np.float64)
    texel = float(np.median(np.linalg.norm(xyz[:, 0] - xyz[:, 1], axis=1))) / _PLAIN_TEXELS
    others = np.array([[1, 2], [0, 2], [0, 1]])[side[plain] // 2]
    flat = np.take_along_axis(xyz[plain], others[:, None, :].repeat(3, axis=1), axis=2)
    return np.asarray((flat - mesh.vertices.min(axis=0)[others][:, None]) / max(texel, 1e-12))
