"""Stage ``products``: what a user takes away, in one folder and one frame."""

from __future__ import annotations

from pathlib import Path

from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    from recon.products.files import write_products

    write_products(config, inputs, out, work)


_NEEDS = ("ingest", "select", "recover", "georef", "undistort", "fuse", "texture", "trajectory")
stage = Stage("products", needs=_NEEDS, run=run, reads=("products", "trajectory"), memory_mb=3000, version=8)
