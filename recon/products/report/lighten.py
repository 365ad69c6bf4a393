"""Fewer triangles for a textured mesh, its texture kept: half-edge collapses by quadric error (Garland and Heckbert 1997).

A vertex moves onto a neighbour, never to a new place, so texture coordinates stay valid. Vertices on texture seams, page
borders and the mesh's rim are not moved, so no crack opens.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numba
import numpy as np
from numpy.typing import NDArray

from recon.products.textured import TexturedMesh, split_at_seams
from recon.threads import in_parts

_PASSES = 40
_MIN_NORMAL_COSINE = 0.2  # a collapse that turns a triangle further is refused
_BATCH = 0.34  # share of the wanted removals that one pass makes at most: cheap ones first, costs stay fresh


def lighten(mesh: TexturedMesh, max_faces: int, threads: int = 1) -> TexturedMesh:
    """The mesh with at most max_faces triangles, or as few as its seams allow."""
    if len(mesh.faces) <= max_faces:
        return mesh
    split = split_at_seams(mesh)
    xyz = mesh.vertices[split.vertex].astype(np.float64)
    faces, page = split.faces.astype(np.int64), split.page
    quadrics = _quadrics(xyz, faces)
    fixed = _on_border(faces, len(xyz))
    for _ in range(_PASSES):
        excess = len(faces) - max_faces
        if excess <= 0:
            break
        start, around = _faces_around(faces, len(xyz))
        cost, target = np.full(len(xyz), np.inf), np.full(len(xyz), -1)
        search = partial(_best_collapse, xyz, faces, start, around, quadrics, fixed, cost, target)
        in_parts(search, len(xyz), threads)
        order = np.argsort(cost, kind="stable")
        order = order[: int(np.isfinite(cost).sum())]
        moved = _collapse(order, target, faces, start, around, quadrics, max(1, min(excess // 2 + 1, int(len(order) * _BATCH))))
        if not moved:
            break
        kept = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
        faces, page = faces[kept], page[kept]
    vertex = split.vertex[faces].astype(np.int32)
    return replace(mesh, faces=vertex, uv=split.uv[faces], page=page)


def _quadrics(xyz: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """(V, 4, 4) summed squared distances to the planes of the faces around each vertex, weighted by area."""
    a, b, c = (xyz[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    area = np.linalg.norm(normal, axis=1, keepdims=True)
    normal /= np.maximum(area, 1e-30)
    plane = np.concatenate([normal, -np.einsum("fc,fc->f", normal, a)[:, None]], axis=1)
    per_face = plane[:, :, None] * plane[:, None, :] * area[:, :, None]
    total = np.zeros((len(xyz), 4, 4))
    for corner in range(3):
        np.add.at(total, faces[:, corner], per_face)
    return total


def _on_border(faces: NDArray[np.int64], vertices: int) -> NDArray[np.bool_]:
    """(V,) whether an edge of one face alone, or of more than two, ends there."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    key, count = np.unique(edges[:, 0] * vertices + edges[:, 1], return_counts=True)
    odd = key[count != 2]
    border = np.zeros(vertices, bool)
    border[odd // vertices] = border[odd % vertices] = True
    return border


def _faces_around(faces: NDArray[np.int64], vertices: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets (V + 1,) into the list of faces at each vertex, and that list."""
    flat = faces.reshape(-1)
    start = np.zeros(vertices + 1, np.int64)
    np.cumsum(np.bincount(flat, minlength=vertices), out=start[1:])
    return start, np.argsort(flat, kind="stable") // 3


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _best_collapse(xyz, faces, start, around, quadrics, fixed, cost, target, first, last):  # type: ignore[no-untyped-def]
    """For each vertex from first to last the neighbour that it can move onto at the least cost, infinite where there is none."""
    for vertex in range(first, last):
        if fixed[vertex] or start[vertex] == start[vertex + 1]:
            continue
        for i in range(start[vertex], start[vertex + 1]):
            for corner in range(3):
                other = faces[around[i], corner]
                if other == vertex:
                    continue
                p = xyz[other]
                q = quadrics[vertex]
                error = q[3, 3]
                for r in range(3):
                    error += 2 * q[r, 3] * p[r]
                    for s in range(3):
                        error += q[r, s] * p[r] * p[s]
                if error < cost[vertex] and _is_sound(vertex, other, xyz, faces, start, around):
                    cost[vertex], target[vertex] = error, other


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _is_sound(vertex, other, xyz, faces, start, around):  # type: ignore[no-untyped-def]
    """Whether moving vertex onto other turns no face over and joins no two sheets (two common neighbours, no more)."""
    common = 0
    for i in range(start[vertex], start[vertex + 1]):
        face = faces[around[i]]
        if face[0] == other or face[1] == other or face[2] == other:
            common += 1
            continue
        if _turns(face, vertex, xyz[other], xyz):
            return False
    if common != 2:
        return False
    shared = 0  # neighbours of both: the two of the edge's faces, else the collapse pinches the surface
    for i in range(start[vertex], start[vertex + 1]):
        for corner in range(3):
            neighbour = faces[around[i], corner]
            if neighbour in (vertex, other):
                continue
            for j in range(start[other], start[other + 1]):
                face = faces[around[j]]
                if face[0] == neighbour or face[1] == neighbour or face[2] == neighbour:
                    shared += 1
                    break
    return shared == 4  # each is met twice, in the two faces of vertex that it belongs to


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _turns(face, vertex, place, xyz):  # type: ignore[no-untyped-def]
    """Whether a face turns too far, or folds to nothing, when its vertex moves to a place."""
    # from the corner that moves, the next two stay: edges towards them give the normal before and after
    k = 0 if face[0] == vertex else 1 if face[1] == vertex else 2
    p, b, c = xyz[vertex], xyz[face[(k + 1) % 3]], xyz[face[(k + 2) % 3]]
    ex, ey, ez = c[0] - b[0], c[1] - b[1], c[2] - b[2]
    ux, uy, uz = p[0] - b[0], p[1] - b[1], p[2] - b[2]
    vx, vy, vz = place[0] - b[0], place[1] - b[1], place[2] - b[2]
    ax, ay, az = ey * uz - ez * uy, ez * ux - ex * uz, ex * uy - ey * ux
    bx, by, bz = ey * vz - ez * vy, ez * vx - ex * vz, ex * vy - ey * vx
    size = np.sqrt((ax * ax + ay * ay + az * az) * (bx * bx + by * by + bz * bz))
    return size < 1e-30 or ax * bx + ay * by + az * bz < _MIN_NORMAL_COSINE * size


@numba.njit(cache=True, error_model="numpy")
def _collapse(order, target, faces, start, around, quadrics, limit):  # type: ignore[no-untyped-def]
    """Collapse in order where nothing near has moved in this pass; faces and quadrics change in place. Returns how many."""
    touched = np.zeros(len(start) - 1, np.bool_)
    done = 0
    for vertex in order:
        if done == limit:
            break
        other = target[vertex]
        free = not touched[vertex] and not touched[other]
        for i in range(start[vertex], start[vertex + 1]):
            for corner in range(3):
                free = free and not touched[faces[around[i], corner]]
        if not free:
            continue
        for i in range(start[vertex], start[vertex + 1]):
            for corner in range(3):
                touched[faces[around[i], corner]] = True
        for i in range(start[vertex], start[vertex + 1]):
            for corner in range(3):
                if faces[around[i], corner] == vertex:
                    faces[around[i], corner] = other
        quadrics[other] += quadrics[vertex]
        done += 1
    return done
