"""What a polished surface mirrors: light that moves over it from view to view, as no texture does."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import open3d
import pycolmap
from numpy.typing import NDArray

from recon.simulate.render import STILL_SAMPLES, pixel_offsets
from recon.simulate.scenes import SUN, Scene
from recon.simulate.textures import shade

REFLECTANCE = 0.2
"""Share of the mirrored light that a clear coat adds, whatever the angle."""
HIGHLIGHT, SHININESS = 3.0, 300.0
"""Strength of the sun's mirror image, and how narrow it is (Phong, "Illumination for computer generated pictures", 1975)."""


def mirrored_light(
    scene: Scene, camera: pycolmap.Camera, cam_from_world: pycolmap.Rigid3d, polished: Collection[int], samples: int = STILL_SAMPLES
) -> NDArray[np.float32]:
    """Linear light (h, w, 3) that surfaces of the polished materials (indices) add to ``render_linear``."""
    world_from_cam = cam_from_world.inverse()
    rotation, center = world_from_cam.rotation.matrix(), world_from_cam.translation
    total = np.zeros((camera.height * camera.width, 3), np.float32)
    for dx, dy in pixel_offsets(samples):
        u, v = np.meshgrid(np.arange(camera.width) + dx, np.arange(camera.height) + dy)
        in_cam = camera.cam_from_img(np.stack([u.ravel(), v.ravel()], 1))
        toward = np.column_stack([in_cam, np.ones(len(in_cam))]) @ rotation.T
        rays = np.column_stack([np.tile(center, (len(toward), 1)), toward]).astype(np.float32)
        hits = scene.raycaster.cast_rays(open3d.core.Tensor(rays), nthreads=1)
        t = hits["t_hit"].numpy()
        hit = np.flatnonzero(np.isfinite(t))
        hit = hit[np.isin(scene.material_of_face[hits["primitive_ids"].numpy()[hit]], list(polished))]
        normal = hits["primitive_normals"].numpy()[hit].astype(np.float64)
        direction = toward[hit] / np.linalg.norm(toward[hit], axis=1)[:, None]
        reflected = direction - 2 * (direction * normal).sum(1)[:, None] * normal
        at = center + t[hit, None] * toward[hit]
        total[hit] += _light_along(scene, at + 1e-4 * reflected, reflected)
    return np.asarray(total.reshape(camera.height, camera.width, 3) / samples, np.float32)


def _light_along(scene: Scene, origins: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N, 3) what rays of unit direction see: the scene, or the sky with its sun."""
    hits = scene.raycaster.cast_rays(open3d.core.Tensor(np.column_stack([origins, directions]).astype(np.float32)), nthreads=1)
    t = hits["t_hit"].numpy()
    sun = HIGHLIGHT * np.maximum(directions @ SUN, 0) ** SHININESS
    light = (REFLECTANCE * (np.asarray(scene.sky) + 0 * sun[:, None]) + sun[:, None]).astype(np.float32)
    hit = np.isfinite(t)
    points = (origins[hit] + t[hit, None] * directions[hit]).astype(np.float32)
    material = scene.material_of_face[hits["primitive_ids"].numpy()[hit]]
    normals = hits["primitive_normals"].numpy()[hit]
    away = (normals * directions[hit]).sum(1)[:, None] > 0
    footprint = np.maximum(t[hit] * 1e-3, 1e-6).astype(np.float32)
    light[hit] = REFLECTANCE * shade(points, np.where(away, -normals, normals), material, footprint, scene.table, SUN, scene.seed)
    return np.asarray(light, np.float32)
