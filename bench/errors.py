"""Bar 7: whether the stated error and confidence of dense points are true, on simulated scenes with exact cameras.

The constants of ``recon/dense/fused.py`` were fitted to ``FITTED``; the other scenes check them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import open3d
import pycolmap
from numpy.typing import NDArray

from bench.flights import photographed, plan, run_stage, write_flight
from recon.config import Config
from recon.dense.view import DepthMap, Points, read_views
from recon.simulate.render import render_depth
from recon.simulate.scenes import Scene
from recon.simulate.trials import TRIALS, write_trial
from recon.stage import Inputs, Work
from recon.stages import depth, fuse, undistort

if TYPE_CHECKING:
    from bench.bars import Row

FITTED = ("flight", "walk around an object", "relief")
CAPTURES = {
    "flight": ("drone", 12, (640, 480), 1.5, 0),
    "flight, noise of 4": ("drone", 12, (640, 480), 4.0, 1),
    "walk around an object": ("object", 20, (640, 480), 1.5, 0),
    "walk around an object, noise of 5": ("object", 20, (480, 360), 5.0, 3),
    "room": ("room", 24, (640, 480), 1.5, 0),
}
"""Kind, images, size, noise in grey levels, seed."""
CHECKED_TRIALS = ("relief", "slope")
WITHIN = {1: (0.63, 0.73), 2: (0.90, 1.00)}
RIGHT_GSD = 2.0
BINS = (0.0, 0.6, 0.8, 0.9, 0.95, 1.01)
LEAST_IN_BIN = 500


@dataclass(frozen=True)
class Judged:
    """Points with the truth about them, (N,) each."""

    sigmas: NDArray[np.float64]
    """True error along the ray over the stated one."""
    confidence: NDArray[np.float32]
    right: NDArray[np.bool_]
    """Within RIGHT_GSD pixel footprints of the true surface."""


def errors(data: Path, work: Path) -> list[Row]:
    """Share of points within one and two sigma, and of right ones by confidence, a scene."""
    rows: list[Row] = []
    for name, (kind, count, size, noise, seed) in CAPTURES.items():
        made = plan(kind, count, size, seed)
        inputs = write_flight(work / f"errors-{name}", made, photographed(made, noise, seed), seed)
        rows += _rows(name, judge(made.scene, inputs, work / f"errors-{name}"))
    for name in CHECKED_TRIALS:
        trial = TRIALS[name]()
        rows += _rows(name, judge(trial.scene, write_trial(trial, work / f"errors-{name}"), work / f"errors-{name}"))
    return rows


def judge(scene: Scene, inputs: Inputs, work: Path) -> Judged:
    """Depth and points of a capture; each view is fused alone, so that its rays are known."""
    for stage in (undistort.stage, depth.stage):
        inputs = run_stage(stage, Config(), inputs, work)
    parts = list(_by_view(scene, inputs, work))
    return Judged(*(np.concatenate([getattr(part, name) for part in parts]) for name in Judged.__dataclass_fields__))


def _by_view(scene: Scene, inputs: Inputs, work: Path) -> Iterator[Judged]:
    views = read_views(inputs)
    for shard in fuse.split(Config(), inputs):
        for i, others in zip(shard["views"], shard["neighbours"], strict=True):
            view, out = views[i], work / "fuse" / str(i)
            out.mkdir(parents=True)
            fuse.run(Config(), inputs, {"views": [i], "neighbours": [others], "shards": len(views)}, out, Work())
            points = Points.load(out / "points.npz")
            K = DepthMap.load(next(folder / "depth" / f"{view.name}.npz" for folder in inputs["depth"] if _has(folder, view.name))).K
            width, height = round(view.width * K[0, 0] / view.K[0, 0]), round(view.height * K[1, 1] / view.K[1, 1])
            camera = pycolmap.Camera(model="PINHOLE", width=width, height=height, params=[K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
            true = render_depth(scene, camera, pycolmap.Rigid3d(pycolmap.Rotation3d(view.R), view.t))
            in_cam = points.xyz.astype(np.float64) @ view.R.T + view.t
            column, row = np.floor(in_cam[:, :2] / in_cam[:, 2:] * K.diagonal()[:2] + K[:2, 2]).astype(int).T
            length = np.linalg.norm(in_cam, axis=1)
            along = (1 - true[row, column] / in_cam[:, 2]) * length
            away = scene.raycaster.compute_distance(open3d.core.Tensor(points.xyz), nthreads=1).numpy()
            yield Judged(along / points.sigma, points.confidence, away < RIGHT_GSD * length / K[0, 0])


def _has(folder: Path, name: str) -> bool:
    return (folder / "depth" / f"{name}.npz").is_file()


def _rows(name: str, judged: Judged) -> list[Row]:
    from bench.bars import Row

    if name not in FITTED:
        name += " (not fitted)"
    rows = []
    for sigmas, (least, most) in WITHIN.items():
        share = float((np.abs(judged.sigmas) < sigmas).mean())
        rows.append(Row("7", name, f"points within {sigmas} sigma, share", share, f"{least:.2f} to {most:.2f}", least <= share <= most))
    shares = []
    for low, high in pairwise(BINS):
        chosen = judged.right[(judged.confidence >= low) & (judged.confidence < high)]
        if len(chosen) >= LEAST_IN_BIN:
            shares.append(float(chosen.mean()))
            rows.append(Row("7", name, f"right points of confidence from {low:g}, share", shares[-1], f">= {low:g}", shares[-1] >= low))
    rising = all(b >= a - 0.005 for a, b in pairwise(shares))
    rows.append(Row("7", name, "share of right points rises with confidence", float(rising), ">= 1", rising))
    return rows
