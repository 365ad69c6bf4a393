"""Procedural solid textures: colour as a function of a point in space, band-limited to what a pixel can show.

Gradient noise after Perlin, "Improving noise" (SIGGRAPH 2002), summed over octaves of equal amplitude, so that there is
detail at every scale a camera may look at; cellular stones after Worley (SIGGRAPH 1996). An octave fades out before its
wavelength reaches the footprint of a pixel ("frequency clamping"), so pictures do not alias and points repeat from view to view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

RGB = tuple[float, float, float]
PATTERNS = ("none", "bricks", "stones")
BRICK_HEIGHT, BRICK_JOINT, SKY_SHARE = 0.45, 0.06, 0.55


@dataclass(frozen=True)
class Material:
    """How a surface looks; lengths are metres, colours linear albedo in 0..1."""

    first: RGB
    second: RGB
    coarsest_m: float
    """Wavelength of the lowest octave."""
    octaves: int = 8
    contrast: float = 0.9
    pattern: str = "none"
    pattern_m: float = 1.0
    """Length of a brick, spacing of stones."""

    def row(self) -> list[float]:
        return [*self.first, *self.second, self.coarsest_m, self.octaves, self.contrast, PATTERNS.index(self.pattern), self.pattern_m]


@numba.njit(cache=True, inline="always", error_model="numpy")
def _hash(x: int, y: int, z: int, seed: int) -> np.uint32:
    h = np.uint32(np.uint32(x) * np.uint32(0x8DA6B343)) ^ np.uint32(np.uint32(y) * np.uint32(0xD8163841))
    h ^= np.uint32(np.uint32(z) * np.uint32(0xCB1AB31F)) ^ np.uint32(np.uint32(seed) * np.uint32(0x9E3779B9))
    h = np.uint32((h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D))
    h = np.uint32((h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39))
    return np.uint32(h ^ (h >> np.uint32(15)))


@numba.njit(cache=True, inline="always", error_model="numpy")
def _unit(h: np.uint32) -> float:
    return float(h) / 4294967296.0


@numba.njit(cache=True, inline="always", error_model="numpy")
def _gradient(h: np.uint32, x: float, y: float, z: float) -> float:
    k = h & np.uint32(15)
    u = x if k < 8 else y
    v = y if k < 4 else (x if k in (12, 14) else z)
    return (u if k & np.uint32(1) == 0 else -u) + (v if k & np.uint32(2) == 0 else -v)


@numba.njit(cache=True, error_model="numpy")
def _noise(x: float, y: float, z: float, seed: int) -> float:
    """Gradient noise of unit lattice, about -1..1."""
    x0, y0, z0 = np.floor(x), np.floor(y), np.floor(z)
    fx, fy, fz = x - x0, y - y0, z - z0
    i, j, k = np.int64(x0), np.int64(y0), np.int64(z0)
    u = fx * fx * fx * (fx * (fx * 6 - 15) + 10)
    v = fy * fy * fy * (fy * (fy * 6 - 15) + 10)
    w = fz * fz * fz * (fz * (fz * 6 - 15) + 10)
    total = 0.0
    for c in range(2):
        a00 = _gradient(_hash(i, j, k + c, seed), fx, fy, fz - c)
        a10 = _gradient(_hash(i + 1, j, k + c, seed), fx - 1, fy, fz - c)
        a01 = _gradient(_hash(i, j + 1, k + c, seed), fx, fy - 1, fz - c)
        a11 = _gradient(_hash(i + 1, j + 1, k + c, seed), fx - 1, fy - 1, fz - c)
        low = a00 + u * (a10 - a00)
        plane = low + v * (a01 + u * (a11 - a01) - low)
        total += plane * (w if c else 1 - w)
    return total


@numba.njit(cache=True, error_model="numpy")
def fractal_noise(points: NDArray[np.float64], wavelength: float, seed: int, octaves: int) -> NDArray[np.float64]:
    """(N,) smooth noise at (N, 3) points, about -1..1, each octave half as long and half as strong as the one before."""
    total = np.zeros(len(points))
    for n in range(len(points)):
        for octave in range(octaves):
            f = 2.0**octave / wavelength
            shift = octave * 17.3 + 0.4
            total[n] += _noise(points[n, 0] * f + shift, points[n, 1] * f + shift, points[n, 2] * f + shift, seed + octave) * 0.5**octave
    return total


@numba.njit(cache=True, inline="always", error_model="numpy")
def _visible(wavelength: float, footprint: float) -> float:
    """1 where a wavelength is well sampled, 0 below two pixels."""
    return min(1.0, max(0.0, wavelength / footprint / 1.5 - 1.0))


@numba.njit(cache=True, inline="always", error_model="numpy")
def _edge(distance: float, width: float, footprint: float) -> float:
    """0 in a joint of the given half width, 1 away from it, softened over a pixel."""
    return min(1.0, max(0.0, (distance - width) / max(footprint, 0.2 * width) + 0.5))


@numba.njit(cache=True, error_model="numpy")
def _bricks(x: float, y: float, z: float, size: float, footprint: float, seed: int) -> float:
    """Tone factor of a running bond filling space."""
    seen = _visible(size * BRICK_HEIGHT, footprint)
    if seen == 0:
        return 1.0
    q = (z / (size * BRICK_HEIGHT)) + 0.37
    row = np.floor(q)
    shift = 0.5 * (np.int64(row) & 1)
    a, b = x / size + 0.29 + shift, y / size + 0.43 + shift
    column, depth = np.floor(a), np.floor(b)
    fa, fb, fq = a - column, b - depth, q - row
    gap = min(min(min(fa, 1 - fa), min(fb, 1 - fb)), min(fq, 1 - fq) * BRICK_HEIGHT) * size
    tone = 0.55 + 0.9 * _unit(_hash(np.int64(column), np.int64(depth), np.int64(row), seed + 77))
    mortar = _edge(gap, size * BRICK_JOINT * 0.5, footprint)
    return float(1.0 + seen * (tone * mortar + 0.35 * (1 - mortar) - 1.0))


@numba.njit(cache=True, error_model="numpy")
def _stones(x: float, y: float, z: float, size: float, footprint: float, seed: int) -> float:
    """Tone factor of packed stones: a random tone a cell, dark between them."""
    seen = _visible(size, footprint)
    if seen == 0:
        return 1.0
    x, y, z = x / size, y / size, z / size
    i, j, k = np.int64(np.floor(x)), np.int64(np.floor(y)), np.int64(np.floor(z))
    first, second, owner = 1e9, 1e9, np.uint32(0)
    for a in range(i - 1, i + 2):
        for b in range(j - 1, j + 2):
            for c in range(k - 1, k + 2):
                h = _hash(a, b, c, seed)
                # ten bits of one hash a coordinate place the stone within its cell
                dx = a + 0.1 + 0.0007812 * float(h & np.uint32(1023)) - x
                dy = b + 0.1 + 0.0007812 * float((h >> np.uint32(10)) & np.uint32(1023)) - y
                dz = c + 0.1 + 0.0007812 * float((h >> np.uint32(20)) & np.uint32(1023)) - z
                d = dx * dx + dy * dy + dz * dz
                if d < first:
                    second, first, owner = first, d, h
                elif d < second:
                    second = d
    gap = 0.5 * (np.sqrt(second) - np.sqrt(first)) * size
    tone = 0.5 + _unit(np.uint32(owner * np.uint32(0x9E3779B1)))
    inside = _edge(gap, 0.05 * size, footprint)
    return float(1.0 + seen * (tone * inside + 0.3 * (1 - inside) - 1.0))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def shade(
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
    material: NDArray[np.int32],
    footprint: NDArray[np.float32],
    table: NDArray[np.float64],
    sun: NDArray[np.float64],
    seed: int,
) -> NDArray[np.float32]:
    """Linear colours (N, 3) of surface points.

    points and normals are (N, 3) in world metres, footprint (N,) is the size of a pixel on the surface [m], material (N,)
    selects a row of table (M, 11), sun is the unit vector towards the sun. Lambert's law under sun and sky.
    """
    colors = np.empty((len(points), 3), np.float32)
    for n in range(len(points)):
        m = table[material[n]]
        x, y, z = float(points[n, 0]), float(points[n, 1]), float(points[n, 2])
        pixel = max(float(footprint[n]), 1e-6)
        s = seed * 1000 + material[n] * 50
        mix = 0.5 + 0.8 * _noise(x / m[6] + 5.2, y / m[6] + 1.3, z / m[6] + 7.7, s) * _visible(m[6], pixel)
        mix = min(1.0, max(0.0, mix))
        wave, tone = m[6], 0.0
        for octave in range(int(m[7])):
            weight = _visible(wave, pixel)
            if weight == 0:
                break
            # an octave starts at its own place, or all would be zero at the lattice's origin together
            # finer octaves are a little stronger: the eye of a keypoint detector or of a matching window is small
            tone += (
                weight
                * (0.8 + 0.08 * octave)
                * _noise(x / wave + octave * 3.7, y / wave + octave * 1.9, z / wave + octave * 2.3, s + octave + 1)
            )
            wave *= 0.5
        tone = np.exp(m[8] * tone)
        if m[9] == 1:
            tone *= _bricks(x, y, z, m[10], pixel, s + 40)
        elif m[9] == 2:
            tone *= _stones(x, y, z, m[10], pixel, s + 40)
        facing = normals[n, 0] * sun[0] + normals[n, 1] * sun[1] + normals[n, 2] * sun[2]
        light = SKY_SHARE * (0.75 + 0.25 * normals[n, 2]) + (1 - SKY_SHARE) * max(0.0, facing)
        for c in range(3):
            colors[n, c] = min(1.0, tone * light * (m[c] + mix * (m[3 + c] - m[c])))
    return colors
