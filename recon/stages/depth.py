"""depth: a depth map for every view, from rectified pairs on the CPU or patch-match stereo on CUDA."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.capture.records import write_json
from recon.config import Config, Depth
from recon.errors import MissingPart, NoSurface
from recon.stage import Inputs, Shard, Stage, Work, blocks

if TYPE_CHECKING:
    import numpy as np
    import pycolmap
    from numpy.typing import NDArray

    from recon.dense.covisibility import SparsePoints
    from recon.dense.view import DepthMap, View

SHARD_VIEWS = 8
BASE_MB, MEGAPIXEL_MB = 1300, 10
"""What a shard needs, and more for each megapixel of the largest depth map (measured)."""
SWEEP_SOURCES = 4
SWEEP_SIZES = 2
"""A view is swept at so many sizes at least: the half one costs an eighth, and shows the bare path that the whole one misses."""
SWEEP_PAIRS = 10
"""That a sweep takes as long as, roughly: for the order of shards alone."""
CUDA_SOURCES = 12
LEAST_PAIRS = 2
"""A view with fewer pairs than this (the camera moved along its view) is swept instead."""


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """Blocks of neighbouring views, each with the pairs that any of its views takes part in."""
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
    if not pairs and not any(sweeps.values()) and not any(view.measured_path for view in views):
        raise NoSurface(
            f"no two of the {len(views)} views see the same points from directions {angles[0]:g} to {angles[1]:g} degrees apart",
            "Move sideways between photos, about a tenth of the distance to the subject",
        )
    largest = max(width * height for width, height, _ in (view.scaled(config.depth.max_size_px) for view in views))
    parts = blocks(len(views), SHARD_VIEWS)
    shards = [
        {
            "views": list(block),
            "pairs": [list(pair) for pair in pairs if pair[0] in block or pair[1] in block],
            "sweeps": [[i, sweeps[i]] for i in block if sweeps.get(i)],
            "shards": len(parts),
            "memory_mb": BASE_MB + MEGAPIXEL_MB * largest // 10**6,
        }
        for block in parts
    ]
    # the longest first: all end together
    return sorted(shards, key=lambda shard: -len(shard["pairs"]) - SWEEP_PAIRS * len(shard["sweeps"]))


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import cv2
    import pycolmap

    from recon.dense.covisibility import SparsePoints
    from recon.dense.view import read_views

    cv2.setNumThreads(work.threads)
    views = read_views(inputs)
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    needed = {*shard["views"], *(view for pair in shard["pairs"] for view in pair)}
    points = SparsePoints.read(model, views, only=needed)
    whole = all(view.part_of is None for view in views)  # patch-match reads the model, which knows of no sides of panoramas
    if config.depth.method == "cuda" or (config.depth.method == "auto" and work.device.startswith("cuda") and whole):
        rows = _by_cuda(config, views, model, points, shard, out, work)
    else:
        rows = _by_pairs(config, views, points, shard, out, work)
    _report(out, rows, alone=shard["shards"] == 1)


def _by_pairs(config: Config, views: Sequence[View], points: SparsePoints, shard: Shard, out: Path, work: Work) -> list[dict[str, Any]]:
    """Writes the depth of the shard's views, each as soon as its last pair is matched; rows of ``depth.json``."""
    import cv2

    pairs = [tuple(pair) for pair in shard["pairs"]]
    last = {view: n for n, pair in enumerate(pairs) for view in pair}
    steps = len(pairs) + len(shard["sweeps"])
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        block = _Block(config.depth, views, points, shard["views"], out, Path(scratch))
        for n, (i, sources) in enumerate(shard["sweeps"]):
            block.sweep(i, sources)
            work.tell((n + 1) / steps)
        for n, (i, j) in enumerate(pairs):
            cv2.setNumThreads(work.threads_now())
            block.match(i, j)
            for view in (i, j):
                if last[view] == n:
                    block.finish(view)
            work.tell((len(shard["sweeps"]) + n + 1) / steps)
        for view in block.unfinished:
            block.finish(view)
    return block.rows


class _Block:
    """The views of a shard while they are matched: what is loaded, and what their pairs say so far."""

    def __init__(self, options: Depth, views: Sequence[View], points: SparsePoints, own: Sequence[int], out: Path, scratch: Path) -> None:
        from recon.dense.stereo import Frames
        from recon.dense.tiles import Candidates

        self.rows: list[dict[str, Any]] = []
        self._views = views
        self._points = points
        self._out = out
        self._frames = Frames(views, options.max_size_px)
        self._candidates = {i: Candidates(scratch, str(i)) for i in own}
        self._levels = options.sizes

    @property
    def unfinished(self) -> list[int]:
        return list(self._candidates)

    def sweep(self, view: int, sources: Sequence[int]) -> None:
        from recon.dense.scales import enlarged, halved
        from recon.dense.tiles import sweep_depth_in_tiles

        xyz = self._points.xyz[self._points.seen[view]]
        full = reference = self._frames[view]
        frames = [self._frames[j] for j in sources]
        for level in range(max(self._levels, SWEEP_SIZES)):
            if level:
                reference, frames = halved(reference), [halved(frame) for frame in frames]
            swept = sweep_depth_in_tiles(reference, frames, xyz)
            if swept is not None:
                self._candidates[view].add(enlarged(swept, full) if level else swept, again=level > 0)

    def match(self, i: int, j: int) -> None:
        import numpy as np

        from recon.dense.scales import enlarged, halved
        from recon.dense.tiles import pair_depths_in_tiles

        xyz = self._points.xyz[np.union1d(self._points.seen[i], self._points.seen[j])]
        full = a, b = self._frames[i], self._frames[j]
        spoken = False
        for level in range(self._levels):
            if level:
                a, b = halved(a), halved(b)
            found = pair_depths_in_tiles(a, b, xyz)
            for view, frame, candidate in zip((i, j), full, found or (), strict=False):
                if view in self._candidates:
                    self._candidates[view].add(enlarged(candidate, frame) if level else candidate, again=spoken)
            spoken |= found is not None

    def finish(self, view: int) -> None:
        """Writes what the view's pairs agree on."""
        if view in self._candidates:
            frame = self._frames[view]
            candidates = self._candidates.pop(view)
            depth_map = candidates.agreed(frame.pose)
            self.rows.append(_write(self._out, self._views[view], depth_map, frame.usable, candidates.focal_baseline))
        self._frames.drop(view)


def _by_cuda(
    config: Config, views: Sequence[View], model: pycolmap.Reconstruction, points: SparsePoints, shard: Shard, out: Path, work: Work
) -> list[dict[str, Any]]:
    """Like ``_by_pairs``, on a CUDA device; sources are the views that the shard's pairs name, and so alone see ``points``."""
    from recon.dense.covisibility import sweep_neighbours
    from recon.dense.patchmatch import patchmatch_depths
    from recon.dense.stereo import usable_pixels

    if not work.device.startswith("cuda"):
        raise MissingPart("depth.method is cuda, and no CUDA device is at hand", "Leave it at auto, or install pycolmap with CUDA")
    angles = (config.depth.min_angle_deg, config.depth.max_angle_deg)
    sources = [sweep_neighbours(i, views, points, CUDA_SOURCES, angles) for i in range(len(views))]
    gpu = int(work.device.partition(":")[2] or 0)
    found = patchmatch_depths(views, model, shard["views"], sources, config.depth.max_size_px, gpu, out)
    return [_write(out, views[i], depth_map, usable_pixels(views[i], depth_map.size)) for i, depth_map in found.items()]


def _write(out: Path, view: View, depth_map: DepthMap, usable: NDArray[np.bool_], focal_baseline: float = float("inf")) -> dict[str, Any]:
    """Saves a view's depth, with what a sensor measured; its row of ``depth.json``. ``usable`` (h, w) is what no mask hides."""
    if view.measured_path:
        from recon.dense.measured import MeasuredDepth, with_measured

        depth_map = with_measured(depth_map, MeasuredDepth.load(view.measured_path), usable, focal_baseline)
    depth_map.save(out / "depth" / f"{view.name}.npz")
    known = float((depth_map.depth > 0).mean())
    return {"name": view.name, "coverage": round(known, 4), "usable": round(float(usable.mean()), 4)}


def _report(out: Path, rows: list[dict[str, Any]], alone: bool) -> None:
    """Writes ``depth.json``. Raises NoSurface where no view of the whole run (the shard is ``alone``) has any depth."""
    from recon.dense.coverage import NO_DEPTH_REMEDY

    if alone and all(row["coverage"] == 0 for row in rows):
        raise NoSurface(f"none of the {len(rows)} views has a pixel whose depth can be measured", NO_DEPTH_REMEDY)
    write_json(out / "depth.json", {"views": sorted(rows, key=lambda row: str(row["name"]))})


stage = Stage("depth", ("georef", "undistort"), run, split, gpu=True, memory_mb=BASE_MB, version=7)
