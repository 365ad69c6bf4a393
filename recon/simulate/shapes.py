"""Closed forms and displaced surfaces as triangle meshes, faces counter-clockwise seen from outside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.simulate.textures import Material, fractal_noise


@dataclass(frozen=True)
class Part:
    """A triangle mesh of one material."""

    vertices: NDArray[np.float64]
    """(V, 3) world, metres."""
    faces: NDArray[np.int32]
    """(F, 3)"""
    material: Material

    def moved(self, shift: tuple[float, float, float], yaw_deg: float = 0.0) -> Part:
        """Turned about z, then shifted."""
        c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        return Part(self.vertices @ turn.T + np.asarray(shift), self.faces, self.material)


def grid_faces(rows: int, columns: int) -> NDArray[np.int32]:
    """(F, 3) faces of a rows x columns lattice of vertices, row by row; upwards where columns run along x and rows along y."""
    i = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    lower = np.stack([i, i + 1, i + columns + 1], 1)
    upper = np.stack([i, i + columns + 1, i + columns], 1)
    return np.stack([lower, upper], 1).reshape(-1, 3).astype(np.int32)


def box(size: tuple[float, float, float], material: Material) -> Part:
    """Of the given size, standing on z = 0, centred in x and y; without a floor."""
    x, y, z = size[0] / 2, size[1] / 2, size[2]
    vertices = np.array([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0], [-x, -y, z], [x, -y, z], [x, y, z], [-x, y, z]])
    quads = [(0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7), (4, 5, 6, 7)]
    return Part(vertices, _triangles(quads), material)


def inside_out(part: Part) -> Part:
    """Faces turned, for rooms seen from within."""
    return Part(part.vertices, part.faces[:, ::-1].copy(), part.material)


def gable_roof(size: tuple[float, float, float], material: Material) -> Part:
    """Two slopes and two gables over an x-y rectangle, ridge along x, from z = 0."""
    x, y, z = size[0] / 2, size[1] / 2, size[2]
    vertices = np.array([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0], [-x, 0, z], [x, 0, z]])
    faces = np.concatenate([_triangles([(0, 1, 5, 4), (2, 3, 4, 5)]), np.array([[1, 2, 5], [3, 0, 4]], np.int32)])
    return Part(vertices, faces, material)


def frustum(bottom_m: float, top_m: float, height_m: float, material: Material, segments: int = 360) -> Part:
    """A truncated cone on z = 0, as a pyramid of many sides, closed at the top; its volume is ``frustum_volume``."""
    angle = np.arange(segments) / segments * 2 * np.pi
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(segments)], 1)
    vertices = np.concatenate([ring * bottom_m, ring * top_m + [0, 0, height_m], [[0, 0, height_m]]])
    i = np.arange(segments)
    j = (i + 1) % segments
    sides = np.concatenate([np.stack([i, j, j + segments], 1), np.stack([i, j + segments, i + segments], 1)])
    top = np.stack([i + segments, j + segments, np.full(segments, 2 * segments)], 1)
    return Part(vertices, np.concatenate([sides, top]).astype(np.int32), material)


def frustum_volume(bottom_m: float, top_m: float, height_m: float, segments: int = 360) -> float:
    """Exact volume of ``frustum``: h / 3 (A + sqrt(A a) + a) with the areas of regular polygons."""
    polygon = 0.5 * segments * np.sin(2 * np.pi / segments)
    return float(polygon * height_m / 3 * (bottom_m**2 + bottom_m * top_m + top_m**2))


def rock(radii: tuple[float, float, float], relief_m: float, material: Material, seed: int, rings: int = 70) -> Part:
    """An ellipsoid with bumps, centred at the origin; its poles are closed."""
    theta = np.linspace(0, np.pi, rings + 1)[1:-1, None]
    phi = np.arange(2 * rings) / (2 * rings) * 2 * np.pi
    lattice = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta) + 0 * phi], 2).reshape(-1, 3)
    directions = np.concatenate([lattice, [[0, 0, 1], [0, 0, -1]]])
    vertices = directions * np.asarray(radii)
    vertices += directions * relief_m * fractal_noise(vertices, 0.9 * min(radii), seed, 3)[:, None]
    return Part(vertices, _sphere_faces(rings - 1, 2 * rings), material)


def heightfield(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64], material: Material) -> Part:
    """z is (len(y), len(x))."""
    vertices = np.stack([*np.meshgrid(x, y), z], 2).reshape(-1, 3)
    return Part(vertices, grid_faces(len(y), len(x)), material)


def relief_wall(corners: NDArray[np.float64], height_m: float, relief_m: float, step_m: float, material: Material, seed: int) -> Part:
    """A wall over an (N, 2) polyline, closed if its ends meet, with bumps of relief_m; seen from the polyline's left."""
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    at = np.concatenate([[0], np.cumsum(lengths)])
    along = np.linspace(0, at[-1], round(at[-1] / step_m) + 1)
    base = np.stack([np.interp(along, at, corners[:, 0]), np.interp(along, at, corners[:, 1])], 1)
    tangent = np.gradient(base, axis=0)
    if np.allclose(base[0], base[-1]):
        tangent[0] = tangent[-1] = tangent[0] + tangent[-1]
    left = np.stack([-tangent[:, 1], tangent[:, 0]], 1) / np.linalg.norm(tangent, axis=1)[:, None]
    up = np.linspace(0, height_m, round(height_m / step_m) + 1)
    vertices = np.concatenate([np.repeat(base[None], len(up), 0), np.repeat(up[:, None, None], len(base), 1)], 2).reshape(-1, 3)
    bump = relief_m * fractal_noise(vertices, 12 * step_m, seed, 2)
    vertices[:, :2] += np.tile(left, (len(up), 1)) * bump[:, None]
    return Part(vertices, grid_faces(len(up), len(base))[:, ::-1].copy(), material)


def _triangles(quads: list[tuple[int, int, int, int]]) -> NDArray[np.int32]:
    return np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))], np.int32)


def _sphere_faces(rings: int, columns: int) -> NDArray[np.int32]:
    """A rings x columns lattice from north to south, closed around, then the north and south poles."""
    i = np.arange(columns)
    j = (i + 1) % columns
    first = (np.arange(rings - 1) * columns)[:, None]
    a, b, c, d = first + i, first + columns + i, first + columns + j, first + j
    body = np.concatenate([np.stack([a, b, c], 2).reshape(-1, 3), np.stack([a, c, d], 2).reshape(-1, 3)])
    north, south, last = rings * columns, rings * columns + 1, (rings - 1) * columns
    caps = np.concatenate([np.stack([i, j, 0 * i + north], 1), np.stack([last + j, last + i, 0 * i + south], 1)])
    return np.concatenate([body, caps]).astype(np.int32)
