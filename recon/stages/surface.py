"""surface: surfaces through the samples, block by block."""

from __future__ import annotations

from pathlib import Path

from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work
from recon.stages.sample import SAMPLES_FILE

BASE_MB, SAMPLES_MB, BLOCK_MB = 500, 150, 350
"""What a shard needs, and more for each million samples that it reads and that lie in its block (measured)."""


def split(config: Config, inputs: Inputs) -> list[Shard]:
    from recon.surface.blocks import MOST_SAMPLES
    from recon.surface.build import plan
    from recon.surface.thin import Samples

    samples = Samples.load(inputs["sample"][0] / SAMPLES_FILE)
    jobs = plan(samples, config.mesh)
    count = len(samples.xyz)
    most = count if len(jobs) == 1 else MOST_SAMPLES
    return [{"job": job, "memory_mb": BASE_MB + (SAMPLES_MB * count + BLOCK_MB * most) // 10**6} for job in jobs]


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    from recon.surface.build import lay
    from recon.surface.thin import Samples

    lay(Samples.load(inputs["sample"][0] / SAMPLES_FILE), config.mesh, shard["job"]).save(out)


stage = Stage("surface", ("sample",), run, split, reads=("mesh",), memory_mb=2000)
