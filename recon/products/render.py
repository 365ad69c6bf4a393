"""Pictures of textured meshes and point clouds on the CPU, without a display: rays for meshes, splats for points."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numba
import numpy as np
import open3d as o3d
from numpy.typing import NDArray

from recon.products.textured import TexturedMesh

_SUPERSAMPLING = 2  # rays a pixel in each direction: edges and fine texture do not flicker
_MAX_PAGE_PX = 4096
_AMBIENT = 0.72  # the texture holds the light of the day already; a little headlight shows the shape
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

    def __init__(self, mesh: TexturedMesh, threads: int = 1) -> None:
        self._threads = threads
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=threads)
        if len(mesh.faces):
            self._scene.add_triangles(
                o3d.core.Tensor(np.ascontiguousarray(mesh.vertices, np.float32)),
                o3d.core.Tensor(np.ascontiguousarray(mesh.faces, np.uint32)),
            )
        self._uv = np.ascontiguousarray(mesh.uv, np.float32)
        self._page = np.ascontiguousarray(mesh.page, np.int32)
        self._normals = np.ascontiguousarray(mesh.normals[mesh.faces], np.float32)
        self._pixels, self._sizes = _stack_pages(mesh)

    def render(self, view: Viewpoint) -> NDArray[np.uint8]:
        """(height, width, 3) RGB picture over a light background."""
        rays = _rays(view, _SUPERSAMPLING)
        hit = self._scene.cast_rays(o3d.core.Tensor(rays), nthreads=self._threads)
        hits = hit["primitive_ids"].numpy(), hit["primitive_uvs"].numpy(), rays
        picture = _background(view.width, view.height)

        def shade(band: int) -> None:
            rows = (view.height * band // self._threads, view.height * (band + 1) // self._threads)
            _shade(rows, *hits, self._uv, self._page, self._normals, self._pixels, self._sizes, picture)

        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(shade, range(self._threads)))
        return (picture + 0.5).astype(np.uint8)


def render_mesh(mesh: TexturedMesh, view: Viewpoint, threads: int = 1) -> NDArray[np.uint8]:
    """(height, width, 3) RGB picture of a textured mesh."""
    return MeshRenderer(mesh, threads).render(view)


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


def _rays(view: Viewpoint, oversample: int) -> NDArray[np.float32]:
    """(H, W, 6) origins and directions through the centres of oversampled pixels."""
    u = ((np.arange(view.width * oversample) + 0.5) / oversample - view.width / 2) / view.focal_px
    v = ((np.arange(view.height * oversample) + 0.5) / oversample - view.height / 2) / view.focal_px
    rays = np.empty((len(v), len(u), 6), np.float32)
    for axis in range(3):
        rays[..., axis] = view.eye[axis]
        down = (v * view.R[1, axis] + view.R[2, axis]).astype(np.float32)
        np.add(down[:, None], (u * view.R[0, axis]).astype(np.float32), out=rays[..., 3 + axis])
    return rays


def _background(width: int, height: int) -> NDArray[np.float32]:
    blend = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    rows = _BACKGROUND_TOP * (1 - blend) + _BACKGROUND_BOTTOM * blend
    return np.repeat(rows, width, axis=1)


def _stack_pages(mesh: TexturedMesh) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All pages in one (P, H, W, 3) array, and each one's (height, width) in it."""
    pages = []
    for path in mesh.pages:
        page = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        scale = min(1.0, _MAX_PAGE_PX / max(page.shape[:2]))
        pages.append(page if scale == 1 else cv2.resize(page, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    sizes = np.array([page.shape[:2] for page in pages], np.int64).reshape(-1, 2)
    height, width = sizes.max(axis=0, initial=1)
    stack = np.zeros((max(1, len(pages)), height, width, 3), np.uint8)
    for page, into in zip(pages, stack, strict=False):
        into[: page.shape[0], : page.shape[1]] = page
    return stack, sizes


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _shade(rows, primitive, bary, rays, uv, page, normals, pixels, sizes, picture):  # type: ignore[no-untyped-def]
    """Average the supersampled hits of rows (first, last) into picture, (H, W, 3) float32 that holds the background."""
    n = primitive.shape[0] // picture.shape[0]
    one = np.float32(1)
    for row in range(rows[0], rows[1]):
        for column in range(picture.shape[1]):
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            for sub in range(n * n):
                y, x = row * n + sub // n, column * n + sub % n
                face = primitive[y, x]
                if face >= uv.shape[0]:  # a miss: Open3D's INVALID_ID
                    red += picture[row, column, 0]
                    green += picture[row, column, 1]
                    blue += picture[row, column, 2]
                    continue
                b, c = bary[y, x, 0], bary[y, x, 1]
                a = one - b - c
                height, width = sizes[page[face], 0], sizes[page[face], 1]
                u = (a * uv[face, 0, 0] + b * uv[face, 1, 0] + c * uv[face, 2, 0]) * width
                v = (one - (a * uv[face, 0, 1] + b * uv[face, 1, 1] + c * uv[face, 2, 1])) * height
                light = _headlight(a, b, c, normals[face], rays[y, x])
                r, g, h = _bilinear(pixels[page[face]], height, width, u - 0.5, v - 0.5)
                red += light * r
                green += light * g
                blue += light * h
            picture[row, column, 0] = red / (n * n)
            picture[row, column, 1] = green / (n * n)
            picture[row, column, 2] = blue / (n * n)


@numba.njit(cache=True, inline="always", error_model="numpy", fastmath=True)
def _headlight(a, b, c, normal, ray):  # type: ignore[no-untyped-def]
    """Brightness of a face with three corner normals, lit from the eye, at barycentric (a, b, c)."""
    nx = a * normal[0, 0] + b * normal[1, 0] + c * normal[2, 0]
    ny = a * normal[0, 1] + b * normal[1, 1] + c * normal[2, 1]
    nz = a * normal[0, 2] + b * normal[1, 2] + c * normal[2, 2]
    length = (nx * nx + ny * ny + nz * nz) * (ray[3] * ray[3] + ray[4] * ray[4] + ray[5] * ray[5])
    cosine = abs(nx * ray[3] + ny * ray[4] + nz * ray[5]) / np.sqrt(max(length, np.float32(1e-20)))
    return np.float32(_AMBIENT) + np.float32(1 - _AMBIENT) * cosine


@numba.njit(cache=True, inline="always", error_model="numpy", fastmath=True)
def _bilinear(page, height, width, u, v):  # type: ignore[no-untyped-def]
    """The colour at pixel position (u, v), first pixel's centre at 0."""
    x0, y0 = int(np.floor(u)), int(np.floor(v))
    s, t = np.float32(u - x0), np.float32(v - y0)
    xa, xb = min(max(x0, 0), width - 1), min(max(x0 + 1, 0), width - 1)
    ya, yb = min(max(y0, 0), height - 1), min(max(y0 + 1, 0), height - 1)
    one = np.float32(1)
    p, q, m, k = (one - s) * (one - t), s * (one - t), (one - s) * t, s * t
    return (
        page[ya, xa, 0] * p + page[ya, xb, 0] * q + page[yb, xa, 0] * m + page[yb, xb, 0] * k,
        page[ya, xa, 1] * p + page[ya, xb, 1] * q + page[yb, xa, 1] * m + page[yb, xb, 1] * k,
        page[ya, xa, 2] * p + page[ya, xb, 2] * q + page[yb, xa, 2] * m + page[yb, xb, 2] * k,
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
