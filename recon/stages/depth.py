"""depth: a depth map for every view, from rectified pairs on the CPU or patch-match stereo on CUDA."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.capture.records import write_json
from recon.config import Config
from recon.errors import MissingPart, NoSurface
from recon.stage import Inputs, Shard, Stage, Work

if TYPE_CHECKING:
    from recon.dense.covisibility import SparsePoints
    from recon.dense.stereo import Candidate
    from recon.dense.view import DepthMap

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
                "shards": -(-len(views) // SHARD_VIEWS),
            }
        )
    return shards


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import cv2
    import numpy as np
    import pycolmap

    from recon.dense.covisibility import SparsePoints
    from recon.dense.stereo import Frames, agree, pair_depths
    from recon.dense.sweep import sweep_depth
    from recon.dense.view import read_views

    cv2.setNumThreads(work.threads)
    views = read_views(inputs)
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    if config.depth.method == "cuda" or (config.depth.method == "auto" and work.device.startswith("cuda")):
        _run_cuda(config, inputs, shard, out, work, SparsePoints.read(model, views))
        return
    needed = {*shard["views"], *(view for pair in shard["pairs"] for view in pair)}
    points = SparsePoints.read(model, views, only=needed)
    frames = Frames(views, config.depth.max_size_px)
    candidates: dict[int, list[Candidate]] = {i: [] for i in shard["views"]}
    rows: list[dict[str, Any]] = []
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
                if view in candidates:
                    rows.append(_write(out, views[view].name, agree(candidates.pop(view), frames[view].pose)))
                frames.drop(view)
        work.tell((len(shard["sweeps"]) + n + 1) / steps)
    for view, rest in candidates.items():
        rows.append(_write(out, views[view].name, agree(rest, frames[view].pose)))
    _report(out, rows, alone=shard["shards"] == 1)


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
    found = patchmatch_depths(views, model, shard["views"], sources, config.depth.max_size_px, gpu)
    rows = [_write(out, views[i].name, depth_map) for i, depth_map in found.items()]
    _report(out, rows, alone=shard["shards"] == 1)


def _write(out: Path, name: str, depth_map: DepthMap) -> dict[str, Any]:
    """Saves a view's depth; its row of ``depth.json``."""
    depth_map.save(out / "depth" / f"{name}.npz")
    return {"name": name, "coverage": round(float((depth_map.depth > 0).mean()), 4)}


def _report(out: Path, rows: list[dict[str, Any]], alone: bool) -> None:
    """Writes ``depth.json``. Raises NoSurface where no view of the whole run (the shard is ``alone``) has any depth."""
    empty = [row["name"] for row in rows if row["coverage"] == 0]
    remedy = "Move sideways between photos, about a tenth of the distance to the subject; bare walls need something to see"
    if alone and len(empty) == len(rows):
        raise NoSurface(f"none of the {len(rows)} views has a pixel whose depth can be measured", remedy)
    warnings = []
    if empty:
        message = f"{len(empty)} views have no depth, among them {empty[0]}: the views beside them do not show the same surface"
        warnings.append({"code": "views_without_depth", "message": message, "remedy": remedy})
    write_json(out / "depth.json", {"views": sorted(rows, key=lambda row: str(row["name"])), "warnings": warnings})


stage = Stage("depth", ("georef", "undistort"), run, split, gpu=True)
