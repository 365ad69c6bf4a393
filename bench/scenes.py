"""Bar 4 of the dense stages: scenes that are hard each in one way, with exact cameras, against their exact surfaces."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open3d
import pycolmap
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bench.bars import Row, at_most
from recon.config import Config
from recon.dense.view import read_points, read_views
from recon.evaluate.clouds import Surface, sample_mesh
from recon.evaluate.holes import gsd, hole_width
from recon.simulate.trials import TRIALS, Trial, material_at, write_trial
from recon.stage import Inputs, Stage, Work
from recon.stages import depth, fuse, mesh, undistort
from recon.surface.mesh import MESH_FILE, TriMesh

MAX_HOLE_SHARE = 0.02
FLOATING_GSD = 20.0
"""A point further than this from any surface, in pixels on the ground at its place, hangs in the air."""
MAX_FLOATING = 1e-4
"""Share of the cloud's points: a handful in a hundred thousand."""
MESH_SAMPLES = 1_000_000


@dataclass(frozen=True)
class Dense:
    """What the stages made of a trial."""

    inputs: Inputs
    cloud: NDArray[np.float64]
    """(N, 3)"""
    surface: NDArray[np.float64]
    """(MESH_SAMPLES, 3) spread over the mesh."""
    cpu_s: float
    """Of depth and fuse."""


def scenes(data: Path, work: Path) -> list[Row]:
    """Bar 4: completeness and accuracy a scene, the widest hole of walls and grounds, and what floats."""
    return [row for name, make in TRIALS.items() for row in measure(name, make(), work / f"scene-{name.replace(' ', '-')}")]


def measure(name: str, trial: Trial, work: Path) -> list[Row]:
    """The rows of one scene, made in the folder ``work``."""
    inputs = write_trial(trial, work / "capture")
    dense = reconstruct(inputs, work / "out")
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    truth = Surface.build(trial.scene.vertices, trial.scene.faces, model)
    return rows(name, trial, truth, dense, model)


def reconstruct(inputs: Inputs, out: Path, config: Config = Config()) -> Dense:  # noqa: B008
    """The stages from undistort to mesh on exact poses."""
    inputs = _run(undistort.stage, config, inputs, out)
    started_s = time.process_time()
    for stage in (depth.stage, fuse.stage):
        inputs = _run(stage, config, inputs, out)
    cpu_s = time.process_time() - started_s
    inputs = _run(mesh.stage, config, inputs, out)
    made = TriMesh.load(inputs["mesh"][0] / MESH_FILE)
    surface, _ = sample_mesh(made.vertices, made.faces, MESH_SAMPLES)
    return Dense(inputs, read_points(inputs).xyz.astype(np.float64), surface, cpu_s)


def rows(name: str, trial: Trial, truth: Surface, dense: Dense, model: pycolmap.Reconstruction) -> list[Row]:
    """What is told of a scene; lengths in GSD: a pixel's width at the place, in the view that sees it largest."""
    views, name = read_views(dense.inputs), f"scene: {name}"
    error = _to_truth(truth, dense.cloud) / gsd(dense.cloud, views)
    missing = cKDTree(dense.cloud).query(truth.seen)[0] / gsd(truth.seen, views)
    found = [
        Row("4", name, f"{figure} within {k} GSD", float((values <= k).mean()), "", True)
        for figure, values in (("accuracy", error), ("completeness", missing))
        for k in (1, 2, 3)
    ]
    found.append(Row("4", name, "median error, GSD", float(np.median(error)), "", True))
    found.append(at_most("4", name, "floating points, share", float((error > FLOATING_GSD).mean()), MAX_FLOATING))
    material = material_at(trial.scene, truth.seen)
    for what, index in trial.subjects:
        found.append(Row("4", name, f"completeness of the {what} within 2 GSD", float((missing[material == index] <= 2).mean()), "", True))
    for patch in trial.patches:
        holes = {what: hole_width(patch, xyz, truth, views, model) / truth.size for what, xyz in vars(dense).items() if what in HOLES_IN}
        wanted = "ground" in patch.name or "wall" in patch.name
        for what, share in holes.items():
            figure = f"widest hole in the {patch.name}, {HOLES_IN[what]}, share of scene"
            found.append(at_most("4", name, figure, share, MAX_HOLE_SHARE) if wanted else Row("4", name, figure, share, "", True))
    found.append(Row("4", name, "CPU seconds of depth and fuse", dense.cpu_s, "", True))
    return found


HOLES_IN = {"cloud": "cloud", "surface": "mesh"}


def _to_truth(truth: Surface, xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(truth.raycaster.compute_distance(open3d.core.Tensor(xyz.astype(np.float32)), nthreads=1).numpy(), np.float64)


def _run(stage: Stage, config: Config, inputs: Inputs, root: Path) -> dict[str, Any]:
    folders = []
    for number, shard in enumerate(stage.split(config, inputs)):
        folder = root / stage.name / str(number)
        folder.mkdir(parents=True)
        stage.run(config, inputs, shard, folder, Work())
        folders.append(folder)
    return {**inputs, stage.name: tuple(folders)}
