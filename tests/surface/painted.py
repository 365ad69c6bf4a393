"""Scenes of exactly known shape and colour, and photos of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import open3d as o3d
import pycolmap

from recon.capture.pixels import write_png
from recon.dense.view import Points
from recon.surface.mesh import TriMesh, vertex_normals
from recon.surface.photos import Photo

WAVES = np.random.default_rng(5).normal(size=(3, 6, 3)) * np.geomspace(1.5, 25, 6)[None, :, None]
"""(channel, wave, axis): spatial frequencies of the paint, radians a unit."""


def paint(xyz: np.ndarray) -> np.ndarray:
    """(..., 3) colour 0..255 of any point in space: smooth waves of many directions, mean 120."""
    phase = (xyz @ WAVES.reshape(-1, 3).T).reshape(*xyz.shape[:-1], 3, 6)
    return 120 + 22 * np.sin(phase + np.arange(6)).sum(axis=-1).clip(-4.5, 4.5)


def cloud(xyz: np.ndarray, normal: np.ndarray, confidence: float = 0.8) -> Points:
    count = len(xyz)
    return Points(
        xyz.astype(np.float32),
        normal.astype(np.float32),
        np.clip(paint(xyz), 0, 255).astype(np.uint8),
        np.full(count, confidence, np.float32),
        np.full(count, 3, np.uint8),
        np.full(count, 0.01, np.float32),
    )


def ball_cloud(rng: np.random.Generator, count: int, noise: float = 0.0, keep: Callable[[np.ndarray], np.ndarray] | None = None) -> Points:
    """Points of the unit sphere, uniform; noise is the standard deviation along the normal; keep chooses by direction."""
    normal = rng.normal(size=(count, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    if keep is not None:
        normal = normal[keep(normal)]
    return cloud(normal * (1 + noise * rng.normal(size=(len(normal), 1))), normal)


def hills(xy: np.ndarray) -> np.ndarray:
    return 0.15 * np.sin(2.5 * xy[..., 0]) * np.cos(2 * xy[..., 1])


def hill_cloud(rng: np.random.Generator, count: int, noise: float = 0.0) -> Points:
    """Points of the hills over the square from -1 to 1."""
    xy = rng.uniform(-1, 1, (count, 2))
    slope = np.stack([-0.375 * np.cos(2.5 * xy[:, 0]) * np.cos(2 * xy[:, 1]), 0.3 * np.sin(2.5 * xy[:, 0]) * np.sin(2 * xy[:, 1])], axis=1)
    normal = np.column_stack([slope, np.ones(count)])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    xyz = np.column_stack([xy, hills(xy)])
    return cloud(xyz + noise * rng.normal(size=(count, 1)) * normal, normal)


def grid(cells: int, height: Callable[[np.ndarray], np.ndarray] = hills) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and upward faces of a height field over the square from -1 to 1."""
    axis = np.linspace(-1, 1, cells + 1)
    xy = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    index = np.arange(len(xy)).reshape(cells + 1, cells + 1)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    return np.column_stack([xy, height(xy)]), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def mesh_of(vertices: np.ndarray, faces: np.ndarray) -> TriMesh:
    faces = faces.astype(np.int32)
    colours = np.clip(paint(vertices), 0, 255).astype(np.uint8)
    return TriMesh(vertices.astype(np.float32), faces, vertex_normals(vertices, faces), colours)


def block_on_hills(cells: int = 40) -> TriMesh:
    """Hills with a block on them that hides some ground from every photo but the steep ones."""
    ground, ground_faces = grid(cells)
    box = o3d.geometry.TriangleMesh.create_box(0.4, 0.4, 0.6).subdivide_midpoint(3)
    block = np.asarray(box.vertices) - np.array([0.2, 0.2, 0.1])
    return mesh_of(np.concatenate([ground, block]), np.concatenate([ground_faces, np.asarray(box.triangles) + len(ground)]))


def raycaster(mesh: TriMesh) -> o3d.t.geometry.RaycastingScene:
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(mesh.vertices), o3d.core.Tensor(mesh.faces.astype(np.uint32)))
    return scene


def distances(mesh: TriMesh, xyz: np.ndarray) -> np.ndarray:
    """(N,) from points to the mesh."""
    return np.asarray(raycaster(mesh).compute_distance(o3d.core.Tensor(np.ascontiguousarray(xyz, dtype=np.float32))).numpy())


CAMERA = pycolmap.Camera(model="OPENCV", width=640, height=480, params=[520, 525, 322, 237, -0.12, 0.03, 0.001, -0.0005], camera_id=1)


def look_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of cam_from_world, world z up."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def stations(count: int, radius: float = 1.6, height: float = 1.9) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rotations and centres of cameras on a ring that look at the origin."""
    angles = 2 * np.pi * np.arange(count) / count + 0.1
    eyes = [np.array([radius * np.cos(a), radius * np.sin(a), height]) for a in angles]
    return [(look_at(eye, np.zeros(3)), eye) for eye in eyes]


@dataclass(frozen=True)
class Shot:
    """What a camera saw: (H, W, 3) colours, and where its rays met the mesh."""

    rgb: np.ndarray
    hit: np.ndarray
    face: np.ndarray
    weights: np.ndarray
    xyz: np.ndarray


def shoot(mesh: TriMesh, camera: pycolmap.Camera, R: np.ndarray, eye: np.ndarray, samples: int = 2) -> Shot:
    """The painted mesh through a lens; hit, face, weights and xyz are those of pixel centres."""
    scene, total = raycaster(mesh), np.zeros((camera.height, camera.width, 3))
    for dy in range(samples):
        for dx in range(samples):
            rays = rays_of(camera, R, eye, ((dx + 0.5) / samples, (dy + 0.5) / samples))
            far = scene.cast_rays(o3d.core.Tensor(rays))["t_hit"].numpy().astype(np.float64)
            xyz = rays[..., :3] + np.where(np.isfinite(far), far, 0)[..., None] * rays[..., 3:]
            total += np.where(np.isfinite(far)[..., None], paint(xyz), 30.0)
    rays = rays_of(camera, R, eye, (0.5, 0.5))
    answer = scene.cast_rays(o3d.core.Tensor(rays))
    far = answer["t_hit"].numpy().astype(np.float64)
    uv = answer["primitive_uvs"].numpy().astype(np.float64)
    hit = np.isfinite(far)
    xyz = rays[..., :3] + np.where(hit, far, 0)[..., None] * rays[..., 3:]
    face = np.where(hit, answer["primitive_ids"].numpy().astype(np.int64), 0)
    weights = np.stack([1 - uv.sum(axis=-1), uv[..., 0], uv[..., 1]], axis=-1)
    return Shot(total / samples**2, hit, face, weights, xyz)


def rays_of(camera: pycolmap.Camera, R: np.ndarray, eye: np.ndarray, at: tuple[float, float]) -> np.ndarray:
    """(H, W, 6) rays through one place in each pixel."""
    x, y = np.meshgrid(np.arange(camera.width) + at[0], np.arange(camera.height) + at[1])
    flat = camera.cam_from_img(np.stack([x, y], axis=-1).reshape(-1, 2))
    direction = np.column_stack([flat, np.ones(len(flat))]) @ R
    rays = np.concatenate([np.broadcast_to(eye, direction.shape), direction], axis=1)
    return np.ascontiguousarray(rays.reshape(camera.height, camera.width, 6), dtype=np.float32)


def take_photos(
    folder: Path, mesh: TriMesh, places: list[tuple[np.ndarray, np.ndarray]], camera: pycolmap.Camera = CAMERA, samples: int = 2
) -> list[Photo]:
    """Photos of the painted mesh as PNG files; samples squared are the rays a pixel."""
    photos = []
    for number, (R, eye) in enumerate(places):
        path = folder / f"{number:02d}.png"
        write_png(path, to_bytes(shoot(mesh, camera, R, eye, samples).rgb))
        photos.append(Photo(path.name, path, None, camera, R, -R @ eye, 1.0))
    return photos


def to_bytes(rgb: np.ndarray) -> np.ndarray:
    return np.clip(rgb + 0.5, 0, 255).astype(np.uint8)


def masked(photo: Photo, mask: np.ndarray) -> Photo:
    """The photo with an 8-bit mask."""
    path = photo.path.with_name(f"mask_{photo.name}")
    write_png(path, mask)
    return replace(photo, mask_path=path)
