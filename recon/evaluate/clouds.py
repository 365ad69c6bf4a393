"""How far a cloud is from the true surface, and how much of the surface it covers.

Accuracy and completeness after Seitz et al., "A comparison and evaluation of multi-view stereo reconstruction algorithms"
(CVPR 2006) and Knapitsch et al., "Tanks and Temples" (2017): of the cloud's points the share within a distance of the truth, of the
truth the share within that distance of the cloud, and their harmonic mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import open3d
import pycolmap
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.errors import InputError, NotFound
from recon.simulate.render import sees
from recon.simulate.scenes import raycaster

SAMPLES, MIN_VIEWS, MAX_CAMERAS, MAX_INCIDENCE_DEG = 150_000, 3, 60, 80.0
QUANTILE = 0.9


@dataclass(frozen=True)
class Surface:
    """The true surface, and the part of it that cameras can see."""

    vertices: NDArray[np.float32]
    """(V, 3) world."""
    faces: NDArray[np.int32]
    """(F, 3)"""
    seen: NDArray[np.float64]
    """(M, 3) points spread evenly over the surface that ``MIN_VIEWS`` cameras see at less than ``MAX_INCIDENCE_DEG``."""

    @property
    def size(self) -> float:
        """Diagonal of the bounding box of what is seen."""
        return float(np.linalg.norm(self.seen.max(0) - self.seen.min(0)))

    @cached_property
    def raycaster(self) -> open3d.t.geometry.RaycastingScene:
        return raycaster(self.vertices, self.faces)

    @classmethod
    def build(cls, vertices: NDArray[np.float32], faces: NDArray[np.int32], cameras: pycolmap.Reconstruction) -> Surface:
        """Raises InputError where the cameras see none of the mesh."""
        points, normals = sample_mesh(vertices, faces, SAMPLES)
        seen = points[views_of(points, normals, vertices, faces, cameras) >= MIN_VIEWS]
        if len(seen) == 0:
            raise InputError(f"no part of the true mesh is seen by {MIN_VIEWS} cameras", "check that mesh and cameras share a frame")
        return cls(vertices, faces, seen)

    @classmethod
    def read(cls, mesh: Path, cameras: pycolmap.Reconstruction) -> Surface:
        """From a PLY file and the true cameras."""
        if not mesh.is_file():
            raise NotFound(f"no true mesh at {mesh}")
        triangles = open3d.io.read_triangle_mesh(str(mesh))
        if not triangles.has_triangles():
            raise InputError(f"{mesh} holds no triangles")
        return cls.build(np.asarray(triangles.vertices, np.float32), np.asarray(triangles.triangles, np.int32), cameras)


@dataclass(frozen=True)
class CloudErrors:
    """Distances in the truth's unit; one entry a threshold."""

    thresholds: tuple[float, ...]
    accuracy: tuple[float, ...]
    completeness: tuple[float, ...]
    accuracy_distance: float
    """90 % of the cloud's points are this close to the truth."""
    completeness_distance: float
    """90 % of the true surface is this close to the cloud."""
    points: int

    @property
    def f_score(self) -> tuple[float, ...]:
        return tuple(2 * a * c / (a + c) if a + c else 0.0 for a, c in zip(self.accuracy, self.completeness, strict=True))

    def summary(self, size: float) -> dict[str, Any]:
        """As JSON, with thresholds and distances also as shares of the scene's size."""
        rows = zip(self.thresholds, self.accuracy, self.completeness, self.f_score, strict=True)
        return {
            "points": self.points,
            "scene_size": size,
            "accuracy_90": {"distance": self.accuracy_distance, "share": self.accuracy_distance / size},
            "completeness_90": {"distance": self.completeness_distance, "share": self.completeness_distance / size},
            "thresholds": [{"distance": t, "share": t / size, "accuracy": a, "completeness": c, "f_score": f} for t, a, c, f in rows],
        }


def cloud_errors(xyz: NDArray[np.float64], surface: Surface, thresholds: Sequence[float]) -> CloudErrors:
    """Compare (N, 3) points, in the truth's frame, with the true surface at increasing distances.

    The cloud is thinned to one of its points a cell of half the smallest threshold, so that density alone earns nothing.
    Raises InputError for an empty cloud.
    """
    xyz = xyz[np.isfinite(xyz).all(1)]
    if len(xyz) == 0:
        raise InputError("the cloud holds no points")
    thinned = thin(xyz, min(thresholds) / 2)
    query = open3d.core.Tensor(thinned.astype(np.float32))
    to_truth = surface.raycaster.compute_distance(query, nthreads=1).numpy().astype(np.float64)
    to_cloud, _ = cKDTree(xyz).query(surface.seen)
    return CloudErrors(
        tuple(thresholds),
        tuple(float((to_truth <= t).mean()) for t in thresholds),
        tuple(float((to_cloud <= t).mean()) for t in thresholds),
        float(np.quantile(to_truth, QUANTILE)),
        float(np.quantile(to_cloud, QUANTILE)),
        len(xyz),
    )


def thin(xyz: NDArray[np.float64], cell: float) -> NDArray[np.float64]:
    """The first point of each cell of a grid, unchanged: averages would hide noise."""
    cells = np.floor((xyz - xyz.min(0)) / cell).astype(np.int64)
    _, first = np.unique(cells, axis=0, return_index=True)
    return np.asarray(xyz[np.sort(first)])


def sample_mesh(
    vertices: NDArray[np.floating[Any]], faces: NDArray[np.integer[Any]], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(count, 3) points spread evenly over a mesh, and their unit normals (count, 3); the same each time."""
    rng = np.random.default_rng(0)
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    normals = np.cross(b - a, c - a)
    areas = np.linalg.norm(normals, axis=1)
    face = rng.choice(len(faces), count, p=areas / areas.sum())
    u, v = rng.random((2, count, 1))
    root = np.sqrt(u)
    points = (1 - root) * a[face] + root * (1 - v) * b[face] + root * v * c[face]
    return points, normals[face] / areas[face, None]


def views_of(
    points: NDArray[np.float64],
    normals: NDArray[np.float64],
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    cameras: pycolmap.Reconstruction,
) -> NDArray[np.int64]:
    """(N,) how many cameras see each surface point well; of many cameras, ``MAX_CAMERAS`` spread evenly over them are asked."""
    scene = raycaster(vertices, faces)
    images = sorted((i for i in cameras.images.values() if i.has_pose), key=lambda i: str(i.name))
    chosen = np.unique(np.linspace(0, len(images) - 1, MAX_CAMERAS).round().astype(int)).tolist() if images else []
    views = np.zeros(len(points), np.int64)
    for index in chosen:
        cam_from_world = images[index].cam_from_world()
        _, mask = sees(scene, cameras.cameras[images[index].camera_id], cam_from_world, points)
        towards = cam_from_world.inverse().translation - points
        cosine = np.abs((towards * normals).sum(1)) / np.linalg.norm(towards, axis=1)
        views += mask & (cosine > np.cos(np.radians(MAX_INCIDENCE_DEG)))
    return views
