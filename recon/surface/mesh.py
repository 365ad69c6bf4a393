"""The triangle mesh that the surface stages hand on, and what its connectivity says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

MESH_FILE = "mesh.npz"


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
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    return np.cross(b - a, c - a)


def face_areas(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.float64]:
    """(F,) in squared world units."""
    return np.asarray(np.linalg.norm(face_vectors(vertices, faces), axis=1) / 2)


def vertex_normals(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.float32]:
    """(V, 3) unit normals, the faces around a vertex weighted by area; z where there is no face."""
    normals = np.zeros((len(vertices), 3))
    per_face = face_vectors(vertices, faces)
    for axis in range(3):
        for corner in range(3):
            normals[:, axis] += np.bincount(faces[:, corner], per_face[:, axis], minlength=len(vertices))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 0, normals / np.where(length > 0, length, 1), [0.0, 0.0, 1.0]).astype(np.float32)


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
        next_ones, count = np.roll(faces, -1, axis=1), int(faces.max(initial=0)) + 1
        ends = np.minimum(faces, next_ones).astype(np.int64) * count + np.maximum(faces, next_ones)
        keys, of_face, sharing = np.unique(ends.ravel(), return_inverse=True, return_counts=True)
        return cls(np.stack([keys // count, keys % count], axis=1), of_face.reshape(-1, 3), sharing)

    def face_pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(P, 2) pairs of faces that share a manifold edge, and (P,) which edge."""
        order = np.argsort(self.of_face.ravel(), kind="stable")
        edge, face = self.of_face.ravel()[order], order // 3
        inside = np.flatnonzero((self.faces[edge[:-1]] == 2) & (edge[:-1] == edge[1:])) if len(edge) else np.zeros(0, np.int64)
        return np.stack([face[inside], face[inside + 1]], axis=1), edge[inside]


def components(pairs: NDArray[np.integer], count: int) -> NDArray[np.int32]:
    """(count,) number of the connected component of each node, given (P, 2) links."""
    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int32)


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
    links = [np.zeros((0, 2), np.int64)]
    for k in range(3):
        for m in range(3):
            same = faces[pairs[:, 0], k] == faces[pairs[:, 1], m]
            links.append(np.stack([pairs[same, 0] * 3 + k, pairs[same, 1] * 3 + m], axis=1))
    fan = components(np.concatenate(links), faces.size)
    _, first, of_corner = np.unique(fan, return_index=True, return_inverse=True)
    # numbered by (vertex, first corner), so that a mesh without bow-ties keeps its order
    order = np.lexsort((first, faces.ravel()[first]))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return vertices[faces.ravel()[first][order]], rank[of_corner].reshape(-1, 3).astype(np.int32)
