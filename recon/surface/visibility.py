"""Which photos see a face, how well, and in what colour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numba
import numpy as np
import open3d as o3d
from numpy.typing import NDArray

from recon.surface.mesh import TriMesh, face_vectors
from recon.surface.photos import Photo
from recon.threads import both, in_order

MAX_CANDIDATES = 10
_GLANCE_PX = 1024  # longer side at which a photo is looked at for mean colours
_CLEAR_PX = 2.0
"""Of a glance, that lie between a face and what a mask hides: the seams of charts are painted from a little beyond their faces."""
_MIN_COSINE = 0.03  # a face seen more edge-on than this has no usable colours
_CUT_OFF = 0.1  # quality of a face with a hidden corner: better than no photo at all
_CLEARANCE = 0.5  # of a face's longest edge
_BORDER = 0.04  # share of the image's longer side within which the border counts against a photo
_SHARPNESS_RANGE = (0.5, 1.5)
_SAMPLES = np.array([[1, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4]]) / np.array([[3], [6], [6], [6]])


@dataclass(frozen=True)
class Candidates:
    """The best photos of each face, in no order; K slots a face."""

    photo: NDArray[np.int32]
    """(F, K) index of the photo, -1 for an empty slot."""
    quality: NDArray[np.float32]
    """(F, K) projected area [px at the texture's size], less what speaks against the photo; 0 where empty."""
    rgb: NDArray[np.float32]
    """(F, K, 3) mean colour of the face in the photo, 0..255."""

    @classmethod
    def empty(cls, faces: int, slots: int) -> Candidates:
        return cls(np.full((faces, slots), -1, np.int32), np.zeros((faces, slots), np.float32), np.zeros((faces, slots, 3), np.float32))

    def of(self, faces: NDArray[np.int64]) -> Candidates:
        """Those of some faces."""
        return Candidates(self.photo[faces], self.quality[faces], self.rgb[faces])

    def offer(self, photo: int, faces: NDArray[np.int64], quality: NDArray[np.float32], rgb: NDArray[np.float32]) -> None:
        """Give each of the faces this photo, in the place of its worst one if that is worse."""
        worst = self.quality[faces].argmin(axis=1)
        better = quality > self.quality[faces, worst]
        faces, slot = faces[better], worst[better]
        self.photo[faces, slot], self.quality[faces, slot], self.rgb[faces, slot] = photo, quality[better], rgb[better]


@dataclass(frozen=True)
class Sight:
    """What a photo sees of a mesh."""

    faces: NDArray[np.int64]
    """(N,) faces whose middle and at least two corners nothing hides."""
    corners: NDArray[np.float64]
    """(N, 3, 2) where their corners lie [px]."""
    whole: NDArray[np.bool_]
    """(N,) whether the third corner is in sight too."""


class Visibility:
    """A mesh ready to be asked what a photo sees of it, on a thread for each question."""

    def __init__(self, mesh: TriMesh, threads: int = 1) -> None:
        self._mesh = mesh
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(o3d.core.Tensor(mesh.vertices), o3d.core.Tensor(mesh.faces.astype(np.uint32)))
        both(self._measure, self._index, threads)

    def _index(self) -> None:
        """Have the scene sort its triangles: it does so on the first question, and on one thread."""
        self._scene.test_occlusions(o3d.core.Tensor(np.zeros((1, 6), np.float32)), 0.0, 1.0, nthreads=1)

    def _measure(self) -> None:
        mesh = self._mesh
        normals = face_vectors(mesh.vertices, mesh.faces)
        self._normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
        corners = mesh.vertices[mesh.faces].astype(np.float64)
        self._centroids = corners.mean(axis=1)
        # a ray leaves its own face and the bumps of the noise around it before anything counts as in the way
        self._clearance = _CLEARANCE * np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
        self._vertex_clearance = np.zeros(len(mesh.vertices))
        np.maximum.at(self._vertex_clearance, mesh.faces, self._clearance[:, None])

    def seen_by(self, photo: Photo, max_size_px: int) -> Sight:
        """The faces that the photo shows from their front, in pixels of that size."""
        faces = self._mesh.faces
        at = photo.project(self._mesh.vertices, max_size_px)
        to_camera = photo.center - self._centroids
        distance = np.linalg.norm(to_camera, axis=1)
        cosine = np.einsum("fc,fc->f", self._normals, to_camera) / np.maximum(distance, 1e-30)
        ahead = np.flatnonzero((cosine >= _MIN_COSINE) & np.isfinite(at[faces, 0]).all(axis=1))
        ahead = ahead[~self._hidden(self._centroids[ahead], self._clearance[ahead], photo.center)]
        free = np.zeros(len(at), bool)
        free[faces[ahead]] = True
        used = np.flatnonzero(free)
        free[used] = ~self._hidden(self._mesh.vertices[used].astype(np.float64), self._vertex_clearance[used], photo.center)
        corners_free = free[faces[ahead]].sum(axis=1)
        seen = ahead[corners_free >= 2]
        return Sight(seen, at[faces[seen]], corners_free[corners_free >= 2] == 3)

    def _hidden(self, points: NDArray[np.float64], clearance: NDArray[np.float64], eye: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(N,) whether something lies between the points, or a clearance (N,) above them, and the eye."""
        if not len(points):
            return np.zeros(0, bool)
        direction = eye - points
        length = np.linalg.norm(direction, axis=1, keepdims=True)
        step = np.minimum(clearance[:, None], 0.5 * length)
        start = points + direction / np.maximum(length, 1e-30) * step
        rays = np.hstack([start, eye - start]).astype(np.float32)
        return np.asarray(self._scene.test_occlusions(o3d.core.Tensor(rays), 0.0, 1.0, nthreads=1).numpy(), dtype=bool)


Offer = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]
"""Faces that a photo shows, its quality for each, and the colour it sees."""


def find_candidates(mesh: TriMesh, photos: list[Photo], max_size_px: int, threads: int, tell: Callable[[float], None]) -> Candidates:
    """The photos that see each face best. Holds as many photos as threads; a face with a masked pixel isn't seen."""
    visibility = Visibility(mesh, threads)
    candidates = Candidates.empty(len(mesh.faces), max(1, min(MAX_CANDIDATES, len(photos))))
    known = [photo.sharpness for photo in photos if photo.sharpness > 0]
    usual_sharpness = float(np.median(known)) if known else 1.0

    def look(photo: Photo) -> Offer:
        return _offer(visibility.seen_by(photo, max_size_px), photo, max_size_px, usual_sharpness)

    for index, offer in enumerate(in_order(look, photos, threads)):
        candidates.offer(index, *offer)
        tell((index + 1) / len(photos))
    return candidates


def _offer(sight: Sight, photo: Photo, max_size_px: int, usual_sharpness: float) -> Offer:
    glance = np.asarray(photo.size(_GLANCE_PX)) / photo.size(max_size_px)
    usable = _unmasked(photo, sight.corners * glance)
    seen, corners = sight.faces[usable], sight.corners[usable]
    if not len(seen):
        return seen, np.zeros(0, np.float32), np.zeros((0, 3), np.float32)
    rgb = np.empty((len(seen), 3), np.float32)
    _mean_colours(photo.glance(_GLANCE_PX), corners * glance, rgb)
    sharpness = np.clip(photo.sharpness / usual_sharpness, *_SHARPNESS_RANGE) if photo.sharpness > 0 else 1.0
    quality = _area_px(corners) * _off_border(corners, photo.size(max_size_px)) * sharpness
    quality *= np.where(sight.whole[usable], 1.0, _CUT_OFF)
    return seen, np.maximum(quality, 1e-6).astype(np.float32), rgb


@numba.njit(cache=True, nogil=True)
def _mean_colours(image: NDArray[np.uint8], corners: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Into ``out`` (F, 3) the mean colours of faces with corners (F, 3, 2) in the image, each bilinear at some places, as ``sample``."""
    height, width = image.shape[:2]
    for f in range(len(corners)):
        out[f] = 0
        for s in range(len(_SAMPLES)):
            x = y = -0.5
            for k in range(3):
                x += _SAMPLES[s, k] * corners[f, k, 0]
                y += _SAMPLES[s, k] * corners[f, k, 1]
            x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
            left, top = int(x), int(y)
            right, below = min(left + 1, width - 1), min(top + 1, height - 1)
            x, y = x - left, y - top
            for c in range(3):
                above = image[top, left, c] * (1 - x) + image[top, right, c] * x
                under = image[below, left, c] * (1 - x) + image[below, right, c] * x
                out[f, c] += (above * (1 - y) + under * y) / len(_SAMPLES)


def sample(image: NDArray[np.uint8], places: NDArray[np.floating]) -> NDArray[np.float32]:
    """(..., 3) colours, bilinear, at (..., 2) pixels of an RGB image, first pixel's centre at (0.5, 0.5); borders are repeated."""
    flat = (places.reshape(-1, 2) - 0.5).astype(np.float32)
    width = 4096  # OpenCV maps have a bounded size
    rows = -(-len(flat) // width)
    padded = np.zeros((rows * width, 2), np.float32)
    padded[: len(flat)] = flat
    maps = padded.reshape(rows, width, 2)
    parts = [
        cv2.remap(image, maps[row : row + 4096], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).reshape(-1, 3)
        for row in range(0, rows, 4096)
    ]
    colours = np.concatenate(parts)[: len(flat)] if parts else np.zeros((0, 3))
    return colours.astype(np.float32).reshape(*places.shape[:-1], 3)


def _unmasked(photo: Photo, corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) whether nothing is hidden in the box about a face's corners, (N, 3, 2) pixels: what is painted never lies in a mask."""
    mask = photo.mask(_GLANCE_PX)
    if mask is None:
        return np.ones(len(corners), bool)
    hidden = cv2.integral((~mask).astype(np.uint8))
    size = mask.shape[::-1]
    x0, y0 = np.clip(np.floor(corners.min(axis=1) - _CLEAR_PX), 0, size).astype(np.int64).T
    x1, y1 = np.clip(np.ceil(corners.max(axis=1) + _CLEAR_PX), 0, size).astype(np.int64).T
    return np.asarray(hidden[y1, x1] - hidden[y0, x1] - hidden[y1, x0] + hidden[y0, x0] == 0)


def _area_px(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray(np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2)


def _off_border(corners: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """(N,) 0..1: lenses are darker and softer towards the border."""
    margin = np.minimum(corners, np.asarray(size) - corners).min(axis=(1, 2))
    return np.asarray(np.clip(margin / (_BORDER * max(size)), 0.05, 1.0))
