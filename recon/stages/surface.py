"""surface: surfaces through the samples, block by block, or through what a sensor measured."""

from __future__ import annotations

from pathlib import Path

from recon.capture.records import read_json
from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work
from recon.stages.sample import PARTS_FILE, SAMPLES_FILE

BASE_MB, SAMPLES_MB, BLOCK_MB = 500, 150, 350
"""What a shard needs, and more for each million samples that it reads and that lie in its block (measured)."""
TSDF_MB = 1500
"""Of a mesh of measured depth: 850 MB with 1.7 million triangles (measured), of which there are no more than some two."""


def split(config: Config, inputs: Inputs) -> list[Shard]:
    from recon.surface.blocks import MOST_SAMPLES

    told = read_json(inputs["sample"][0] / PARTS_FILE)
    jobs, count = told["jobs"], told["samples"]
    if config.mesh.mode == "tsdf":
        return [{"job": job, "memory_mb": TSDF_MB} for job in jobs]
    most = count if len(jobs) == 1 else MOST_SAMPLES
    return [{"job": job, "memory_mb": BASE_MB + (SAMPLES_MB * count + BLOCK_MB * most) // 10**6} for job in jobs]


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    from recon.dense.view import read_views
    from recon.surface.build import lay, lay_measured
    from recon.surface.thin import Samples

    if config.mesh.mode == "tsdf":
        lay_measured(read_views(inputs), work).save(out)
        return
    lay(Samples.load(inputs["sample"][0] / SAMPLES_FILE), config.mesh, shard["job"]).save(out)


stage = Stage("surface", ("undistort", "sample"), run, split, reads=("mesh",), memory_mb=2000)
