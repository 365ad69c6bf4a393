"""Fewer faces of the same shape, and a mesh without tangles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recon.surface.collapse import collapse_edges
from recon.surface.mesh import Edges, face_areas, split_bowties

_BORDER_WEIGHT = 3.0


def simplify(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], target: int, threads: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """At most ``target`` faces by quadric edge collapse, manifold, without unused vertices.

    Handles and separate pieces hold the collapse up. Where that leaves too many faces, one goes on that asks nothing of connectivity,
    and what it tangles is cut away.
    """
    vertices, faces = _clean(vertices, faces)
    if len(faces) > target:
        vertices, faces = collapse_edges(vertices, faces, target, threads)
    wanted = target
    while len(faces) > target and wanted >= 4:
        vertices, faces = _clean(*_collapsed(vertices, faces, wanted))
        wanted = wanted * 9 // 10
    return vertices, faces


def _clean(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Every edge in at most two faces, every vertex in one fan, no degenerate or doubled face, no unused vertex."""
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    edges = Edges.of(faces)
    for stays in (_single, _two_an_edge):
        kept = stays(vertices, faces, edges)
        if not kept.all():
            faces = faces[kept]
            edges = Edges.of(faces)
    return split_bowties(vertices, faces, edges)


def _single(_vertices: NDArray[np.float64], faces: NDArray[np.int32], edges: Edges) -> NDArray[np.bool_]:
    """(F,) the first of all faces with the same three corners."""
    # an edge and the corner opposite tell a face: the edge between the lower two, for one
    highest, of_row = faces.argmax(axis=1), np.arange(len(faces))
    key = edges.of_face[of_row, (highest + 1) % 3] * (int(faces.max(initial=0)) + 1) + faces[of_row, highest]
    ordered = np.sort(key)
    first = np.ones(len(faces), bool)
    if (ordered[1:] == ordered[:-1]).any():
        first[:] = False
        first[np.unique(key, return_index=True)[1]] = True
    return first


def _two_an_edge(vertices: NDArray[np.float64], faces: NDArray[np.int32], edges: Edges) -> NDArray[np.bool_]:
    """(F,) which faces are among the largest two at each of their edges."""
    stays = np.ones(len(faces), bool)
    face, corner = np.nonzero(edges.faces[edges.of_face] > 2)
    edge, area = edges.of_face[face, corner], face_areas(vertices, faces[face])
    order = np.lexsort((face, -area, edge))
    face, edge = face[order], edge[order]
    stays[face[2:][edge[2:] == edge[:-2]]] = False
    return stays


def _collapsed(vertices: NDArray[np.float64], faces: NDArray[np.int32], target: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    import open3d as o3d

    mesh = o3d.geometry.TriangleMesh(o3d.utility.Vector3dVector(vertices), o3d.utility.Vector3iVector(faces))
    mesh = mesh.simplify_quadric_decimation(target, boundary_weight=_BORDER_WEIGHT)
    return np.array(mesh.vertices), np.array(mesh.triangles, dtype=np.int32)
