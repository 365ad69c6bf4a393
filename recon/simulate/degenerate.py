"""Captures that can't be reconstructed, or not as one model: for tests of what is said about them. Each fills a folder with JPEGs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.simulate.cameras import look_at, orbit, pose
from recon.simulate.render import render_linear
from recon.simulate.scenes import PLAIN, Scene, object_scene, room_scene, wall_scene
from recon.simulate.sensors import make_camera, to_srgb
from recon.simulate.write import photo_exif, write_photo

SIZE = (640, 480)


def textureless_wall(folder: Path, count: int = 8, seed: int = 0) -> list[Path]:
    """A plain painted wall, photographed while walking along it."""
    poses = []
    for x in np.linspace(-1.5, 1.5, count):
        center = np.array([x, -2.0, 1.6])
        poses.append(pose(look_at(center, center + np.array([0.0, 2.0, 0.1 * np.sin(3 * x)])), center))
    return _photos(folder, wall_scene(seed, PLAIN), poses, seed)


def pure_rotation(folder: Path, count: int = 12, seed: int = 0) -> list[Path]:
    """A panorama: the camera turns in a room, its centre does not move."""
    center = np.array([-0.6, 0.9, 1.5])
    angles = np.radians(np.arange(count) * 14.0)
    targets = [center + np.array([np.cos(a), np.sin(a), -0.15]) for a in angles]
    return _photos(folder, room_scene(seed), [pose(look_at(center, target), center) for target in targets], seed)


def unrelated(folder: Path, count: int = 6, seed: int = 0) -> list[Path]:
    """Two scenes in one folder, count photos of each: ``yard_0000.jpg`` ... and ``room_0000.jpg`` ..."""
    return [*_yard(folder, count, seed, "yard_"), *_room(folder, count, seed, "room_")]


def black(folder: Path, count: int = 6) -> list[Path]:
    """Photos with the lens cap on."""
    frame = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    return _write(folder, [frame] * count)


def blurred(folder: Path, count: int = 8, seed: int = 0) -> list[Path]:
    """A walk around an object, all of it far out of focus. As large as photos are, so that noise does not pass for detail."""
    camera, size = make_camera(SIZE, 0.75), (3 * SIZE[0], 3 * SIZE[1])
    frames = []
    for rng, cam_from_world in zip(_generators(seed, count), _around(count, 60.0), strict=True):
        sharp = render_linear(object_scene(seed), camera, cam_from_world, samples=1)
        soft = np.asarray(cv2.resize(cv2.GaussianBlur(sharp, (0, 0), 14), size, interpolation=cv2.INTER_CUBIC))
        frames.append(to_srgb(soft, noise=1.5, rng=rng))
    return _write(folder, frames)


def _yard(folder: Path, count: int, seed: int, prefix: str) -> list[Path]:
    return _photos(folder, object_scene(seed), _around(count, 10.0 * count), seed, prefix)


def _room(folder: Path, count: int, seed: int, prefix: str) -> list[Path]:
    shares = np.linspace(-0.5, 0.5, count)
    centers = [np.array([1.1 + 0.5 * s, -0.6 + 1.4 * s, 1.4]) for s in shares]
    poses = [pose(look_at(center, np.array([-1.6, -0.4, 0.9])), center) for center in centers]
    return _photos(folder, room_scene(seed), poses, seed + 1, prefix)


def _around(count: int, arc_deg: float) -> list[pycolmap.Rigid3d]:
    path = orbit(10.0, 1.65, 1.15, arc_deg, np.array([0, 0, 0.5]))
    return [path.pose(t) for t in np.linspace(0, 10.0, count)]


def _photos(folder: Path, scene: Scene, poses: list[pycolmap.Rigid3d], seed: int, prefix: str = "") -> list[Path]:
    camera = make_camera(SIZE, 0.75)
    frames = (
        to_srgb(render_linear(scene, camera, cam_from_world), noise=1.5, rng=rng)
        for rng, cam_from_world in zip(_generators(seed, len(poses)), poses, strict=True)
    )
    return _write(folder, frames, prefix)


def _generators(seed: int, count: int) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, n]) for n in range(count)]


def _write(folder: Path, frames: Iterable[NDArray[np.uint8]], prefix: str = "") -> list[Path]:
    camera, paths = make_camera(SIZE, 0.75), []
    for number, rgb in enumerate(frames):
        path = folder / f"{prefix}{number:04d}.jpg"
        write_photo(path, rgb, photo_exif(camera, 2.0 * number, 6.2, "recon", "simulated camera"))
        paths.append(path)
    return paths
