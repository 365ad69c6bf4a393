"""preview: a coarse cloud after a tenth of the dense time, for a viewer to show while the real depth is made.

It is what depth and fuse give for small images. No other stage reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.capture.records import write_json
from recon.config import Config, Depth, Fuse
from recon.errors import NoSurface
from recon.stage import Inputs, Shard, Stage, Work
from recon.stages import depth, fuse

if TYPE_CHECKING:
    from recon.dense.view import Points

COARSE: dict[str, Any] = {"max_size_px": 320, "pairs_a_view": 2, "method": "sgm"}
FUSE = Fuse(min_views=2, max_depth_error=0.02)
"""Fewer views than a final point needs: two pairs a view can hardly give more."""
MAX_POINTS = 1_000_000


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import tempfile

    from recon.products.pointcloud import write_ply

    coarse = config.model_copy(update={"depth": Depth(**{**config.depth.model_dump(), **COARSE}), "fuse": FUSE})
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        try:
            points = _coarse_cloud(coarse, inputs, Path(scratch), work)
        except NoSurface:
            points = None  # the depth stage may still see what is too small here, and says so if not
    if points is not None:
        write_ply(out / "points.ply", points)
    write_json(out / "preview.json", {"points": 0 if points is None else len(points.xyz)})


def _coarse_cloud(config: Config, inputs: Inputs, folder: Path, work: Work) -> Points:
    """At most MAX_POINTS of the cloud that ``config`` gives. Raises NoSurface."""
    from recon.dense.view import Points, read_points

    # a run of shards as one reads the model once; what depth says of a view does not depend on the others of its shard
    blocks = depth.split(config, inputs)
    size = -(-len(blocks) // work.threads)
    runs = [blocks[start : start + size] for start in range(0, len(blocks), size)]
    merged = [{key: [row for block in run for row in block[key]] for key in ("views", "pairs", "sweeps")} for run in runs]
    done = {**inputs, "depth": _side_by_side(depth.run, config, inputs, [_unique(block) for block in merged], folder / "depth", work)}
    work.tell(0.7)
    done["fuse"] = _side_by_side(fuse.run, config, done, fuse.split(config, done), folder / "fuse", work)
    points = read_points(done)
    step = -(-len(points.xyz) // MAX_POINTS)
    return Points(**{name: array[::step] for name, array in vars(points).items()})


def _unique(block: dict[str, list[Any]]) -> Shard:
    pairs = sorted({(i, j) for i, j in block["pairs"]})
    return {**block, "pairs": [list(pair) for pair in pairs], "shards": 0}  # not alone: an empty one is no error


def _side_by_side(
    run: Callable[[Config, Inputs, Shard, Path, Work], None], config: Config, inputs: Inputs, shards: list[Shard], folder: Path, work: Work
) -> tuple[Path, ...]:
    """The folders of a stage's shards, made on the threads of this one."""
    from concurrent.futures import ThreadPoolExecutor

    folders = tuple(folder / f"{number:04d}" for number in range(len(shards)))
    for made in folders:
        made.mkdir(parents=True)
    with ThreadPoolExecutor(work.threads) as pool:
        for _ in pool.map(lambda shard, made: run(config, inputs, shard, made, Work(seed=work.seed)), shards, folders):
            pass
    return folders


stage = Stage("preview", ("georef", "undistort"), run, reads=("depth",), memory_mb=1000)
