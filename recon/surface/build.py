"""From a dense cloud to a trimmed, simplified, coloured mesh."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.config import Mesh
from recon.dense.view import Points
from recon.errors import NoSurface
from recon.stage import Work
from recon.surface.closing import closed
from recon.surface.heightfield import height_field
from recon.surface.mesh import Edges, TriMesh, face_areas, vertex_normals
from recon.surface.poisson import reconstruct
from recon.surface.simplify import simplify
from recon.surface.thin import Samples, spacing, thin
from recon.surface.trim import trim, without_islands

_COLOUR_NEIGHBOURS = 8


def build_mesh(parts: Iterable[Points], options: Mesh, work: Work) -> tuple[TriMesh, dict[str, Any]]:
    """The surface of a cloud that comes in parts, and what ``mesh.json`` says of it. Raises NoSurface."""
    samples = thin(parts, options.max_points)
    work.tell(0.1)
    lay = _height_field if options.mode == "2.5d" else _closed if options.watertight else _trimmed
    vertices, faces, facts = lay(samples, options, work)
    if not len(faces):
        raise NoSurface(
            f"no part of the surface lies near the {len(samples.xyz)} points of the dense cloud",
            "Raise mesh.max_uncertainty, or take more photos",
        )
    work.tell(0.7)
    facts["faces_before_simplification"] = len(faces)
    vertices, faces = simplify(vertices, faces, options.faces)
    if not len(faces):
        raise NoSurface(f"nothing of the surface is left at {options.faces} faces", "Raise mesh.faces")
    work.tell(0.9)
    mesh = _dressed(vertices, faces, samples, work.threads)
    open_edges = int((Edges.of(faces).faces != 2).sum())
    summary = facts | {
        "mode": options.mode,
        "watertight": not open_edges,
        "faces": len(faces),
        "faces_asked": options.faces,
        "vertices": len(vertices),
        "area": float(face_areas(mesh.vertices, mesh.faces).sum()),
        "points": samples.given,
        "points_unusable": samples.unusable,
        "points_used": len(samples.xyz),
        "points_far": samples.far,
        "voxel": samples.voxel,
        "point_spacing": spacing(samples),
        "warnings": _warnings(samples, open_edges if options.watertight else 0),
    }
    return mesh, summary


_Laid = tuple[NDArray[np.float64], NDArray[np.int32], dict[str, Any]]
"""Vertices and faces before simplification, and what is to be said of them."""


def _trimmed(samples: Samples, options: Mesh, work: Work) -> _Laid:
    surface = reconstruct(samples, options.faces, options.depth)
    work.tell(0.5)
    trimmed = trim(surface, samples, options.max_uncertainty, options.max_hole, work.threads)
    facts = {
        "poisson_depth": surface.depth,
        "cell": surface.cell,
        "unsupported_share": trimmed.unsupported,
        "uncertain_share": trimmed.uncertain,
        "hole_width": trimmed.hole_width,
        "holes_closed": trimmed.holes_closed,
        "islands_removed": trimmed.islands_removed,
    }
    return surface.vertices, trimmed.faces, facts


def _closed(samples: Samples, options: Mesh, work: Work) -> _Laid:
    surface = reconstruct(samples, options.faces, options.depth)
    work.tell(0.5)
    vertices, faces, unsupported = closed(surface, samples, work.threads)
    return vertices, faces, {"poisson_depth": surface.depth, "cell": surface.cell, "unsupported_share": unsupported}


def _height_field(samples: Samples, options: Mesh, work: Work) -> _Laid:
    field = height_field(samples, options.faces, options.max_hole)
    work.tell(0.5)
    areas = face_areas(field.vertices, field.faces)
    keep, islands = without_islands(Edges.of(field.faces).face_pairs()[0], areas, np.ones(len(areas), bool))
    facts = {"cell": field.cell, "hole_width": field.hole_width, "holes_closed": field.holes_closed, "islands_removed": islands}
    return field.vertices, field.faces[keep], facts


def _dressed(vertices: NDArray[np.float64], faces: NDArray[np.int32], samples: Samples, threads: int) -> TriMesh:
    """The mesh with outward normals and colours from the samples around each vertex."""
    count = min(_COLOUR_NEIGHBOURS, len(samples.xyz))
    distance, near = samples.tree.query(vertices, k=count, workers=threads)
    weight = samples.weight[near] / np.maximum(distance, distance[:, -1:] * 1e-3 + 1e-30)
    weight /= weight.sum(axis=1, keepdims=True)
    rgb = np.einsum("vk,vkc->vc", weight, samples.rgb[near])
    normals = vertex_normals(vertices, faces)
    if np.einsum("vc,vc->", normals, samples.normal[near[:, 0]]) < 0:
        faces, normals = np.ascontiguousarray(faces[:, ::-1]), -normals
    return TriMesh(vertices.astype(np.float32), faces, normals, np.clip(rgb + 0.5, 0, 255).astype(np.uint8))


def _warnings(samples: Samples, gaps: int) -> list[str]:
    """``gaps`` are the open edges of a mesh that should have none."""
    warnings = []
    if samples.unusable:
        warnings.append(f"{samples.unusable} of {samples.given} points had no finite place or normal and were left out")
    if samples.far:
        warnings.append(f"{samples.far} points lie far from all others and were left out of the mesh")
    if gaps:
        warnings.append(f"the mesh was to be watertight and is not: {gaps} of its edges are open; other mesh.faces may close them")
    return warnings
