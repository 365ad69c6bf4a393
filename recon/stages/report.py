"""Stage ``report``: what is said of the run, for programs and for people."""

from __future__ import annotations

from pathlib import Path

from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work

_STAGES = (
    *("ingest", "select", "features", "pairs", "matches", "sfm", "recover", "georef"),
    *("undistort", "depth", "fuse", "sample", "surface", "mesh", "texture", "products"),
)
_SECTIONS = tuple(name for name in Config.model_fields if name != "seed")


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    from recon.products.report.write import write_report

    write_report(config, inputs, out, work)


stage = Stage("report", needs=_STAGES, run=run, reads=_SECTIONS, seeded=True, memory_mb=2000, version=3)
