"""Screened Poisson reconstruction (Kazhdan and Hoppe 2013) at a resolution that points and face budget call for."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.errors import NoSurface
from recon.surface.thin import Samples, occupied
from recon.system import on_one_core

log = logging.getLogger(__name__)

MIN_DEPTH, MAX_DEPTH = 5, 12
_CELLS_A_SAMPLE = 2.0  # finest cell over sample spacing: below two it fits the noise
_FACES_A_CELL = 2.6  # measured on photo clouds: faces of the surface for each cell that samples lie in
_OVERSAMPLING = 5  # faces before simplification, over those asked for
_POINT_WEIGHT = 4.0  # of the points against their normals: twice the usual keeps edges (error there 13 % less on a simulated box)
_MARGIN = 1.1  # cube over bounding box, at least


@dataclass(frozen=True)
class Cube:
    """Where the octree lies."""

    centre: tuple[float, float, float]
    """World."""
    side: float
    """World units."""
    scale: float
    """``side`` over the longest extent of the samples."""
    depth: int

    @property
    def cell(self) -> float:
        """Edge of the finest cell, world units."""
        return self.side / (1 << self.depth)

    def cells(self, xyz: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, 3) places in finest cells from the cube's least corner."""
        return np.asarray((xyz - (np.array(self.centre) - self.side / 2)) / self.cell)


@dataclass(frozen=True)
class Surface:
    """The level set that Poisson reconstruction gives: watertight, far beyond the points too."""

    vertices: NDArray[np.float64]
    """(V, 3) world."""
    faces: NDArray[np.int32]
    """(F, 3) counter-clockwise from outside."""
    depth: int
    cell: float
    """Edge of the finest octree cell, world units."""


def cube_about(samples: Samples, faces: int, depth: int = 0) -> Cube:
    """The cube whose octree is fine enough for a surface to be simplified to ``faces``; depth 0 takes the depth that suits."""
    low, high = (np.array([end(samples.xyz[:, axis]) for axis in range(3)]) for end in (np.min, np.max))  # an axis at a time: quicker
    extent = float((high - low).max())
    if depth:
        scale = _MARGIN
    else:
        finest = _CELLS_A_SAMPLE * samples.spacing
        wanted = max(finest, _affordable_cell(samples.xyz, extent, faces * _OVERSAMPLING, finest))
        depth = int(np.clip(np.ceil(np.log2(extent * _MARGIN / wanted)), MIN_DEPTH, MAX_DEPTH))
        # depths are whole octaves: the cube takes up the rest
        scale = max(_MARGIN, wanted * 2**depth / extent)
    x, y, z = (float(value) for value in (low + high) / 2)
    return Cube((x, y, z), extent * scale, scale, depth)


def reconstruct(
    xyz: NDArray[np.float64], normal: NDArray[np.float32], cube: Cube, whole: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertices and faces of a surface through (N, 3) oriented samples. Raises NoSurface where the level set of the whole is empty.

    The library lays its cube about the samples it is given: where they are but a part, two corners tell it the extent of all.
    """
    import open3d as o3d  # here, since planning needs none of it, and it takes most of a second

    if not whole:
        reach = cube.side / cube.scale / 2
        xyz = np.concatenate([xyz, [np.array(cube.centre) - reach, np.array(cube.centre) + reach]])
        normal = np.concatenate([normal, [[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]])
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(xyz))
    cloud.normals = o3d.utility.Vector3dVector(normal.astype(np.float64))
    # More threads change the result from run to run (one vertex in fifty, measured), for a quarter of the time.
    # One thread it is not: it starts one for every slice of the cube, tens of thousands, and waits for each.
    with on_one_core():
        mesh, _ = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
            cloud, depth=cube.depth, scale=cube.scale, point_weight=_POINT_WEIGHT, n_threads=1
        )
    vertices, triangles = np.array(mesh.vertices), np.array(mesh.triangles, dtype=np.int32)
    if whole and not len(triangles):
        raise NoSurface(f"no surface passes through the {len(xyz)} points of the dense cloud", "Take more photos from more sides")
    log.info("Poisson at depth %d, cell %.4g: %d faces from %d points", cube.depth, cube.cell, len(triangles), len(xyz))
    return vertices, triangles


def _affordable_cell(xyz: NDArray[np.float64], side: float, faces: int, finest: float) -> float:
    """The smallest cell edge, in half octaves of the cube, whose occupied cells give at most so many faces; not asked below ``finest``."""
    edges = [side / 2 ** (MIN_DEPTH + half / 2) for half in range(2 * (MAX_DEPTH - MIN_DEPTH) + 1)]
    for edge in reversed([edge for edge in edges if edge >= finest]):
        if occupied(xyz, edge) * _FACES_A_CELL <= faces:
            return edge
    return edges[0]
