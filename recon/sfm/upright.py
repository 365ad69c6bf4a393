"""Which way is up in a model of unknown orientation: from how people and drones hold cameras, and from the ground."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.capture.records import ImageRecord

_PLANE_ANGLE_DEG = 12.0
"""The dominant plane is taken for the ground only if its normal is that close to what the cameras say."""
_PLANE_TRIALS = 500


def up_in_model(
    rotations: NDArray[np.float64], pitches_deg: NDArray[np.float64], xyz: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """(3,) unit vector that points up, from (N, 3, 3) camera rotations (cam_from_world) and (M, 3) points.

    A gimbal that states its pitch (N; 0 level, -90 down, NaN unknown) settles it. Otherwise cameras are held without roll:
    their x axes are level, so up is the direction that all x axes avoid. Its sign, and up itself where all cameras look one
    way, come from the images' up side, or for cameras that look straight down from their backs. A dominant plane of the
    points nearby takes over.
    """
    by_gimbal = up_by_gimbal(rotations, pitches_deg)
    if by_gimbal is not None:
        return _snapped_to_plane(by_gimbal, xyz, rng)
    side_up, back = -rotations[:, 1].mean(0), -rotations[:, 2].mean(0)
    rough = side_up if np.linalg.norm(side_up) > 0.5 else back + side_up
    rough = rough / max(float(np.linalg.norm(rough)), 1e-12)
    _, strengths, axes = np.linalg.svd(rotations[:, 0])
    up = rough
    if len(rotations) >= 3 and strengths[1] > 0.2 * np.sqrt(len(rotations)):
        level = axes[2] * np.sign(axes[2] @ rough or 1.0)
        up = level if level @ rough > 0.5 else rough
    return _snapped_to_plane(up, xyz, rng)


def up_by_gimbal(rotations: NDArray[np.float64], pitches_deg: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """(3,) unit vector that points up as gimbals without roll state it (see ``up_in_model``); None without, or where they contradict."""
    stated = np.isfinite(pitches_deg)
    if not stated.any():
        return None
    pitch = np.radians(pitches_deg[stated])
    up_in_cam = np.column_stack([np.zeros(len(pitch)), -np.cos(pitch), np.sin(pitch)])
    mean = np.einsum("nji,nj->ni", rotations[stated], up_in_cam).mean(0)
    length = float(np.linalg.norm(mean))
    return mean / length if length > 0.9 else None


def _snapped_to_plane(up: NDArray[np.float64], xyz: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The normal of the plane that holds most points, if it holds many and is near ``up``; else ``up``."""
    if len(xyz) < 100:
        return up
    sample = xyz[rng.choice(len(xyz), min(len(xyz), 5000), replace=False)]
    size = float(np.median(np.linalg.norm(sample - np.median(sample, 0), axis=1)))
    best, held = up, 0.25  # a plane counts from a quarter of the points on
    for _ in range(_PLANE_TRIALS):
        a, b, c = sample[rng.choice(len(sample), 3, replace=False)]
        normal = np.cross(b - a, c - a)
        length = float(np.linalg.norm(normal))
        if length < 1e-12:
            continue
        normal = normal / length * np.sign(normal @ up or 1.0)
        if normal @ up < np.cos(np.radians(_PLANE_ANGLE_DEG)):
            continue
        on_plane = np.abs((sample - a) @ normal) < 0.02 * size
        if on_plane.mean() > held:
            held = float(on_plane.mean())
            near = sample[on_plane] - sample[on_plane].mean(0)
            fitted = np.linalg.svd(near, full_matrices=False)[2][2]
            best = fitted * np.sign(fitted @ up)
    return best


def pitches_deg(records: Sequence[ImageRecord]) -> NDArray[np.float64]:
    """(N,) what gimbals state, NaN where there is none."""
    return np.array([record.gimbal_deg[1] if record.gimbal_deg else np.nan for record in records])


def level_frame(
    model: pycolmap.Reconstruction, records: Sequence[ImageRecord], rng: np.random.Generator, known_up: NDArray[np.float64] | None = None
) -> pycolmap.Sim3d:
    """world_from_model of an arbitrary but tidy frame: z up, the ground near z = 0, scene distance 10 units.

    ``known_up`` (3,) in the model is what a device measured; without it see ``up_in_model``.
    """
    images = [model.images[i] for i in sorted(model.reg_image_ids())]
    rotations = np.array([image.cam_from_world().rotation.matrix() for image in images])
    centers = np.array([image.projection_center() for image in images])
    xyz = np.array([model.points3D[i].xyz for i in sorted(model.point3D_ids())]).reshape(-1, 3)
    by_name = {record.name: record for record in records}
    pitches = pitches_deg([by_name[image.name] for image in images])
    up = up_in_model(rotations, pitches, xyz, rng) if known_up is None else known_up
    z = up / np.linalg.norm(up)
    x = np.cross(z, -rotations[0, 2]) if abs(z @ rotations[0, 2]) < 0.9 else np.cross(-rotations[0, 1], z)
    x = x / np.linalg.norm(x)
    turn = np.array([x, np.cross(z, x), z])
    middle = np.median(xyz, 0) if len(xyz) else centers.mean(0)
    scale = 10.0 / max(float(np.median(np.linalg.norm(centers - middle, axis=1))), 1e-12)
    ground = np.percentile((xyz - middle) @ z, 5) if len(xyz) else 0.0
    shift = -scale * turn @ middle - np.array([0, 0, scale * ground])
    return pycolmap.Sim3d(scale, pycolmap.Rotation3d(turn), shift)
