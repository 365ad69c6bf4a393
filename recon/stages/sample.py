"""sample: the dense cloud as oriented samples of bounded number, through which a surface is laid, and in which parts."""

from __future__ import annotations

from pathlib import Path

from recon.capture.records import write_json
from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work

SAMPLES_FILE = "samples.npz"
PARTS_FILE = "parts.json"


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    from recon.dense.view import Points
    from recon.surface.build import plan
    from recon.surface.thin import thin
    from recon.threads import both

    parts = (Points.load(folder / "points.npz") for folder in inputs["fuse"])
    samples = thin(parts, config.mesh.max_points, work.threads)
    _, jobs = both(lambda: samples.save(out / SAMPLES_FILE), lambda: plan(samples, config.mesh), work.threads)
    write_json(out / PARTS_FILE, {"samples": len(samples.xyz), "jobs": [dict(job) for job in jobs]})


stage = Stage("sample", ("fuse",), run, reads=("mesh",), memory_mb=2500, version=4, loads=("scipy.spatial",))
