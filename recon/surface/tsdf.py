"""A surface through the depth that a sensor measured: truncated signed distances, averaged in blocks of voxels where there are any.

After Curless and Levoy, "A volumetric method for building complex models from range images" (SIGGRAPH 1996); the blocks are those of
Open3D's VoxelBlockGrid, after Dong et al., "ASH: A modern framework for parallel spatial hashing in 3D perception" (PAMI 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import open3d
import open3d.core as o3c
from numpy.typing import NDArray

from recon.capture.pixels import read_grey
from recon.dense.measured import MeasuredDepth
from recon.dense.view import View
from recon.errors import NoSurface

TRUNCATION_VOXELS = 5.0
"""Distances count up to so many voxels to both sides of what was measured: some five times the noise of such sensors."""
LEAST_VIEWS = 3.0
"""A voxel counts once so many depth images have seen it, as the dense cloud asks for three views."""
MOST_BLOCKS = 30_000
"""Of 8 x 8 x 8 voxels, 4 KB each, some two million triangles: with more the voxels grow instead."""
_BLOCK, _AT_FIRST = 8, 10_000
_GROWTH = 1.5
_DEVICE = "CPU:0"


@dataclass(frozen=True)
class MeasuredSurface:
    vertices: NDArray[np.float64]
    """(V, 3) world."""
    faces: NDArray[np.int32]
    voxel: float
    """World units."""
    views: int
    """With a measured depth."""


def measured_surface(views: Sequence[View], tell: Callable[[float], None] = lambda _: None) -> MeasuredSurface:
    """Through what was measured in the views, before anything is simplified. Raises NoSurface where too little was.

    A voxel is as large as a pixel of the sensor shows at the usual distance. Memory is bounded by ``MOST_BLOCKS``.
    """
    measured = [view for view in views if view.measured_path is not None]
    if not measured:
        raise NoSurface("no image has a measured depth, which a mesh of mesh.mode tsdf is made of", "Set mesh.mode to 3d")
    voxel = float(np.nanmedian([_pixel(view) for view in measured]))
    if not np.isfinite(voxel):
        raise NoSurface(f"{len(measured)} depth images hold no depth that can be used", "Set mesh.mode to 3d")
    while (grid := _integrated(measured, voxel, tell)) is None:
        voxel *= _GROWTH
    mesh = grid.extract_triangle_mesh(LEAST_VIEWS)
    if not len(mesh.triangle) or not len(mesh.triangle.indices):
        raise NoSurface(
            f"no place was measured in {LEAST_VIEWS:.0f} of {len(measured)} depth images", "Walk more slowly, or set mesh.mode to 3d"
        )
    vertices, faces = _in_order(mesh.vertex.positions.numpy().astype(np.float64), mesh.triangle.indices.numpy().astype(np.int32))
    return MeasuredSurface(vertices, faces, voxel, len(measured))


def _in_order(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """The same mesh by the places of its vertices: threads number them as they come."""
    order = np.lexsort(vertices.T)
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    faces = place[faces]
    first = faces.argmin(axis=1)
    faces = np.take_along_axis(faces, (first[:, None] + np.arange(3)) % 3, axis=1)
    return vertices[order], np.ascontiguousarray(faces[np.lexsort(faces.T[::-1])])


def _integrated(views: Sequence[View], voxel: float, tell: Callable[[float], None]) -> open3d.t.geometry.VoxelBlockGrid | None:
    """All depth images in one grid; None where that takes more than ``MOST_BLOCKS``."""
    grid = open3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight"), (o3c.float32, o3c.float32), ((1), (1)), voxel, _BLOCK, _AT_FIRST, o3c.Device(_DEVICE)
    )
    for number, view in enumerate(views):
        depth, K = _depth(view)
        if not depth.any():
            continue
        image = open3d.t.geometry.Image(o3c.Tensor(depth))
        # Open3D cuts the fraction of a pixel off: the first pixel's centre is at (0.5, 0.5), as ours is
        place = o3c.Tensor(K), o3c.Tensor(np.vstack([np.column_stack([view.R, view.t]), [0.0, 0.0, 0.0, 1.0]]))
        range_of = 1.0, 1.01 * float(depth.max()), TRUNCATION_VOXELS
        grid.integrate(grid.compute_unique_block_coordinates(image, *place, *range_of), image, *place, *range_of)
        if grid.hashmap().size() > MOST_BLOCKS:
            return None
        tell((number + 1) / len(views))
    return grid


def _depth(view: View) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """What was measured and may be used (h, w), 0 elsewhere, and K of that size."""
    assert view.measured_path is not None
    depth = MeasuredDepth.load(view.measured_path).depth
    if view.mask_path is not None:
        hides = cv2.resize(read_grey(view.mask_path), depth.shape[::-1], interpolation=cv2.INTER_NEAREST) == 0
        depth = np.where(hides, np.float32(0), depth)
    K = view.K.copy()
    K[0] *= depth.shape[1] / view.width
    K[1] *= depth.shape[0] / view.height
    return np.ascontiguousarray(depth, np.float32), K


def _pixel(view: View) -> float:
    """What a pixel of the sensor shows at its usual distance, world units; NaN of one that measured nothing."""
    depth, K = _depth(view)
    known = depth[depth > 0]
    return float(np.median(known) / np.sqrt(K[0, 0] * K[1, 1])) if len(known) else np.nan
