"""depth: a depth map for every view, from rectified pairs on the CPU or patch-match stereo on CUDA."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from recon.config import Config
from recon.errors import MissingPart, NoSurface
from recon.stage import Inputs, Shard, Stage, Work

if TYPE_CHECKING:
    from recon.dense.covisibility import SparsePoints
    from recon.dense.stereo import Candidate, Frame

SHARD_VIEWS = 8
SWEEP_SOURCES = 4
CUDA_SOURCES = 12
LEAST_PAIRS = 2
"""A view with fewer pairs than this (the camera moved along its view) is swept instead."""


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """Blocks of views in image order, each with the pairs that any of its views takes part in."""
    import pycolmap

    from recon.dense.covisibility import SparsePoints, stereo_neighbours, sweep_neighbours
    from recon.dense.view import read_views

    views = read_views(inputs)
    points = SparsePoints.read(pycolmap.Reconstruction(inputs["georef"][0] / "model"), views)
    angles = (config.depth.min_angle_deg, config.depth.max_angle_deg)
    neighbours = stereo_neighbours(views, points, config.depth.pairs_a_view, angles)
    pairs = sorted({(min(i, j), max(i, j)) for i, others in enumerate(neighbours) for j in others})
    paired = Counter(view for pair in pairs for view in pair)
    sweeps = {i: sweep_neighbours(i, views, points, SWEEP_SOURCES, angles) for i in range(len(views)) if paired[i] < LEAST_PAIRS}
    if not pairs and not any(sweeps.values()):
        raise NoSurface(
            f"no two of the {len(views)} views see the same points from directions {angles[0]:g} to {angles[1]:g} degrees apart",
            "Move sideways between photos, about a tenth of the distance to the subject",
        )
    shards: list[Shard] = []
    for start in range(0, len(views), SHARD_VIEWS):
        block = range(start, min(start + SHARD_VIEWS, len(views)))
        shards.append(
            {
                "views": list(block),
                "pairs": [list(pair) for pair in pairs if pair[0] in block or pair[1] in block],
                "sweeps": [[i, sweeps[i]] for i in block if sweeps.get(i)],
            }
        )
    return shards


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import cv2
    import numpy as np
    import pycolmap

    from recon.dense.covisibility import SparsePoints
    from recon.dense.stereo import Frames, pair_depths
    from recon.dense.sweep import sweep_depth
    from recon.dense.view import read_views

    cv2.setNumThreads(work.threads)
    views = read_views(inputs)
    points = SparsePoints.read(pycolmap.Reconstruction(inputs["georef"][0] / "model"), views)
    if config.depth.method == "cuda" or (config.depth.method == "auto" and work.device.startswith("cuda")):
        _run_cuda(config, inputs, shard, out, work, points)
        return
    frames = Frames(views, config.depth.max_size_px)
    candidates: dict[int, list[Candidate]] = {i: [] for i in shard["views"]}
    steps = len(shard["pairs"]) + len(shard["sweeps"])
    for n, (i, sources) in enumerate(shard["sweeps"]):
        swept = sweep_depth(frames[i], [frames[j] for j in sources], points.xyz[points.seen[i]])
        candidates[i] += [swept] if swept else []
        work.tell((n + 1) / steps)
    last = {view: n for n, pair in enumerate(shard["pairs"]) for view in pair}
    for n, (i, j) in enumerate(shard["pairs"]):
        found = pair_depths(frames[i], frames[j], points.xyz[np.union1d(points.seen[i], points.seen[j])])
        for view, candidate in zip((i, j), found or (), strict=False):
            if view in candidates:
                candidates[view].append(candidate)
        for view in (i, j):
            if last[view] == n:  # no pair needs it any more
                _write(out, views[view].name, frames[view], candidates.pop(view, None))
                frames.drop(view)
        work.tell((len(shard["sweeps"]) + n + 1) / steps)
    for view, rest in candidates.items():
        _write(out, views[view].name, frames[view], rest)


def _run_cuda(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work, points: SparsePoints) -> None:
    import pycolmap

    from recon.dense.covisibility import sweep_neighbours
    from recon.dense.patchmatch import patchmatch_depths
    from recon.dense.view import read_views

    if not work.device.startswith("cuda"):
        raise MissingPart("depth.method is cuda, and no CUDA device is at hand", "Leave it at auto, or install pycolmap with CUDA")
    views = read_views(inputs)
    angles = (config.depth.min_angle_deg, config.depth.max_angle_deg)
    sources = [sweep_neighbours(i, views, points, CUDA_SOURCES, angles) for i in range(len(views))]
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    gpu = int(work.device.partition(":")[2] or 0)
    for i, found in patchmatch_depths(views, model, shard["views"], sources, config.depth.max_size_px, gpu).items():
        found.save(out / "depth" / f"{views[i].name}.npz")


def _write(out: Path, name: str, frame: Frame, candidates: list[Candidate] | None) -> None:
    from recon.dense.stereo import agree

    if candidates is not None:
        agree(candidates, frame.pose).save(out / "depth" / f"{name}.npz")


stage = Stage("depth", ("georef", "undistort"), run, split, gpu=True)
