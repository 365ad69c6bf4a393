"""Simulated images together with a model as structure from motion would give it, but exact: for tests of what comes after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import Image

from recon.simulate.kinds import Plan, pictures, plan_capture, unproject
from recon.simulate.options import Options
from recon.simulate.render import render_depth, sees
from recon.simulate.write import truth_model


def synthetic_views(
    count: int, folder: Path, kind: str = "drone", size: tuple[int, int] = (640, 480), seed: int = 0, points: int = 2000
) -> tuple[pycolmap.Reconstruction, Plan]:
    """Write count images of a kind of capture as ``folder/NAME.png``, and return their exact model and their plan.

    The model has about the given number of points3D, each seen in its track's images, with exact observations; names are ``0000.png``,
    ``0001.png`` ... ``recon.simulate.kinds.plan_capture`` tells what a plan holds (the scene for true depth).
    """
    folder.mkdir(parents=True, exist_ok=True)
    video = False if kind in ("object", "glasses") else None
    plan = plan_capture(kind, Options(images=count, size=size, seed=seed, video=video))
    names = [f"{n:04d}.png" for n in range(count)]
    for name, rgb in zip(names, pictures(plan, Options(seed=seed)), strict=True):
        Image.fromarray(rgb).save(folder / name)
    poses = [plan.path.pose(float(t)) for t in plan.times_s]
    return exact_model(plan, names, poses, points, seed), plan


def exact_model(plan: Plan, names: list[str], poses: list[pycolmap.Rigid3d], points: int, seed: int) -> pycolmap.Reconstruction:
    """Cameras, images and points3D with tracks of two images or more, without any noise."""
    rng = np.random.default_rng([seed, 99])
    xyz = np.concatenate([_surface_points(plan, p, -(-points // len(poses)), rng) for p in poses])
    seen = [sees(plan.scene.raycaster, plan.camera, p, xyz) for p in poses]
    tracked = np.sum([mask for _, mask in seen], 0) >= 2
    model = truth_model(plan.camera, names, poses, [uv[mask & tracked] for uv, mask in seen])
    tracks: list[pycolmap.Track] = [pycolmap.Track() for _ in range(len(xyz))]
    for image_id, (_, mask) in enumerate(seen, 1):
        for keypoint, point in enumerate(np.nonzero(mask & tracked)[0]):
            tracks[point].add_element(image_id, keypoint)
    for point in np.nonzero(tracked)[0]:
        model.add_point3D(xyz[point], tracks[point], np.array([128, 128, 128], np.uint8))
    return model


def _surface_points(plan: Plan, cam_from_world: pycolmap.Rigid3d, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(<= count, 3) world points at random pixels of a view."""
    depth = render_depth(plan.scene, plan.camera, cam_from_world)
    known = np.flatnonzero(depth)
    kept = np.zeros(depth.size, np.float32)
    chosen = rng.choice(known, min(count, len(known)), replace=False)
    kept[chosen] = depth.ravel()[chosen]
    return unproject(plan.camera, cam_from_world, kept.reshape(depth.shape))
