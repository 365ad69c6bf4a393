"""Scenes of known shape: a yard with an object, a terrain with buildings and a stockpile, a furnished room. World is z up, metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import open3d
from numpy.typing import NDArray

from recon.simulate.shapes import Part, box, frustum, frustum_volume, gable_roof, heightfield, inside_out, relief_wall, rock
from recon.simulate.textures import Material, fractal_noise

SUN = np.array([0.35, -0.45, 0.82]) / np.linalg.norm([0.35, -0.45, 0.82])

SOIL = Material((0.42, 0.30, 0.18), (0.28, 0.34, 0.14), 0.6, 9, 0.9, "stones", 0.09)
MASONRY = Material((0.50, 0.24, 0.16), (0.55, 0.42, 0.30), 0.5, 8, 0.7, "bricks", 0.24)
GRANITE = Material((0.46, 0.44, 0.42), (0.28, 0.30, 0.36), 0.25, 9, 1.0)
TIMBER = Material((0.48, 0.32, 0.14), (0.30, 0.18, 0.08), 0.2, 8, 0.9, "bricks", 0.12)
LICHEN = Material((0.55, 0.50, 0.25), (0.20, 0.30, 0.22), 0.18, 8, 1.0, "stones", 0.05)
PLAIN = Material((0.6, 0.6, 0.58), (0.6, 0.6, 0.58), 1.0, octaves=0, contrast=0.0)


@dataclass(frozen=True)
class Scene:
    """Triangles with materials; vertices hold what float32 holds, so that what is written is what was seen."""

    vertices: NDArray[np.float32]
    """(V, 3) world, metres."""
    faces: NDArray[np.int32]
    """(F, 3)"""
    material_of_face: NDArray[np.int32]
    materials: tuple[Material, ...]
    seed: int = 0
    sky: tuple[float, float, float] = (0.45, 0.60, 0.85)

    @classmethod
    def build(cls, parts: Sequence[Part], seed: int = 0) -> Scene:
        offsets = np.cumsum([0, *(len(p.vertices) for p in parts)])
        return cls(
            np.concatenate([p.vertices for p in parts]).astype(np.float32),
            np.concatenate([p.faces + start for p, start in zip(parts, offsets[:-1], strict=True)]).astype(np.int32),
            np.concatenate([np.full(len(p.faces), i, np.int32) for i, p in enumerate(parts)]),
            tuple(p.material for p in parts),
            seed,
        )

    @cached_property
    def table(self) -> NDArray[np.float64]:
        return np.array([m.row() for m in self.materials])

    @cached_property
    def raycaster(self) -> open3d.t.geometry.RaycastingScene:
        return raycaster(self.vertices, self.faces)


def raycaster(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> open3d.t.geometry.RaycastingScene:
    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(
        open3d.core.Tensor(np.ascontiguousarray(vertices, np.float32)), open3d.core.Tensor(np.ascontiguousarray(faces, np.uint32))
    )
    return scene


@dataclass(frozen=True)
class Stockpile:
    """A truncated cone of exactly known volume on level ground."""

    center: tuple[float, float]
    base_m: float
    bottom_m: float
    top_m: float
    height_m: float

    @property
    def volume_m3(self) -> float:
        return frustum_volume(self.bottom_m, self.top_m, self.height_m)


def object_scene(seed: int = 0) -> Scene:
    """A rock on a brick plinth among a crate, a boulder and a pyramid, on uneven soil before a curved wall: about 5 m wide.

    Nothing is thin and nothing is plain: a camera that walks around the object, looking a little down, sees texture only.
    """
    axis = np.linspace(-2.6, 2.6, 88)
    points = np.stack([*np.meshgrid(axis, axis), np.zeros((len(axis), len(axis)))], 2)
    soil = 0.05 * fractal_noise(points.reshape(-1, 3), 0.9, seed, 3).reshape(points.shape[:2])
    turn = np.linspace(0, 2 * np.pi, 49)
    wall = relief_wall(2.4 * np.stack([np.cos(turn), np.sin(turn)], 1), 1.9, 0.05, 0.09, MASONRY, seed + 1)
    parts = [
        heightfield(axis, axis, soil, SOIL),
        wall.moved((0, 0, -0.1)),
        box((0.62, 0.62, 0.5), MASONRY).moved((0, 0, -0.05), 20),
        rock((0.27, 0.24, 0.33), 0.06, GRANITE, seed + 2).moved((0, 0, 0.72)),
        box((0.46, 0.36, 0.42), TIMBER).moved((0.95, 0.35, -0.05), 35),
        rock((0.34, 0.28, 0.24), 0.05, LICHEN, seed + 3, rings=50).moved((-0.85, 0.7, 0.1)),
        frustum(0.34, 0.16, 0.42, GRANITE, 6).moved((-0.35, -1.0, -0.05)),
        rock((0.22, 0.3, 0.18), 0.04, LICHEN, seed + 4, rings=40).moved((0.75, -0.8, 0.06)),
    ]
    return Scene.build(parts, seed)


def terrain_scene(half_m: tuple[float, float] = (90.0, 90.0), seed: int = 0) -> tuple[Scene, Stockpile]:
    """Rolling fields with houses around the origin, and a stockpile on a levelled pad beside it."""
    pile = Stockpile((14.0, -9.0), 1.0, 11.0, 3.0, 6.0)
    x, y = (np.arange(-h, h + 0.75, 1.5) for h in half_m)
    points = np.stack([*np.meshgrid(x, y), np.zeros((len(y), len(x)))], 2).reshape(-1, 3)
    z = 3.5 * fractal_noise(points, 60.0, seed, 3)
    z = _levelled(points, z, pile.center, pile.bottom_m + 4.0, pile.base_m)
    field = Material((0.16, 0.26, 0.08), (0.36, 0.30, 0.17), 22.0, 9, 0.75, "stones", 3.5)
    gravel = Material((0.50, 0.47, 0.42), (0.36, 0.33, 0.30), 3.0, 7, 0.9, "stones", 0.9)
    brick = Material((0.45, 0.24, 0.18), (0.52, 0.44, 0.36), 3.0, 7, 0.8, "bricks", 1.2)
    tiles = Material((0.48, 0.20, 0.13), (0.36, 0.26, 0.24), 3.0, 7, 0.9, "bricks", 0.9)
    rng = np.random.default_rng([seed, 1])
    houses: list[Part] = []
    for hx in np.arange(-half_m[0] + 15, half_m[0] - 10, 27.0):
        for hy in np.arange(-half_m[1] + 15, half_m[1] - 10, 31.0):
            at = np.array([hx, hy]) + rng.uniform(-5, 5, 2)
            if np.linalg.norm(at - pile.center) < pile.bottom_m + 12:
                continue
            width, depth, height, yaw = rng.uniform([8, 6, 3.5, 0], [14, 9, 8, 180])
            ground = float(np.median(z[np.linalg.norm(points[:, :2] - at, axis=1) < 8])) - 1.5
            houses.append(box((width, depth, height + 1.5), brick).moved((at[0], at[1], ground), yaw))
            houses.append(gable_roof((width + 0.8, depth + 0.8, 2.8), tiles).moved((at[0], at[1], ground + height + 1.5), yaw))
    heap = frustum(pile.bottom_m, pile.top_m, pile.height_m, gravel).moved((*pile.center, pile.base_m))
    return Scene.build([heightfield(x, y, z.reshape(len(y), len(x)), field), heap, *houses], seed), pile


def room_scene(seed: int = 0, plain_wall: bool = False) -> Scene:
    """A room of 5 x 4 x 2.6 m with furniture; floor at z = 0, centred at the origin.

    ``plain_wall`` paints the long wall at y = 2 evenly: it shows no texture at all.
    """
    paper = Material((0.62, 0.54, 0.42), (0.40, 0.48, 0.52), 0.7, 8, 0.8, "bricks", 0.30)
    carpet = Material((0.42, 0.16, 0.14), (0.20, 0.22, 0.38), 0.5, 8, 0.9, "stones", 0.12)
    ceiling = Material((0.70, 0.68, 0.64), (0.56, 0.58, 0.60), 0.6, 7, 0.6)
    cloth = Material((0.20, 0.34, 0.42), (0.42, 0.44, 0.30), 0.25, 8, 0.9, "stones", 0.07)
    top = heightfield(np.array([-2.5, 2.5]), np.array([-2.0, 2.0]), np.full((2, 2), 2.6), ceiling)
    walls = box((5.0, 4.0, 2.6), paper)
    papered = walls.faces[[0, 1, 2, 3, 6, 7]] if plain_wall else walls.faces[:8]
    parts = [
        heightfield(np.linspace(-2.5, 2.5, 3), np.linspace(-2.0, 2.0, 3), np.zeros((3, 3)), carpet),
        inside_out(Part(walls.vertices, papered, paper)),
        inside_out(top),
        box((1.3, 0.8, 0.74), TIMBER).moved((0.5, 0.2, 0), 15),
        box((1.9, 0.8, 0.5), cloth).moved((-1.45, -1.5, 0)),
        box((1.9, 0.22, 0.9), cloth).moved((-1.45, -1.85, 0)),
        box((0.8, 0.4, 1.9), TIMBER).moved((2.0, 1.75, 0)),
        box((0.5, 0.5, 0.5), MASONRY).moved((-1.9, 1.4, 0), 40),
        rock((0.2, 0.2, 0.24), 0.04, GRANITE, seed + 5, rings=40).moved((0.5, 0.2, 0.94)),
        rock((0.3, 0.26, 0.3), 0.05, LICHEN, seed + 6, rings=40).moved((1.9, -1.3, 0.2)),
    ]
    if plain_wall:
        parts.append(inside_out(Part(walls.vertices, walls.faces[4:6], PLAIN)))
    return Scene.build(parts, seed)


def wall_scene(seed: int, material: Material = MASONRY) -> Scene:
    """A flat wall of 8 x 4 m in the plane y = 0, seen from negative y."""
    wall = heightfield(np.linspace(-4, 4, 3), np.linspace(0, 4, 3), np.zeros((3, 3)), material)
    upright = np.stack([wall.vertices[:, 0], np.zeros(len(wall.vertices)), wall.vertices[:, 1]], 1)
    return Scene.build([Part(upright, wall.faces, material)], seed)


def _levelled(
    points: NDArray[np.float64], z: NDArray[np.float64], center: tuple[float, float], radius_m: float, level_m: float
) -> NDArray[np.float64]:
    """Heights with a level disc of the given radius, blended over as much again."""
    away = np.clip(np.linalg.norm(points[:, :2] - center, axis=1) / radius_m - 1, 0, 1)
    blend = away * away * (3 - 2 * away)
    return np.asarray(level_m + blend * (z - level_m))
