"""sample: the dense cloud as oriented samples of bounded number, through which a surface is laid."""

from __future__ import annotations

from pathlib import Path

from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work

SAMPLES_FILE = "samples.npz"


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    from recon.dense.view import Points
    from recon.surface.thin import thin

    parts = (Points.load(folder / "points.npz") for folder in inputs["fuse"])
    thin(parts, config.mesh.max_points, work.threads).save(out / SAMPLES_FILE)


stage = Stage("sample", ("fuse",), run, reads=("mesh",), memory_mb=2500, version=2)
