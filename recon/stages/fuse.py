"""fuse: one coloured point for every piece of surface that several depth maps agree on."""

from __future__ import annotations

from pathlib import Path

from recon.capture.records import write_json
from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work

SHARD_VIEWS = 8
MAX_NEIGHBOURS = 10
MAX_KEPT = 12
"""Depth maps in memory at once: a view, its neighbours, and those that the next view shares."""


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """Blocks of reference views in image order, each with the views that see the same points."""
    import pycolmap

    from recon.dense.covisibility import SparsePoints
    from recon.dense.view import read_views

    views = read_views(inputs)
    points = SparsePoints.read(pycolmap.Reconstruction(inputs["georef"][0] / "model"), views)
    neighbours = [[int(j) for j in others[:MAX_NEIGHBOURS]] for others in points.covisible]
    shards: list[Shard] = []
    blocks = -(-len(views) // SHARD_VIEWS)
    for start in range(0, len(views), SHARD_VIEWS):
        block = range(start, min(start + SHARD_VIEWS, len(views)))
        shards.append({"views": list(block), "neighbours": [neighbours[i] for i in block], "shards": blocks})
    return shards


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import cv2
    import numpy as np

    from recon.capture.pixels import read_rgb
    from recon.dense.fusion import Agreement, Seen, floating, fuse_view, spacing
    from recon.dense.view import DepthMap, Points, check_not_empty, read_views

    cv2.setNumThreads(work.threads)
    views = read_views(inputs)
    kept: dict[int, Seen] = {}

    def seen(i: int) -> Seen:
        if i not in kept:
            while len(kept) >= MAX_KEPT:
                kept.pop(next(iter(kept)))
            depth_map = DepthMap.load(_depth_file(inputs, views[i].name))
            height, width = depth_map.depth.shape
            kept[i] = Seen(views[i], depth_map, cv2.resize(read_rgb(views[i].path), (width, height), interpolation=cv2.INTER_AREA))
        return kept[i]

    parts, spacings = [], []
    for n, (i, others) in enumerate(zip(shard["views"], shard["neighbours"], strict=True)):
        least = min(config.fuse.min_views, len(others) + 1)
        agreement = Agreement(least, config.fuse.max_depth_error, config.fuse.max_reproj_error_px)
        parts.append(fuse_view(i, seen(i), ((j, seen(j)) for j in others), agreement))
        spacings.append(spacing(parts[-1].xyz, seen(i)))
        work.tell((n + 1) / len(shard["views"]))
    points = Points.concatenate(parts)
    points = points.take(~floating(points.xyz, np.concatenate(spacings)))
    if shard["shards"] == 1:
        check_not_empty(points)
    points.save(out / "points.npz")
    few = sum(len(others) + 1 < config.fuse.min_views for others in shard["neighbours"])
    warnings = [f"{few} views have fewer than {config.fuse.min_views} views to agree with: fewer were asked for"] if few else []
    write_json(out / "fuse.json", {"points": len(points.xyz), "warnings": warnings})


def _depth_file(inputs: Inputs, name: str) -> Path:
    return next(file for folder in inputs["depth"] if (file := folder / "depth" / f"{name}.npz").is_file())


stage = Stage("fuse", ("undistort", "depth", "georef"), run, split, memory_mb=1200)
