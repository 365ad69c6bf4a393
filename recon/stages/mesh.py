"""mesh: a surface through the dense cloud, with a stated number of triangles."""

from __future__ import annotations

from pathlib import Path

from recon.capture.records import write_json
from recon.config import Config
from recon.dense.view import Points
from recon.stage import Inputs, Shard, Stage, Work


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    from recon.surface.build import build_mesh
    from recon.surface.mesh import MESH_FILE

    parts = (Points.load(folder / "points.npz") for folder in inputs["fuse"])
    mesh, summary = build_mesh(parts, config.mesh, work)
    mesh.save(out / MESH_FILE)
    write_json(out / "mesh.json", summary)


stage = Stage("mesh", ("fuse",), run, memory_mb=4000, version=6)
