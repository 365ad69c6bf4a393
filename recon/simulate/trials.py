"""Scenes that are hard for dense matching, each in one way, with exact cameras and exact surfaces. World is z up, metres.

Every scene stands on a plane ground and is photographed from two rows of cameras, 4 to 5 m away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open3d
import pycolmap
from numpy.typing import NDArray
from PIL import Image

from recon.capture.records import ImageRecord, write_records
from recon.simulate.cameras import Trajectory, look_at, pose
from recon.simulate.gloss import mirrored_light
from recon.simulate.kinds import Plan
from recon.simulate.render import render_linear
from recon.simulate.scenes import GRANITE, LICHEN, MASONRY, SOIL, SUN, Scene
from recon.simulate.sensors import make_camera, to_srgb
from recon.simulate.shapes import Part, frustum, relief_wall
from recon.simulate.textures import Material
from recon.simulate.views import exact_model
from recon.stage import Inputs

PLASTER = Material((0.55, 0.53, 0.50), (0.55, 0.53, 0.50), 1.0, 0, 0.0)
PAINT = Material((0.45, 0.08, 0.07), (0.40, 0.06, 0.06), 0.1, 8, 0.4)
NOISE = 1.5
"""Standard deviation of the sensor's noise, grey levels."""
POLE_DIAMETERS_M = (0.015, 0.03, 0.06, 0.12)


@dataclass(frozen=True)
class Patch:
    """A parallelogram of the true surface: ``corner`` + a u + b v, a and b in 0..1."""

    name: str
    corner: tuple[float, float, float]
    u: tuple[float, float, float]
    v: tuple[float, float, float]


@dataclass(frozen=True)
class Trial:
    """A scene, the cameras that see it, and the plane patches in which holes are looked for."""

    scene: Scene
    patches: tuple[Patch, ...]
    targets: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 0.9),)
    """What the cameras look at, one after the other."""
    heights_m: tuple[float, float] = (1.2, 1.9)
    polished: tuple[int, ...] = ()
    """Materials that mirror."""
    plain: tuple[int, ...] = ()
    """Materials without texture: no sparse point lies there."""
    subjects: tuple[tuple[str, int], ...] = ()
    """Names and materials of what the scene is about."""

    def poses(self) -> list[pycolmap.Rigid3d]:
        """cam_from_world of ten cameras."""
        centers = [np.array([x, -4.3 + 0.15 * x * x, z]) for z in self.heights_m for x in np.linspace(-1.3, 1.3, 5)]
        targets = [np.array(self.targets[n % len(self.targets)]) for n in range(len(centers))]
        return [pose(look_at(center, target), center) for center, target in zip(centers, targets, strict=True)]


def panel(patch: Patch, material: Material) -> Part:
    corner, u, v = (np.array(vector) for vector in (patch.corner, patch.u, patch.v))
    return Part(np.array([corner, corner + u, corner + u + v, corner + v]), np.array([[0, 1, 2], [0, 2, 3]], np.int32), material)


GROUND = Patch("ground", (-4.0, -3.5, 0.0), (8.0, 0, 0), (0, 3.5, 0))
WALL = Patch("wall", (-3.0, 0.0, 0.0), (6.0, 0, 0), (0, 0, 2.6))


def _relief() -> Trial:
    wall = relief_wall(np.array([[2.6, 0.0], [-2.6, 0.0]]), 2.4, 0.025, 0.012, GRANITE, 5)
    return Trial(Scene.build([panel(GROUND, SOIL), wall]), (GROUND,), subjects=(("relief", 1),))


def _wall() -> Trial:
    plain = Patch("plain wall", (-1.4, 0.0, 0.35), (2.8, 0, 0), (0, 0, 1.6))
    frame = [
        Patch("left", (-3.0, 0.0, 0.0), (1.6, 0, 0), (0, 0, 2.6)),
        Patch("right", (1.4, 0.0, 0.0), (1.6, 0, 0), (0, 0, 2.6)),
        Patch("below", (-1.4, 0.0, 0.0), (2.8, 0, 0), (0, 0, 0.35)),
        Patch("above", (-1.4, 0.0, 1.95), (2.8, 0, 0), (0, 0, 0.65)),
    ]
    parts = [panel(GROUND, SOIL), panel(plain, PLASTER), *(panel(patch, MASONRY) for patch in frame)]
    return Trial(Scene.build(parts), (GROUND, WALL, plain), plain=(1,), subjects=(("plain wall", 1),))


def _poles() -> Trial:
    places = zip(POLE_DIAMETERS_M, (-0.9, -0.3, 0.35, 1.0), (-1.3, -1.0, -1.2, -0.9), strict=True)
    poles = [frustum(d / 2, d / 2, 1.9, PAINT, 24).moved((x, y, 0.0)) for d, x, y in places]
    subjects = tuple((f"pole of {1000 * d:.0f} mm", 2 + n) for n, d in enumerate(POLE_DIAMETERS_M))
    return Trial(Scene.build([panel(GROUND, SOIL), panel(WALL, MASONRY), *poles]), (GROUND, WALL), subjects=subjects)


def _slope() -> Trial:
    ground = Patch("ground", (-8.0, -3.5, -0.4), (16.0, 0, 0), (0, 14.0, 1.8))
    return Trial(Scene.build([panel(ground, SOIL)]), (ground,), targets=((0.0, 1.5, 0.0),), heights_m=(1.6, 2.2))


def _specular() -> Trial:
    toward = SUN + np.array([0.0, -0.97, 0.22])
    normal = toward / np.linalg.norm(toward)
    u = np.cross([0.0, 0.0, 1.0], normal)
    u *= 1.8 / np.linalg.norm(u)
    v = np.cross(normal, u) / 1.8 * 1.3
    corner = -u / 2 + np.array([0.0, -1.3, 0.0])
    slab = Patch("slab", *((float(a), float(b), float(c)) for a, b, c in (corner, u, v)))
    scene = Scene.build([panel(GROUND, SOIL), panel(WALL, MASONRY), panel(slab, GRANITE)])
    return Trial(scene, (GROUND, WALL, slab), polished=(2,), subjects=(("slab", 2),))


def _clutter() -> Trial:
    rng = np.random.default_rng(3)
    vertices = []
    for center, radius, count in (((-1.1, -0.9, 0.55), 0.5, 420), ((0.2, -1.2, 0.75), 0.6, 620), ((1.4, -0.7, 0.5), 0.45, 380)):
        offset = rng.normal(0, 1, (count, 3))
        offset *= (radius * rng.uniform(0.55, 1, count) / np.linalg.norm(offset, axis=1))[:, None]
        along, across = rng.normal(0, 1, (2, count, 3))
        along *= (rng.uniform(0.04, 0.08, count) / np.linalg.norm(along, axis=1))[:, None]
        across -= along * ((across * along).sum(1) / (along * along).sum(1))[:, None]
        across *= (rng.uniform(0.02, 0.035, count) / np.linalg.norm(across, axis=1))[:, None]
        at = np.array(center) + offset
        vertices.append(np.stack([at - along, at + across, at + along, at - across], 1).reshape(-1, 3))
    leaves = np.concatenate(vertices)
    first = 4 * np.arange(len(leaves) // 4)
    faces = np.stack([first, first + 1, first + 2, first, first + 2, first + 3], 1).reshape(-1, 3).astype(np.int32)
    parts = [panel(GROUND, SOIL), panel(WALL, MASONRY), Part(leaves, faces, LICHEN)]
    return Trial(Scene.build(parts), (GROUND, WALL), subjects=(("leaves", 2),))


TRIALS: dict[str, Callable[[], Trial]] = {
    "relief": _relief, "plain wall": _wall, "poles": _poles, "slope": _slope, "specular": _specular, "clutter": _clutter,
}  # fmt: skip


def write_trial(trial: Trial, folder: Path, size: tuple[int, int] = (800, 600), seed: int = 0) -> Inputs:
    """Photograph a trial; the folders of ``ingest``, ``select`` and ``georef`` that stages read, with the exact model."""
    for name in ("ingest/images", "select", "georef/model"):
        (folder / name).mkdir(parents=True)
    camera, poses = make_camera(size, 0.9), trial.poses()
    names = [f"{n:04d}.png" for n in range(len(poses))]
    rng = np.random.default_rng([seed, 7])
    records = []
    for name, cam_from_world in zip(names, poses, strict=True):
        path = folder / "ingest/images" / name
        Image.fromarray(_picture(trial, camera, cam_from_world, rng)).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        file = f"ingest/0/images/{name}"
        records.append(ImageRecord(name=name, file=file, source=name, sha256=digest, width=size[0], height=size[1], camera="one"))
    write_records(folder / "select", records)
    sparse_model(trial, camera, names, poses, seed).write_binary(folder / "georef/model")
    return {name: (folder / name,) for name in ("ingest", "select", "georef")}


def _picture(trial: Trial, camera: pycolmap.Camera, cam_from_world: pycolmap.Rigid3d, rng: np.random.Generator) -> NDArray[np.uint8]:
    light = render_linear(trial.scene, camera, cam_from_world)
    if trial.polished:
        light += mirrored_light(trial.scene, camera, cam_from_world, trial.polished)
    return to_srgb(light, 0.0, NOISE, rng)


def sparse_model(
    trial: Trial, camera: pycolmap.Camera, names: list[str], poses: list[pycolmap.Rigid3d], seed: int
) -> pycolmap.Reconstruction:
    """Exact, without points on surfaces that have no texture: no keypoint would be found there."""
    inverse = [cam_from_world.inverse() for cam_from_world in poses]
    rotations, centers = np.array([p.rotation.matrix() for p in inverse]), np.array([p.translation for p in inverse])
    path = Trajectory(np.arange(len(poses), dtype=np.float64), rotations, centers)
    model = exact_model(Plan(trial.scene, camera, path, path.times_s, names), names, poses, 3000, seed)
    ids = sorted(model.points3D)
    for number in np.flatnonzero(np.isin(material_at(trial.scene, np.array([model.points3D[i].xyz for i in ids])), trial.plain)):
        model.delete_point3D(ids[number])
    return model


def material_at(scene: Scene, xyz: NDArray[np.float64]) -> NDArray[np.int32]:
    """(N,) index of the material of the surface that is nearest to (N, 3) points."""
    face = scene.raycaster.compute_closest_points(open3d.core.Tensor(xyz.astype(np.float32)), nthreads=1)["primitive_ids"].numpy()
    return np.asarray(scene.material_of_face[face.astype(np.int64)], np.int32)
