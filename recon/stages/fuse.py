"""fuse: one coloured point for every piece of surface that several depth maps agree on."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recon.capture.records import write_json
from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work, blocks

if TYPE_CHECKING:
    from recon.dense.fused import Seen
    from recon.dense.view import View

SHARD_VIEWS = 8
SHARD_PX = 24_000_000
"""... or fewer where they are large: a shard holds the points of all its views."""
BASE_MB, MEGAPIXEL_MB = 800, 50
"""What a shard needs, and more for each megapixel of its views (measured)."""


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """Blocks of neighbouring reference views, each with the views that see the same points."""
    import pycolmap

    from recon.dense.covisibility import SparsePoints
    from recon.dense.view import read_views

    views = read_views(inputs)
    points = SparsePoints.read(pycolmap.Reconstruction(inputs["georef"][0] / "model"), views)
    neighbours = [[int(j) for j in others[: config.fuse.neighbours]] for others in points.covisible]
    largest = max(view.width * view.height for view in views)
    step = max(1, min(SHARD_VIEWS, SHARD_PX // largest))
    parts = blocks(len(views), step)
    shards = [
        {
            "views": list(block),
            "neighbours": [neighbours[i] for i in block],
            "shards": len(parts),
            "memory_mb": BASE_MB + MEGAPIXEL_MB * sum(views[i].width * views[i].height for i in block) // 10**6,
        }
        for block in parts
    ]
    return sorted(shards, key=lambda shard: -sum(map(len, shard["neighbours"])))  # the longest first: all end together


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import cv2
    import numpy as np

    from recon.dense.floaters import floating
    from recon.dense.fused import Agreement, spacing
    from recon.dense.fusion import fuse_view
    from recon.dense.view import Points, check_not_empty, read_views

    cv2.setNumThreads(work.threads)
    views = read_views(inputs)
    parts, spacings, sure = [], [], []
    with tempfile.TemporaryDirectory(dir=out, prefix="maps-") as scratch:
        maps = _Maps(views, inputs, Path(scratch))
        for n, (i, others) in enumerate(zip(shard["views"], shard["neighbours"], strict=True)):
            least = max(2, min(config.fuse.min_views, len(others) + 1))
            agreement = Agreement(least, config.fuse.pair_confidence, config.fuse.max_depth_error, config.fuse.max_reproj_error_px)
            parts.append(fuse_view(i, others, maps.open, agreement, work.threads_now))
            spacings.append(spacing(parts[-1].xyz, maps.open(i)))
            sure.append(parts[-1].views >= least)
            maps.keep_only({view for later in range(n + 1, len(shard["views"])) for view in _needed(shard, later)})
            work.tell((n + 1) / len(shard["views"]))
    points = Points.concatenate(parts)
    parts.clear()
    points = points.take(~floating(points.xyz, np.concatenate(spacings), np.concatenate(sure), work.threads_now()))
    if shard["shards"] == 1:
        check_not_empty(points)
    points.save(out / "points.npz")
    few = sum(len(others) + 1 < config.fuse.min_views for others in shard["neighbours"])
    warnings = [f"{few} views have fewer than {config.fuse.min_views} views to agree with: fewer were asked for"] if few else []
    write_json(out / "fuse.json", {"points": len(points.xyz), "warnings": warnings})


def _needed(shard: Shard, n: int) -> list[int]:
    return [shard["views"][n], *shard["neighbours"][n]]


class _Maps:
    """Depth maps with their pictures as files that are mapped where they are read, so that memory does not follow their size."""

    def __init__(self, views: Sequence[View], inputs: Inputs, folder: Path) -> None:
        self._views = views
        self._inputs = inputs
        self._folder = folder
        self._there: set[int] = set()

    def open(self, i: int) -> Seen:
        import numpy as np

        from recon.dense.fused import Seen

        if i not in self._there:
            self._write(i)
        depth, confidence, rgb = (np.asarray(np.load(self._file(i, kind), mmap_mode="r")) for kind in ("depth", "confidence", "rgb"))
        return Seen(self._views[i], depth, confidence, rgb, np.load(self._file(i, "K")))

    def keep_only(self, indices: set[int]) -> None:
        """Removes the files of all other views."""
        for i in self._there - indices:
            for kind in ("depth", "confidence", "rgb", "K"):
                self._file(i, kind).unlink()
        self._there &= indices

    def _write(self, i: int) -> None:
        import cv2
        import numpy as np

        from recon.capture.pixels import read_rgb

        name = self._views[i].name
        file = next(file for folder in self._inputs["depth"] if (file := folder / "depth" / f"{name}.npz").is_file())
        with np.load(file) as arrays:
            height, width = arrays["confidence"].shape
            for kind in ("depth", "confidence", "K"):
                np.save(self._file(i, kind), arrays[kind])
        np.save(self._file(i, "rgb"), cv2.resize(read_rgb(self._views[i].path), (width, height), interpolation=cv2.INTER_AREA))
        self._there.add(i)

    def _file(self, i: int, kind: str) -> Path:
        return self._folder / f"{i}.{kind}.npy"


stage = Stage("fuse", ("undistort", "depth", "georef"), run, split, memory_mb=1800, version=6)
