"""depth: a depth map for every view, from rectified pairs on the CPU or patch-match stereo on CUDA."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recon.config import Config
from recon.errors import NoSurface
from recon.stage import Inputs, Shard, Stage, Work

if TYPE_CHECKING:
    from recon.dense.stereo import Candidate, Frame

SHARD_VIEWS = 8


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """Blocks of views in image order, each with the pairs that any of its views takes part in."""
    import pycolmap

    from recon.dense.covisibility import SparsePoints, stereo_neighbours
    from recon.dense.view import read_views

    views = read_views(inputs)
    points = SparsePoints.read(pycolmap.Reconstruction(inputs["georef"][0] / "model"), views)
    angles = (config.depth.min_angle_deg, config.depth.max_angle_deg)
    neighbours = stereo_neighbours(views, points, config.depth.pairs_a_view, angles)
    pairs = sorted({(min(i, j), max(i, j)) for i, others in enumerate(neighbours) for j in others})
    if not pairs:
        raise NoSurface(
            f"no two of the {len(views)} views see the same points from directions {angles[0]:g} to {angles[1]:g} degrees apart",
            "Move sideways between photos, about a tenth of the distance to the subject",
        )
    shards = []
    for start in range(0, len(views), SHARD_VIEWS):
        block = range(start, min(start + SHARD_VIEWS, len(views)))
        shards.append({"views": list(block), "pairs": [list(pair) for pair in pairs if pair[0] in block or pair[1] in block]})
    return shards


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import cv2
    import numpy as np
    import pycolmap

    from recon.dense.covisibility import SparsePoints
    from recon.dense.stereo import agree, load_frame, pair_depths
    from recon.dense.view import read_views

    cv2.setNumThreads(work.threads)
    views = read_views(inputs)
    points = SparsePoints.read(pycolmap.Reconstruction(inputs["georef"][0] / "model"), views)
    frames: dict[int, Frame] = {}
    candidates: dict[int, list[Candidate]] = {i: [] for i in shard["views"]}
    last = {}
    for n, (i, j) in enumerate(shard["pairs"]):
        last[i] = n
        last[j] = n
    for n, (i, j) in enumerate(shard["pairs"]):
        for k in (i, j):
            if k not in frames:
                frames[k] = load_frame(views[k], config.depth.max_size_px)
        seen = np.union1d(points.seen[i], points.seen[j])
        found = pair_depths(frames[i], frames[j], points.xyz[seen])
        if found is not None:
            for k, c in zip((i, j), found):
                if k in candidates:
                    candidates[k].append(c)
        for k in (i, j):
            if last[k] == n:
                if k in candidates:
                    m = agree(candidates.pop(k), frames[k].pose)
                    m.save(out / "depth" / f"{views[k].name}.npz")
                del frames[k]


stage = Stage("depth", ("georef", "undistort"), run, split, gpu=True)
