"""Triangles to samples of a picture: a depth buffer in homogeneous coordinates, and textures with mip levels.

A triangle with camera-space corners v0, v1, v2 meets the ray along d where d . (v1 x v2), d . (v2 x v0), d . (v0 x v1) have
one sign; divided by their sum they are the barycentric weights, true to perspective, and nothing needs clipping (Olano and
Greer, Triangle scan conversion using 2D homogeneous coordinates, 1997).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

_MAX_LEVEL = 4
_NEAR = 1e-6  # of the distance to the farthest vertex


@dataclass(frozen=True)
class Pyramid:
    """Texture pages, each with versions of half the size, one after the other."""

    texels: NDArray[np.uint8]
    """(N, 3) RGB."""
    layout: NDArray[np.int64]
    """(pages, levels, 3): first texel, height, width."""

    @classmethod
    def of(cls, pages: list[NDArray[np.uint8]]) -> Pyramid:
        layout = np.zeros((max(1, len(pages)), _MAX_LEVEL + 1, 3), np.int64)
        layout[:, :, 1:] = 1
        parts, first = [np.zeros((1, 3), np.uint8)], 1
        for page, rows in zip(pages, layout, strict=False):
            for row in rows:
                row[:] = first, *page.shape[:2]
                parts.append(page.reshape(-1, 3))
                first += len(parts[-1])
                half = (max(1, page.shape[1] // 2), max(1, page.shape[0] // 2))
                page = cv2.resize(page, half, interpolation=cv2.INTER_AREA)
        return cls(np.concatenate(parts), layout)


@dataclass(frozen=True)
class Samples:
    """What the samples of some rows of a picture show."""

    face: NDArray[np.int32]
    """(rows, columns) index of face, -1 for nothing."""
    weight: NDArray[np.float32]
    """(rows, columns, 2) barycentric weights of the second and third corner."""


def to_camera(vertices: NDArray[np.float32], R: NDArray[np.float64], eye: NDArray[np.float64]) -> NDArray[np.float64]:
    """(V, 3) camera coordinates, summed in one order whatever the machine's linear algebra."""
    x, y, z = (vertices[:, axis] - eye[axis] for axis in range(3))
    return np.stack([row[0] * x + row[1] * y + row[2] * z for row in R], axis=1)


def draw(
    in_cam: NDArray[np.float64], faces: NDArray[np.int32], rows: tuple[int, int], width: int, focal: float, centre: tuple[float, float]
) -> Samples:
    """The nearest faces at the samples of rows (first, last); focal and centre (x, y) in samples, first sample's centre at 0.5.

    in_cam is (V, 3) from `to_camera`; of faces at equal depth the first wins. A face seen from its front hides those seen from
    behind, however near they are: rooms are looked into through their walls, as into a doll's house.
    """
    face = np.full((rows[1] - rows[0], width), -1, np.int32)
    weight = np.zeros((*face.shape, 2), np.float32)
    nearest = np.full(face.shape, np.inf, np.float32)
    far = max(float(in_cam[:, 2].max(initial=0)), 1e-30)
    _draw(in_cam, faces, rows[0], focal, centre[0], centre[1], _NEAR * far, far, face, weight, nearest)
    return Samples(face, weight)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _draw(cam, faces, top, focal, cx, cy, near, far, face, weight, nearest):  # type: ignore[no-untyped-def]
    height, width = face.shape
    n = np.empty((3, 3))
    for f in range(len(faces)):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        za, zb, zc = cam[i, 2], cam[j, 2], cam[k, 2]
        if za <= near and zb <= near and zc <= near:
            continue
        x0, x1, y0, y1 = 0, width - 1, 0, height - 1
        if za > near and zb > near and zc > near:
            xa, xb, xc = cam[i, 0] / za, cam[j, 0] / zb, cam[k, 0] / zc
            ya, yb, yc = cam[i, 1] / za, cam[j, 1] / zb, cam[k, 1] / zc
            # half a sample's margin for rounding; compared as floats first, for a face may be huge
            left, right = min(xa, xb, xc) * focal + cx - 1, max(xa, xb, xc) * focal + cx
            above, below = min(ya, yb, yc) * focal + cy - top - 1, max(ya, yb, yc) * focal + cy - top
            if right < 0 or below < 0 or left > width or above > height:
                continue
            x0, x1 = max(x0, int(left)), min(x1, int(min(right, width)))
            y0, y1 = max(y0, int(above)), min(y1, int(min(below, height)))
        _cross(n[0], cam[j], cam[k])
        _cross(n[1], cam[k], cam[i])
        _cross(n[2], cam[i], cam[j])
        volume = cam[i, 0] * n[0, 0] + cam[i, 1] * n[0, 1] + cam[i, 2] * n[0, 2]
        if volume == 0:
            continue
        behind = 0.0 if volume < 0 else far
        if volume < 0:
            volume = -volume
            for r in range(3):
                for c in range(3):
                    n[r, c] = -n[r, c]
        for y in range(y0, y1 + 1):
            dy = (top + y + 0.5 - cy) / focal
            for x in range(x0, x1 + 1):
                dx = (x + 0.5 - cx) / focal
                a = dx * n[0, 0] + dy * n[0, 1] + n[0, 2]
                b = dx * n[1, 0] + dy * n[1, 1] + n[1, 2]
                c = dx * n[2, 0] + dy * n[2, 1] + n[2, 2]
                if a < 0 or b < 0 or c < 0:
                    continue
                total = a + b + c
                if total <= 0:
                    continue
                z = np.float32(volume / total + behind)
                if z < nearest[y, x]:
                    nearest[y, x] = z
                    face[y, x] = f
                    weight[y, x, 0], weight[y, x, 1] = b / total, c / total


@numba.njit(cache=True, inline="always", error_model="numpy")
def _cross(into, p, q):  # type: ignore[no-untyped-def]
    into[0] = p[1] * q[2] - p[2] * q[1]
    into[1] = p[2] * q[0] - p[0] * q[2]
    into[2] = p[0] * q[1] - p[1] * q[0]


def mip_levels(
    in_cam: NDArray[np.float64], faces: NDArray[np.int32], uv: NDArray[np.float32], size: NDArray[np.int64], focal: float
) -> NDArray[np.int8]:
    """(F,) the level of each face's texture at which a texel is nearest to a sample, but never larger.

    uv is (F, 3, 2); size is (F, 2), height and width of each face's page.
    """
    levels = np.zeros(len(faces), np.int8)
    _mip_levels(in_cam, faces, uv, size, focal, levels)
    return levels


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _mip_levels(cam, faces, uv, size, focal, levels):  # type: ignore[no-untyped-def]
    for f in range(len(faces)):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        if min(cam[i, 2], cam[j, 2], cam[k, 2]) <= 0:
            continue
        xa, xb, xc = cam[i, 0] / cam[i, 2], cam[j, 0] / cam[j, 2], cam[k, 0] / cam[k, 2]
        ya, yb, yc = cam[i, 1] / cam[i, 2], cam[j, 1] / cam[j, 2], cam[k, 1] / cam[k, 2]
        samples = abs((xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)) * focal * focal
        bu, bv = uv[f, 1, 0] - uv[f, 0, 0], uv[f, 1, 1] - uv[f, 0, 1]
        cu, cv = uv[f, 2, 0] - uv[f, 0, 0], uv[f, 2, 1] - uv[f, 0, 1]
        texels = abs(bu * cv - bv * cu) * size[f, 0] * size[f, 1]
        while texels > 4 * samples and levels[f] < _MAX_LEVEL:
            texels /= 4
            levels[f] += 1
