"""A closed surface: what Poisson reconstruction leaves open at the border of its cube gets caps and a base."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recon.surface.mesh import Edges, components, face_areas, face_vectors, split_bowties, used_only
from recon.surface.poisson import Surface
from recon.surface.support import support
from recon.surface.thin import Samples
from recon.surface.trim import without_islands

_FLAT = 1e-3  # a loop is flat if it leaves its plane by no more than this share of its extent


def closed(surface: Surface, samples: Samples, threads: int = 1) -> tuple[NDArray[np.float64], NDArray[np.int32], float]:
    """Vertices and faces of the closed surface, and the share of its area that no point supports.

    Nothing of the reconstruction is cut away but pieces that no sample touches and islands. It reaches no further than the
    cube about the samples; there, flat loops are capped and the others carried down to a base just beneath the surface.
    """
    areas = face_areas(surface.vertices, surface.faces)
    near = support(surface, samples, threads).near[surface.faces].all(axis=1)
    pairs, _ = Edges.of(surface.faces).face_pairs()
    piece = components(pairs, len(areas))
    touched = np.bincount(piece, near * areas)[piece] > 0
    keep, _ = without_islands(pairs, areas * near, touched)
    vertices, faces = split_bowties(*used_only(surface.vertices, surface.faces[keep]))
    down = -_main_axis(face_vectors(vertices, faces).sum(axis=0))
    base = float((vertices @ down).max()) + surface.cell
    for loop in _loops(faces):
        vertices, faces = _capped(vertices, faces, loop, down, base)
    return vertices, faces, 1 - float(areas[keep & near].sum() / face_areas(vertices, faces).sum())


def _main_axis(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    axis = np.zeros(3)
    largest = int(np.abs(direction).argmax())
    axis[largest] = 1.0 if direction[largest] >= 0 else -1.0
    return axis


def _loops(faces: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """The border loops, each in the order in which its faces run along it. No vertex may be in two fans."""
    edges = Edges.of(faces)
    open_edge = edges.faces[edges.of_face] == 1
    following = {int(faces[face, k]): int(faces[face, (k + 1) % 3]) for face, k in np.argwhere(open_edge)}
    loops = []
    while following:
        loop = [min(following)]
        while (after := following.pop(loop[-1])) != loop[0]:
            loop.append(after)
        loops.append(np.array(loop, np.int64))
    return loops


def _capped(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], loop: NDArray[np.int64], down: NDArray[np.float64], base: float
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """The mesh with a fan over a loop, at the end of walls down to the base if the loop is not flat."""
    spread = np.linalg.svd(vertices[loop] - vertices[loop].mean(axis=0), compute_uv=False)
    new = []
    if spread[2] > _FLAT * spread[0]:
        foot = len(vertices) + np.arange(len(loop))
        below = vertices[loop] + (base - vertices[loop] @ down)[:, None] * down
        vertices = np.concatenate([vertices, below])
        after, foot_after = np.roll(loop, -1), np.roll(foot, -1)
        new += [np.stack([after, loop, foot], axis=1), np.stack([after, foot, foot_after], axis=1)]
        loop = foot
    new.append(np.stack([np.roll(loop, -1), loop, np.full(len(loop), len(vertices))], axis=1))
    return np.concatenate([vertices, vertices[loop].mean(axis=0)[None]]), np.concatenate([faces, *new]).astype(np.int32)
