"""mesh: the surface without what no point supports, with a stated number of triangles."""

from __future__ import annotations

from pathlib import Path

from recon.capture.records import write_json
from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work
from recon.stages.sample import SAMPLES_FILE


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    from recon.surface.build import Part, finish
    from recon.surface.mesh import MESH_FILE
    from recon.surface.thin import Samples
    from recon.threads import both

    samples, parts = both(
        lambda: Samples.load(inputs["sample"][0] / SAMPLES_FILE), lambda: [Part.load(folder) for folder in inputs["surface"]], work.threads
    )
    mesh, summary = finish(samples, parts, config.mesh, work)
    mesh.save(out / MESH_FILE)
    write_json(out / "mesh.json", summary)


stage = Stage("mesh", ("sample", "surface"), run, memory_mb=4000, version=12)
