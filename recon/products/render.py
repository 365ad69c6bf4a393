"""Pictures of textured meshes and point clouds on the CPU, without a display."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from recon.capture.pixels import read_rgb
from recon.products.raster import Pyramid, Samples, draw, mip_levels, to_camera
from recon.products.textured import TexturedMesh
from recon.threads import in_parts

_SUPERSAMPLING = 2  # samples a pixel in each direction: edges and fine texture do not flicker
_MAX_PAGE_PX = 4096
_AMBIENT = 0.72  # the texture holds the light of the day already; a little headlight shows the shape
_CLAY = np.array([206, 202, 196], np.uint8)
_CLAY_AMBIENT = 0.3
_BACKGROUND_TOP = np.array([250.0, 250.0, 251.0], np.float32)
_BACKGROUND_BOTTOM = np.array([219.0, 222.0, 227.0], np.float32)


@dataclass(frozen=True)
class Viewpoint:
    """A pinhole camera to draw with."""

    width: int
    height: int
    focal_px: float
    R: NDArray[np.float64]
    """(3, 3) rotation of cam_from_world; x right, y down, z forward."""
    eye: NDArray[np.float64]
    """(3,) in world."""

    @classmethod
    def look_at(cls, eye: NDArray[np.float64], target: NDArray[np.float64], width: int, height: int, fov_deg: float = 35.0) -> Viewpoint:
        """From eye to target with the world's z up in the picture; fov_deg is that of the picture's height."""
        forward = (target - eye) / np.linalg.norm(target - eye)
        up = np.array([0.0, 0.0, 1.0]) if abs(forward[2]) < 0.999 else np.array([0.0, 1.0, 0.0])
        right = np.cross(forward, up)
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward])
        return cls(width, height, height / 2 / np.tan(np.radians(fov_deg) / 2), rotation, np.asarray(eye, dtype=np.float64))


class MeshRenderer:
    """A textured mesh ready to be drawn from any viewpoint."""

    def __init__(self, mesh: TexturedMesh, clay: bool = False) -> None:
        """clay shows the shape alone: grey, lit from the eye."""
        self._ambient = _CLAY_AMBIENT if clay else _AMBIENT
        self._vertices = np.ascontiguousarray(mesh.vertices, np.float32)
        self._faces = np.ascontiguousarray(mesh.faces, np.int32)
        self._normals = np.ascontiguousarray(mesh.normals, np.float32)
        self._uv = np.zeros((len(mesh.faces), 3, 2), np.float32) if clay else np.ascontiguousarray(mesh.uv, np.float32)
        self._page = np.zeros(len(mesh.faces), np.int32) if clay else np.ascontiguousarray(mesh.page, np.int32)
        self._texture = Pyramid.of([_CLAY.reshape(1, 1, 3)] if clay else [_page(path) for path in mesh.pages])

    def render(self, view: Viewpoint, threads: int = 1) -> NDArray[np.uint8]:
        """(height, width, 3) RGB picture over a light background, the same whatever the threads."""
        focal = view.focal_px * _SUPERSAMPLING
        centre = view.width * _SUPERSAMPLING / 2, view.height * _SUPERSAMPLING / 2
        in_cam = to_camera(self._vertices, view.R, view.eye)
        level = mip_levels(in_cam, self._faces, self._uv, self._texture.layout[self._page, 0, 1:], focal)
        picture = _background(view.width, view.height)

        def rows(first: int, last: int) -> None:
            band = first * _SUPERSAMPLING, last * _SUPERSAMPLING
            seen = draw(in_cam, self._faces, band, view.width * _SUPERSAMPLING, focal, centre)
            self._shade(view, band[0], focal, centre, seen, level, picture[first:last])

        in_parts(rows, view.height, threads)
        return (picture + 0.5).astype(np.uint8)

    def _shade(
        self,
        view: Viewpoint,
        top: int,
        focal: float,
        centre: tuple[float, float],
        seen: Samples,
        level: NDArray[np.int8],
        picture: NDArray[np.float32],
    ) -> None:
        texture = self._texture.texels, self._texture.layout, self._page, level, self._uv
        _shade(seen.face, seen.weight, top, focal, *centre, view.R, self._faces, self._normals, *texture, self._ambient, picture)


def render_mesh(mesh: TexturedMesh, view: Viewpoint, threads: int = 1) -> NDArray[np.uint8]:
    """(height, width, 3) RGB picture of a textured mesh."""
    return MeshRenderer(mesh).render(view, threads)


def render_points(xyz: NDArray[Any], rgb: NDArray[np.uint8], view: Viewpoint, size_px: int = 2) -> NDArray[np.uint8]:
    """(height, width, 3) RGB picture of points in world, each a square of size_px, the nearest in front."""
    cam = (xyz.astype(np.float64) - view.eye) @ view.R.T
    keep = cam[:, 2] > 1e-9
    z = cam[keep, 2]
    centre = np.array([view.width / 2, view.height / 2])
    pixel = np.floor(cam[keep, :2] / z[:, None] * view.focal_px + centre - (size_px - 1) / 2).astype(np.int64)
    picture = (_background(view.width, view.height) + 0.5).astype(np.uint8)
    _splat(pixel, z, np.ascontiguousarray(rgb[keep]), size_px, picture)
    return picture


def _background(width: int, height: int) -> NDArray[np.float32]:
    blend = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    rows = _BACKGROUND_TOP * (1 - blend) + _BACKGROUND_BOTTOM * blend
    return np.repeat(rows, width, axis=1)


def _page(path: Path) -> NDArray[np.uint8]:
    return read_rgb(path, _MAX_PAGE_PX)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _shade(face, weight, top, focal, cx, cy, R, faces, normals, texels, layout, page, level, uv, ambient, picture):  # type: ignore[no-untyped-def]
    """Average samples of picture's rows into it, (H, W, 3) float32 that holds the background; top is the first sample's row."""
    n = face.shape[0] // max(1, picture.shape[0])
    one = np.float32(1)
    for row in range(picture.shape[0]):
        for column in range(picture.shape[1]):
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            for sub in range(n * n):
                y, x = row * n + sub // n, column * n + sub % n
                f = face[y, x]
                if f < 0:
                    red += picture[row, column, 0]
                    green += picture[row, column, 1]
                    blue += picture[row, column, 2]
                    continue
                b, c = weight[y, x, 0], weight[y, x, 1]
                a = one - b - c
                first, height, width = layout[page[f], level[f]]
                u = (a * uv[f, 0, 0] + b * uv[f, 1, 0] + c * uv[f, 2, 0]) * np.float32(width)
                v = (one - (a * uv[f, 0, 1] + b * uv[f, 1, 1] + c * uv[f, 2, 1])) * np.float32(height)
                i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
                dx, dy = (x + 0.5 - cx) / focal, (top + y + 0.5 - cy) / focal
                along, square = np.float32(0), np.float32(0)
                for axis in range(3):
                    normal = a * normals[i, axis] + b * normals[j, axis] + c * normals[k, axis]
                    along += normal * np.float32(dx * R[0, axis] + dy * R[1, axis] + R[2, axis])
                    square += normal * normal
                length = np.sqrt(max(square * np.float32(dx * dx + dy * dy + 1), np.float32(1e-20)))
                light = np.float32(ambient) + np.float32(1 - ambient) * abs(along) / length
                r, g, h = _bilinear(texels, first, height, width, u - np.float32(0.5), v - np.float32(0.5))
                red += light * r
                green += light * g
                blue += light * h
            picture[row, column, 0] = red / (n * n)
            picture[row, column, 1] = green / (n * n)
            picture[row, column, 2] = blue / (n * n)


@numba.njit(cache=True, inline="always", error_model="numpy")
def _bilinear(texels, first, height, width, u, v):  # type: ignore[no-untyped-def]
    """The colour at pixel position (u, v) of a page, first pixel's centre at 0."""
    x0, y0 = int(np.floor(u)), int(np.floor(v))
    s, t = np.float32(u - x0), np.float32(v - y0)
    xa, xb = min(max(x0, 0), width - 1), min(max(x0 + 1, 0), width - 1)
    ya, yb = first + min(max(y0, 0), height - 1) * width, first + min(max(y0 + 1, 0), height - 1) * width
    one = np.float32(1)
    p, q, m, k = (one - s) * (one - t), s * (one - t), (one - s) * t, s * t
    return (
        texels[ya + xa, 0] * p + texels[ya + xb, 0] * q + texels[yb + xa, 0] * m + texels[yb + xb, 0] * k,
        texels[ya + xa, 1] * p + texels[ya + xb, 1] * q + texels[yb + xa, 1] * m + texels[yb + xb, 1] * k,
        texels[ya + xa, 2] * p + texels[ya + xb, 2] * q + texels[yb + xa, 2] * m + texels[yb + xb, 2] * k,
    )


@numba.njit(cache=True, error_model="numpy")
def _splat(pixel, z, rgb, size_px, picture):  # type: ignore[no-untyped-def]
    height, width = picture.shape[:2]
    nearest = np.full((height, width), np.inf)
    for i in range(len(z)):
        for y in range(max(0, pixel[i, 1]), min(height, pixel[i, 1] + size_px)):
            for x in range(max(0, pixel[i, 0]), min(width, pixel[i, 0] + size_px)):
                if z[i] < nearest[y, x]:
                    nearest[y, x] = z[i]
                    picture[y, x] = rgb[i]
