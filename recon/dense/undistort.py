"""Images without lens distortion: every camera model to a PINHOLE view of bounded size."""

from __future__ import annotations

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.errors import InputError

MAX_HALF_FOV_DEG = 58.0
"""A pinhole image stretches without bound towards 90 degrees; wider lenses are cropped to this on each side."""

_BORDER_SAMPLES = 65
_GRID_PX = 8
_BAND_ROWS = 256
_SAME_SIDE = 0.9
"""Cosine between where a pixel lies, from the principal point, and where it looks: a real lens bends towards its axis or away from it."""


class Undistorter:
    """Maps the images of one camera to a pinhole view; what depends on the camera alone is computed once."""

    def __init__(self, camera: pycolmap.Camera, max_size_px: int) -> None:
        self.source = camera
        self.camera = pinhole_camera(camera, max_size_px)
        scale = self.camera.focal_length_x / camera.focal_length_x
        whole = (max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))
        self._shrunk = (self.camera.width, self.camera.height) if _is_pinhole(camera) else whole
        self._map, self._inside = _source_of_target(camera, self.camera, self._shrunk)

    def image(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) of the camera to (h, w, 3) undistorted: area-averaged first, so that nothing aliases.

        Raises InputError where the image has another size than its camera.
        """
        check_size(self.source, pixels)
        small = _resize(pixels, self._shrunk)
        return small if self._map is None else np.asarray(cv2.remap(small, *self._map, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))

    def mask(self, mask: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
        """(h, w) 255 where the view may be used; None where it all may. ``mask`` is (H, W), zero: not to be used."""
        if mask is None:
            return None if self._inside.all() else self._inside.astype(np.uint8) * 255
        check_size(self.source, mask)
        # a pixel that touches a masked one is masked: the average of both would belong to neither
        small = _resize(np.where(mask > 0, np.uint8(255), np.uint8(0)), self._shrunk)
        if self._map is not None:
            small = cv2.remap(small, *self._map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        usable = (small >= 250) & self._inside
        return usable.astype(np.uint8) * 255

    def source_of_target(self, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Columns and rows (first pixel's centre at 0, 0) in an image of another (width, height) of the whole photo, where the view's

        pixels lie: of a view that is as coarse as that image. Beyond its border where the photo does not show them.
        """
        scale = min(1.0, size[0] / self._shrunk[0])
        w, h = max(1, round(self.camera.width * scale)), max(1, round(self.camera.height * scale))
        if self._map is None:
            columns, rows = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
            sx, sy = size[0] / w, size[1] / h
        else:
            # the map is smooth: read between its pixels
            columns, rows = (cv2.resize(part, (w, h), interpolation=cv2.INTER_LINEAR) for part in self._map)
            inside = cv2.resize(self._inside.astype(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST) > 0
            columns, rows = np.where(inside, columns, np.float32(-1e4)), np.where(inside, rows, np.float32(-1e4))
            sx, sy = size[0] / self._shrunk[0], size[1] / self._shrunk[1]
        return np.asarray((columns + 0.5) * sx - 0.5, np.float32), np.asarray((rows + 0.5) * sy - 0.5, np.float32)


def check_size(camera: pycolmap.Camera, pixels: NDArray[np.uint8]) -> None:
    """Raises InputError where an image has another size than its camera."""
    if pixels.shape[:2] != (camera.height, camera.width):
        raise InputError(
            f"an image has {pixels.shape[1]}x{pixels.shape[0]} pixels, its camera {camera.width}x{camera.height}",
            "Give the images that the model was made from",
        )


def pinhole_camera(camera: pycolmap.Camera, max_size_px: int) -> pycolmap.Camera:
    """The PINHOLE camera of the largest upright rectangle that the image covers, with its focal length or what max_size_px allows.

    Without distortion this is the camera itself, resized. Raises InputError for a camera that is no perspective one.
    """
    if not camera.is_perspective():
        raise InputError(f"camera model {camera.model_name} is no perspective camera", "Cut panoramas into views: recon.dense.sides")
    fx, fy = camera.focal_length_x, camera.focal_length_y
    if _is_pinhole(camera):
        width, height, left, top = camera.width, camera.height, camera.principal_point_x, camera.principal_point_y
    else:
        x0, x1, y0, y1 = _covered_rectangle(camera)
        width, height, left, top = (x1 - x0) * fx, (y1 - y0) * fy, -x0 * fx, -y0 * fy
    scale = min(1.0, max_size_px / max(width, height))
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    # a rectangle that is not whole pixels wide loses a fraction of one; the resized plain image is scaled to its exact size
    sx, sy = (w / width, h / height) if _is_pinhole(camera) else (scale, scale)
    return pycolmap.Camera(model="PINHOLE", width=w, height=h, params=[fx * sx, fy * sy, left * sx, top * sy])


def _is_pinhole(camera: pycolmap.Camera) -> bool:
    # a fisheye without further terms counts as undistorted in pycolmap, though it is no pinhole
    return bool(camera.is_perspective_pinhole() and camera.is_undistorted())


def _covered_rectangle(camera: pycolmap.Camera) -> tuple[float, float, float, float]:
    """x0, x1, y0, y1 at z = 1 of an upright rectangle around the axis that the image covers, within the largest field of view."""
    limit = np.tan(np.radians(MAX_HALF_FOV_DEG))
    xs = np.linspace(0, camera.width, _BORDER_SAMPLES)
    ys = np.linspace(0, camera.height, _BORDER_SAMPLES)

    def side(x: NDArray[np.float64], y: NDArray[np.float64], axis: int, sign: float) -> float:
        at = sign * _normalized(camera, np.column_stack(np.broadcast_arrays(x, y)))[:, axis]
        return float(sign * min(limit, np.nanmin(at, initial=limit)))

    zero, width, height = np.zeros(1), np.array([float(camera.width)]), np.array([float(camera.height)])
    return side(zero, ys, 0, -1), side(width, ys, 0, 1), side(xs, zero, 1, -1), side(xs, height, 1, 1)


def _normalized(camera: pycolmap.Camera, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) at z = 1 of (N, 2) pixels; NaN where the model can't be inverted or looks sideways."""
    points = camera.cam_from_img(np.ascontiguousarray(pixels, dtype=np.float64))
    back = camera.img_from_cam(np.column_stack([np.nan_to_num(points), np.ones(len(points))]))
    # the inversion is iterative and returns something beyond its range too: what does not project back is no solution
    ok = np.isfinite(points).all(1) & (np.abs(back - pixels).max(1) < 0.5)
    # nor is one on another side of the axis: polynomials of a high degree come back there
    away = pixels - (camera.principal_point_x, camera.principal_point_y)
    lengths = np.linalg.norm(away, axis=1) * np.linalg.norm(points, axis=1)
    ok &= (away * points).sum(1) >= _SAME_SIDE * lengths
    return np.where(ok[:, None], points, np.nan)


def _source_of_target(
    camera: pycolmap.Camera, target: pycolmap.Camera, size: tuple[int, int]
) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]] | None, NDArray[np.bool_]]:
    """Where each target pixel lies in the source image of a size (None: in the same place), and whether it lies in it.

    By bands of rows: projecting takes ten times the memory of what comes of it.
    """
    w, h = target.width, target.height
    if _is_pinhole(camera):
        return None, np.ones((h, w), bool)
    columns, rows = np.empty((h, w), np.float32), np.empty((h, w), np.float32)
    inside = _invertible(camera, target)
    for start in range(0, h, _BAND_ROWS):
        band = slice(start, min(start + _BAND_ROWS, h))
        at = camera.img_from_cam(_rays(target, np.arange(band.start, band.stop), np.arange(w))).reshape(-1, w, 2)
        inside[band] &= np.isfinite(at).all(2) & (at >= 0).all(2) & (at[..., 0] <= camera.width) & (at[..., 1] <= camera.height)
        at = np.nan_to_num(at, nan=-1e4) * (size[0] / camera.width, size[1] / camera.height) - 0.5
        columns[band], rows[band] = at[..., 0], at[..., 1]
    return (columns, rows), inside


def _rays(target: pycolmap.Camera, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
    """(R * C, 3) at z = 1 through the centres of a pinhole camera's pixels."""
    fx, fy, cx, cy = target.params
    u, v = np.meshgrid(columns + 0.5, rows + 0.5)
    return np.column_stack([(u.ravel() - cx) / fx, (v.ravel() - cy) / fy, np.ones(u.size)])


def _invertible(camera: pycolmap.Camera, target: pycolmap.Camera) -> NDArray[np.bool_]:
    """(h, w) whether the source pixel of a ray sees that ray: strong distortion folds far rays back into the image."""
    h, w = target.height, target.width
    rays = _rays(target, np.arange(0, h, _GRID_PX), np.arange(0, w, _GRID_PX))
    back = _normalized(camera, np.nan_to_num(camera.img_from_cam(rays), nan=-1e4))
    good = np.abs(back - rays[:, :2]).max(1) < 1e-3
    grid = good.reshape(-(-h // _GRID_PX), -(-w // _GRID_PX)).astype(np.uint8)
    # a grid cell counts only with its neighbours: the fold runs between samples
    grid = cv2.erode(grid, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return np.repeat(np.repeat(grid.astype(bool), _GRID_PX, 0), _GRID_PX, 1)[:h, :w]


def _resize(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return pixels if pixels.shape[1::-1] == size else np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
