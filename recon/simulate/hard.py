"""Captures that come together only with an effort: for tests and measurements of the recovery ladder. All can be placed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import Image

from recon.simulate.cameras import Trajectory, gimbal_rotation, lawnmower, look_at, orbit, shaken
from recon.simulate.kinds import FPS, SURVEY_ALTITUDE_M, Plan, pictures, write_capture
from recon.simulate.options import Options
from recon.simulate.render import render_linear
from recon.simulate.scenes import GRANITE, TIMBER, Scene, room_scene, terrain_scene
from recon.simulate.sensors import make_camera, to_srgb
from recon.simulate.shapes import box, heightfield, rock
from recon.simulate.textures import Material
from recon.simulate.write import photo_exif, write_photo, write_video

PAN_S = 0.7


def opposed_strips(
    folder: Path, count: int = 20, size: tuple[int, int] = (800, 600), across: float = 0.72, seed: int = 0
) -> list[pycolmap.Rigid3d]:
    """A drone's grid with every other strip flown back, turned by 180 degrees; strips are ``across`` of a footprint apart.

    Photos with GPS and gimbal angles in ``folder/images``; returns cam_from_world of each, east, north, up.
    """
    camera = make_camera(size, 0.8)
    footprint = np.array([camera.height, camera.width]) * SURVEY_ALTITUDE_M / camera.mean_focal_length()
    stops = lawnmower(count, (0.3 * footprint[0], across * footprint[1]), SURVEY_ALTITUDE_M, np.random.default_rng([seed, 3]))
    centers, gimbal = np.array([center for center, _ in stops]), tuple(angles for _, angles in stops)
    path = Trajectory(2.0 * np.arange(count, dtype=np.float64), np.array([gimbal_rotation(*angles) for angles in gimbal]), centers)
    half = np.abs(centers[:, :2]).max(0) + footprint[::-1] / 2 + 25
    scene, pile = terrain_scene((float(half[0]), float(half[1])), seed)
    names = [f"DJI_{n + 1:04d}.JPG" for n in range(count)]
    plan = Plan(scene, camera, path, path.times_s, names, gimbal_deg=gimbal, stockpile=pile)
    write_capture("drone", plan, Options(seed=seed), folder)
    return [path.pose(float(time_s)) for time_s in path.times_s]


def two_halves(
    folder: Path, each: int = 6, between: int = 4, step_deg: float = 30.0, size: tuple[int, int] = (480, 360), seed: int = 0
) -> list[pycolmap.Rigid3d]:
    """Two groups of photos of a boulder on a crate, 6 degrees apart within a group, and a few in between, ``step_deg`` apart.

    The ground is bare: what one photo shares with the next is the sides of the two that both see, each at another slant.

    Photos ``0000.jpg`` ... in the folder; returns cam_from_world of each.
    """
    inside = 6.0 * np.arange(each)
    bridge = inside[-1] + step_deg * np.arange(1, between + 1)
    angles = np.concatenate([inside, bridge, bridge[-1] + step_deg + inside])
    path = orbit(360.0, 2.2, 1.1, 360.0, np.array([0, 0, 0.5]))
    poses = [path.pose(float(angle)) for angle in angles]
    _photos(folder, _crate(seed), poses, size, seed)
    return poses


def whip_pan(
    file: Path, before_s: float = 1.6, after_s: float = 1.6, turn_deg: float = 140.0, size: tuple[int, int] = (480, 360), seed: int = 0
) -> Trajectory:
    """A hand-held video in a room: a slow walk, a pan of ``turn_deg`` within 0.7 s, and on. Returns its path."""
    duration_s = before_s + PAN_S + after_s
    times = np.linspace(0, duration_s, int(duration_s * 30) + 1)
    share = np.clip((times - before_s) / PAN_S, 0, 1)
    angle = np.radians(35 + 3 * times + turn_deg * share * share * (3 - 2 * share))
    centers = np.stack([-0.5 + 0.3 * times, -0.7 + 0.05 * times, np.full(len(times), 1.4)], 1)
    targets = centers + np.stack([2 * np.cos(angle), 2 * np.sin(angle), np.full(len(times), -0.35)], 1)
    steady = Trajectory(times, np.array([look_at(c, t) for c, t in zip(centers, targets, strict=True)]), centers)
    path = shaken(steady, 0.01, 0.5, np.random.default_rng([seed, 4]))
    frames = np.arange(int(duration_s * FPS)) / FPS
    plan = Plan(room_scene(seed), make_camera(size, 0.75), path, frames, [file.name] * len(frames), video=True)
    write_video(file, pictures(plan, Options(seed=seed, shutter_s=1 / 60)), size, FPS)
    return path


def _crate(seed: int) -> Scene:
    bare = Material((0.55, 0.53, 0.50), (0.55, 0.53, 0.50), 1.0, octaves=0, contrast=0.0)
    ground = heightfield(np.linspace(-6, 6, 3), np.linspace(-6, 6, 3), np.zeros((3, 3)), bare)
    boulder = rock((0.34, 0.30, 0.35), 0.07, GRANITE, seed + 2).moved((0, 0, 0.85))
    return Scene.build([ground, box((1.0, 0.8, 0.6), TIMBER).moved((0, 0, 0), 20), boulder], seed)


def _photos(folder: Path, scene: Scene, poses: list[pycolmap.Rigid3d], size: tuple[int, int], seed: int) -> None:
    camera = make_camera(size, 0.75)
    for number, cam_from_world in enumerate(poses):
        rgb: NDArray[np.uint8] = to_srgb(render_linear(scene, camera, cam_from_world), noise=1.5, rng=np.random.default_rng([seed, number]))
        exif: Image.Exif = photo_exif(camera, 2.0 * number, 6.2, "recon", "simulated camera")
        write_photo(folder / f"{number:04d}.jpg", rgb, exif)
