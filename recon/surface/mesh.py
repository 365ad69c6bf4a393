"""The triangle mesh that the surface stages hand on, and what its connectivity says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

MESH_FILE = "mesh.npz"
_MANY = 64
"""Edges at a vertex from which on they are sorted by more than insertion."""


@dataclass(frozen=True)
class TriMesh:
    """A coloured triangle mesh in world."""

    vertices: NDArray[np.float32]
    """(V, 3) world."""
    faces: NDArray[np.int32]
    """(F, 3) indices of vertices, counter-clockwise from outside."""
    normals: NDArray[np.float32]
    """(V, 3) unit, outwards."""
    rgb: NDArray[np.uint8]
    """(V, 3) colour of the cloud there."""

    def save(self, path: Path) -> None:
        np.savez(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> TriMesh:
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


def face_vectors(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.float64]:
    """(F, 3) normals of faces, twice their area long."""
    out = np.empty((len(faces), 3))
    _face_vectors(vertices, faces, out)
    return out


def face_areas(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.float64]:
    """(F,) in squared world units."""
    out = np.empty(len(faces))
    _face_areas(vertices, faces, out)
    return out


def vertex_normals(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.float32]:
    """(V, 3) unit normals, the faces around a vertex weighted by area; z where there is no face."""
    normals = np.zeros((len(vertices), 3))
    _add_normals(vertices, faces, normals)
    return normals.astype(np.float32)


@numba.njit(cache=True, nogil=True, inline="always")
def _face_vector(vertices, face):  # type: ignore[no-untyped-def]
    i, j, k = face
    ax, ay, az = np.float64(vertices[i, 0]), np.float64(vertices[i, 1]), np.float64(vertices[i, 2])
    ux, uy, uz = vertices[j, 0] - ax, vertices[j, 1] - ay, vertices[j, 2] - az
    vx, vy, vz = vertices[k, 0] - ax, vertices[k, 1] - ay, vertices[k, 2] - az
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


@numba.njit(cache=True, nogil=True)
def _face_vectors(vertices: NDArray[np.floating], faces: NDArray[np.integer], out: NDArray[np.float64]) -> None:
    for f in range(len(faces)):
        out[f, 0], out[f, 1], out[f, 2] = _face_vector(vertices, faces[f])


@numba.njit(cache=True, nogil=True)
def _face_areas(vertices: NDArray[np.floating], faces: NDArray[np.integer], out: NDArray[np.float64]) -> None:
    for f in range(len(faces)):
        x, y, z = _face_vector(vertices, faces[f])
        out[f] = np.sqrt(x * x + y * y + z * z) / 2


@numba.njit(cache=True, nogil=True)
def _add_normals(vertices: NDArray[np.floating], faces: NDArray[np.integer], out: NDArray[np.float64]) -> None:
    for f in range(len(faces)):
        x, y, z = _face_vector(vertices, faces[f])
        for k in range(3):
            out[faces[f, k], 0] += x
            out[faces[f, k], 1] += y
            out[faces[f, k], 2] += z
    for v in range(len(out)):
        length = np.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2)
        if length > 0:
            out[v] /= length
        else:
            out[v, 0], out[v, 1], out[v, 2] = 0, 0, 1


@dataclass(frozen=True)
class Edges:
    """Undirected edges of a mesh."""

    vertices: NDArray[np.int64]
    """(E, 2) ascending in each row; rows sorted."""
    of_face: NDArray[np.int64]
    """(F, 3) the edge from corner k to corner k + 1."""
    faces: NDArray[np.int64]
    """(E,) how many faces share the edge: 1 at a border, 2 inside, more where it is not manifold."""

    @classmethod
    def of(cls, faces: NDArray[np.integer]) -> Edges:
        return cls(*_edges(faces, int(faces.max(initial=0)) + 1))

    def face_pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(P, 2) pairs of faces that share a manifold edge, and (P,) which edge."""
        found: tuple[NDArray[np.int64], NDArray[np.int64]] = _pairs(self.of_face, self.faces)
        return found


@numba.njit(cache=True, nogil=True)
def _edges(faces: NDArray[np.integer], vertices: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The fields of ``Edges``: edges sorted by their lower end in one count, those of each lower end by the other."""
    sides = faces.size
    start = np.zeros(vertices + 1, np.int64)
    for f in range(len(faces)):
        for k in range(3):
            start[min(faces[f, k], faces[f, (k + 1) % 3]) + 1] += 1
    start = np.cumsum(start)
    place, upper, side = start[:-1].copy(), np.empty(sides, np.int64), np.empty(sides, np.int64)
    for f in range(len(faces)):
        for k in range(3):
            lower = min(faces[f, k], faces[f, (k + 1) % 3])
            upper[place[lower]], side[place[lower]] = max(faces[f, k], faces[f, (k + 1) % 3]), 3 * f + k
            place[lower] += 1
    ends, of_face, sharing = np.empty((sides, 2), np.int64), np.empty((len(faces), 3), np.int64), np.zeros(sides, np.int64)
    count = 0
    for lower in range(vertices):
        first, last = start[lower], start[lower + 1]
        order = first + np.argsort(upper[first:last], kind="mergesort") if last - first > _MANY else _sorted(upper, first, last)
        for n in range(last - first):
            if n == 0 or upper[order[n]] != ends[count - 1, 1]:
                ends[count, 0], ends[count, 1] = lower, upper[order[n]]
                count += 1
            sharing[count - 1] += 1
            of_face[side[order[n]] // 3, side[order[n]] % 3] = count - 1
    return ends[:count].copy(), of_face, sharing[:count].copy()


@numba.njit(cache=True, nogil=True)
def _sorted(values: NDArray[np.int64], first: int, last: int) -> NDArray[np.int64]:
    """Places of the few values from first to last in ascending order, equal ones as they come."""
    order = np.arange(first, last)
    for n in range(1, len(order)):
        place, at = order[n], n
        while at > 0 and values[order[at - 1]] > values[place]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = place
    return order


@numba.njit(cache=True, nogil=True)
def _pairs(of_face: NDArray[np.int64], sharing: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """See ``Edges.face_pairs``."""
    first = np.full(len(sharing), -1)
    pairs, edges = np.empty((len(sharing), 2), np.int64), np.flatnonzero(sharing == 2)
    rank = np.cumsum(sharing == 2) - 1
    for f in range(len(of_face)):
        for k in range(3):
            edge = of_face[f, k]
            if sharing[edge] != 2:
                continue
            if first[edge] < 0:
                first[edge] = f
            else:
                pairs[rank[edge], 0], pairs[rank[edge], 1] = first[edge], f
    return pairs[: len(edges)].copy(), edges


def face_neighbours(pairs: NDArray[np.int64], faces: int) -> NDArray[np.int32]:
    """(F, 3) neighbouring faces, -1 where there is none; ``pairs`` (P, 2) as ``Edges.face_pairs`` gives them."""
    table, count = np.full((faces, 3), -1, np.int32), np.zeros(faces, np.int8)
    _note(table, count, pairs[:, 0], pairs[:, 1])
    _note(table, count, pairs[:, 1], pairs[:, 0])
    return table


@numba.njit(cache=True, nogil=True)
def _note(table: NDArray[np.int32], count: NDArray[np.int8], of: NDArray[np.int64], neighbours: NDArray[np.int64]) -> None:
    for n in range(len(of)):
        table[of[n], count[of[n]]] = neighbours[n]
        count[of[n]] += 1


def components(pairs: NDArray[np.integer], count: int) -> NDArray[np.int32]:
    """(count,) number of the connected component of each node, given (P, 2) links; components are numbered by their first node."""
    return components_within(pairs, np.zeros(count, np.int8))


def components_within(pairs: NDArray[np.integer], group: NDArray[np.integer]) -> NDArray[np.int32]:
    """As ``components`` of (N,) nodes, by the links within a group alone; nodes of a group below 0 are linked to none."""
    root = np.arange(len(group), dtype=np.int32)
    _link(root, pairs, group)
    number: NDArray[np.int32] = _numbered(root)[0]
    return number


@numba.njit(cache=True, nogil=True)
def _root(root: NDArray[np.int32], node: int) -> int:
    """The least node known to be connected; shortens the way to it."""
    while root[node] != node:
        root[node] = root[root[node]]
        node = root[node]
    return node


@numba.njit(cache=True, nogil=True)
def _link(root: NDArray[np.int32], pairs: NDArray[np.integer], group: NDArray[np.integer]) -> None:
    for n in range(len(pairs)):
        if group[pairs[n, 0]] >= 0 and group[pairs[n, 0]] == group[pairs[n, 1]]:
            _join(root, pairs[n, 0], pairs[n, 1])


@numba.njit(cache=True, nogil=True)
def _join(root: NDArray[np.int32], one: int, other: int) -> None:
    a, b = _root(root, one), _root(root, other)
    root[max(a, b)] = min(a, b)


@numba.njit(cache=True, nogil=True)
def _numbered(root: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(N,) number of each node's component, and the first node of each."""
    number, first, count = np.empty_like(root), np.empty_like(root), 0
    for node in range(len(root)):
        if root[node] == node:
            number[node], first[count] = count, node
            count += 1
        else:  # roots are the least of their components, and have their number by now
            number[node] = number[_root(root, node)]
    return number, first[:count].copy()


def used_only(vertices: NDArray[np.float64], faces: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertices that a face uses, in their order, and the faces on them."""
    used = np.zeros(len(vertices), bool)
    used[faces] = True
    return vertices[used], (np.cumsum(used) - 1)[faces].astype(np.int32)


def split_bowties(
    vertices: NDArray[np.float64], faces: NDArray[np.integer], edges: Edges | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Give each fan of faces a vertex of its own where several meet in one vertex only; vertices that no face uses go."""
    pairs, _ = (edges or Edges.of(faces)).face_pairs()
    root = np.arange(faces.size, dtype=np.int32)
    _link_fans(root, faces, pairs)
    fan, first = _numbered(root)
    # numbered by (vertex, first corner), so that a mesh without bow-ties keeps its order
    order = np.argsort(faces.ravel()[first], kind="stable")
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return vertices[faces.ravel()[first][order]], rank[fan].reshape(-1, 3)


@numba.njit(cache=True, nogil=True)
def _link_fans(root: NDArray[np.int32], faces: NDArray[np.integer], pairs: NDArray[np.int64]) -> None:
    """Link the corners of neighbouring faces that lie on the same vertex."""
    for n in range(len(pairs)):
        a, b = pairs[n, 0], pairs[n, 1]
        for k in range(3):
            for m in range(3):
                if faces[a, k] == faces[b, m]:
                    _join(root, 3 * a + k, 3 * b + m)
