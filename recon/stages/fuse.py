"""fuse: one coloured point for every piece of surface that several depth maps agree on."""

from __future__ import annotations

from pathlib import Path

from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work

SHARD_VIEWS = 8
MAX_NEIGHBOURS = 10


def split(config: Config, inputs: Inputs) -> list[Shard]:
    import pycolmap

    from recon.dense.covisibility import SparsePoints
    from recon.dense.view import read_views

    views = read_views(inputs)
    points = SparsePoints.read(pycolmap.Reconstruction(inputs["georef"][0] / "model"), views)
    neighbours = [[int(j) for j in others[:MAX_NEIGHBOURS]] for others in points.covisible()]
    shards = []
    for start in range(0, len(views), SHARD_VIEWS):
        block = range(start, min(start + SHARD_VIEWS, len(views)))
        shards.append({"views": list(block), "neighbours": [neighbours[i] for i in block]})
    return shards


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import cv2
    import numpy as np
    from recon.capture.pixels import read_rgb
    from recon.dense.fusion import Agreement, Seen, fuse_view
    from recon.dense.view import DepthMap, Points, read_views

    views = read_views(inputs)
    cache = {}

    def load(i):
        if i not in cache:
            p = next(f for folder in inputs["depth"] if (f := folder / "depth" / f"{views[i].name}.npz").exists())
            cache[i] = Seen(views[i], DepthMap.load(p))
        return cache[i]

    parts = []
    for i, others in zip(shard["views"], shard["neighbours"]):
        ref = load(i)
        h, w = ref.map.depth.shape
        rgb = cv2.resize(read_rgb(views[i].path), (w, h), interpolation=cv2.INTER_AREA)
        ag = Agreement(min(config.fuse.min_views, len(others) + 1), config.fuse.max_depth_error, config.fuse.max_reproj_error_px)
        parts.append(fuse_view(i, ref, ((j, load(j)) for j in others), rgb, ag))
    Points.concatenate(parts).save(out / "points.npz")


stage = Stage("fuse", ("undistort", "depth", "georef"), run, split)
