"""From samples of a dense cloud to a trimmed, simplified, coloured mesh: planned, laid part by part, finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.capture.records import read_json, write_json
from recon.config import Mesh
from recon.dense.view import View
from recon.errors import NoSurface
from recon.stage import Work
from recon.surface.blocks import Block, block_surface, join, split
from recon.surface.closing import closed
from recon.surface.mesh import Edges, TriMesh, face_areas, vertex_normals
from recon.surface.poisson import Cube, Surface, cube_about
from recon.surface.simplify import simplify
from recon.surface.thin import Samples
from recon.surface.trim import trim, without_islands
from recon.threads import both

_COLOUR_NEIGHBOURS = 8
_MUCH_CLOSED = 0.05  # of the area: so much that no point supports is worth a warning
_PART_FILE, _FACTS_FILE = "part.npz", "part.json"

Job = Mapping[str, Any]
"""Which part of a surface to lay, as JSON: a block of the octree's cube; nothing for what is laid as one."""


@dataclass(frozen=True)
class Part:
    """A part of a surface, before any of it is cut away."""

    vertices: NDArray[np.float64]
    """(V, 3) world."""
    faces: NDArray[np.int32]
    facts: dict[str, Any]
    """What is to be said of it."""
    job: Job

    def save(self, folder: Path) -> None:
        np.savez(folder / _PART_FILE, vertices=self.vertices, faces=self.faces)
        write_json(folder / _FACTS_FILE, {"facts": self.facts, "job": dict(self.job)})

    @classmethod
    def load(cls, folder: Path) -> Part:
        told = read_json(folder / _FACTS_FILE)
        with np.load(folder / _PART_FILE) as arrays:
            return cls(arrays["vertices"], arrays["faces"], told["facts"], told["job"])


def plan(samples: Samples, options: Mesh) -> list[Job]:
    """The parts that a surface is laid in, side by side. One that is to be closed is laid as one."""
    if options.mode != "3d":
        return [{}]
    cube = cube_about(samples, options.faces, options.depth)
    blocks = [Block.whole(cube)] if options.watertight else split(samples, cube)
    return [{"cube": asdict(cube), "block": asdict(block)} for block in blocks]


def lay(samples: Samples, options: Mesh, job: Job) -> Part:
    """One part of the surface. Raises NoSurface."""
    if options.mode == "2.5d":
        return _height_field(samples, options)
    cube, block = _where(job)
    return Part(*block_surface(samples, cube, block), {}, job)


def lay_measured(views: Sequence[View], work: Work) -> Part:
    """The whole surface through what a sensor measured. Raises NoSurface."""
    from recon.surface.tsdf import measured_surface  # here, since planning needs nothing of it

    surface = measured_surface(views, work.tell)
    areas = face_areas(surface.vertices, surface.faces)
    keep, islands = without_islands(Edges.of(surface.faces).face_pairs()[0], areas, np.ones(len(areas), bool))
    facts = {"cell": surface.voxel, "measured_views": surface.views, "islands_removed": islands}
    return Part(surface.vertices, surface.faces[keep], facts, {})


def finish(samples: Samples, parts: Sequence[Part], options: Mesh, work: Work) -> tuple[TriMesh, dict[str, Any]]:
    """The mesh that the parts make up, and what ``mesh.json`` says of it. Raises NoSurface."""
    vertices, faces, facts = _cut(samples, parts, options, work.threads)
    if not len(faces):
        raise NoSurface(
            f"no part of the surface lies near the {len(samples.xyz)} points of the dense cloud",
            "Raise mesh.max_uncertainty, or take more photos",
        )
    work.tell(0.4)
    facts["faces_before_simplification"] = len(faces)
    vertices, faces = simplify(vertices, faces, options.faces, work.threads)
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
        "point_spacing": samples.spacing,
        "blocks": len(parts),
        "warnings": _warnings(samples, open_edges if options.watertight else 0, facts.get("closed_share", 0.0)),
    }
    return mesh, summary


_Laid = tuple[NDArray[np.float64], NDArray[np.int32], dict[str, Any]]
"""Vertices and faces before simplification, and what is to be said of them."""


def _where(job: Job) -> tuple[Cube, Block]:
    cube, block = job["cube"], job["block"]
    x, y, z = cube["centre"]
    return Cube((x, y, z), cube["side"], cube["scale"], cube["depth"]), Block(tuple(block["low"]), tuple(block["high"]))


def _joined(parts: Sequence[Part]) -> Surface:
    places = [_where(part.job) for part in parts]
    surface = join([(part.vertices, part.faces) for part in parts], [block for _, block in places], places[0][0])
    if not len(surface.faces):
        raise NoSurface("no surface passes through the points of the dense cloud", "Take more photos from more sides")
    return surface


def _cut(samples: Samples, parts: Sequence[Part], options: Mesh, threads: int) -> _Laid:
    """What stays of the surface that was laid."""
    if options.mode != "3d":
        return parts[0].vertices, parts[0].faces, dict(parts[0].facts)
    surface, _ = both(lambda: _joined(parts), lambda: samples.tree, threads)  # all that follows asks for the tree
    facts: dict[str, Any] = {"poisson_depth": surface.depth, "cell": surface.cell}
    if options.watertight:
        vertices, faces, unsupported = closed(surface, samples, threads)
        return vertices, faces, facts | {"unsupported_share": unsupported}
    trimmed = trim(surface, samples, options, threads)
    facts |= {
        "unsupported_share": trimmed.unsupported,
        "uncertain_share": trimmed.uncertain,
        "hole_width": trimmed.hole_width,
        "flat_hole_width": trimmed.flat_hole_width,
        "holes_closed": trimmed.holes_closed,
        "closed_share": trimmed.closed_share,
        "islands_removed": trimmed.islands_removed,
    }
    return surface.vertices, trimmed.faces, facts


def _height_field(samples: Samples, options: Mesh) -> Part:
    from recon.surface.heightfield import height_field  # here, since it takes a tenth of a second to load

    field = height_field(samples, options.faces, options.max_hole)
    areas = face_areas(field.vertices, field.faces)
    keep, islands = without_islands(Edges.of(field.faces).face_pairs()[0], areas, np.ones(len(areas), bool))
    facts = {"cell": field.cell, "hole_width": field.hole_width, "holes_closed": field.holes_closed, "islands_removed": islands}
    return Part(field.vertices, field.faces[keep], facts, {})


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


def _warnings(samples: Samples, gaps: int, closed_share: float) -> list[str]:
    """``gaps`` are the open edges of a mesh that should have none; ``closed_share`` of its area lies in closed holes."""
    warnings = []
    if samples.unusable:
        warnings.append(f"{samples.unusable} of {samples.given} points had no finite place or normal and were left out")
    if samples.far:
        warnings.append(f"{samples.far} points lie far from all others and were left out of the mesh")
    if gaps:
        warnings.append(f"the mesh was to be watertight and is not: {gaps} of its edges are open; other mesh.faces may close them")
    if closed_share >= _MUCH_CLOSED:
        warnings.append(
            f"{100 * closed_share:.0f} % of the mesh lies in closed holes, where no point supports it; "
            "mesh.max_flat_hole and mesh.max_hole say how wide they may be"
        )
    return warnings
