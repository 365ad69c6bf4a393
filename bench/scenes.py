"""Bar 4 of the dense stages: scenes that are hard each in one way, with exact cameras, against their exact surfaces."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open3d
import pycolmap
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bench.bars import Row, at_most
from bench.flights import run_stage
from recon.config import Config
from recon.dense.view import View, read_points, read_views
from recon.evaluate.clouds import Surface, sample_mesh
from recon.evaluate.holes import gsd, hole_width
from recon.simulate.trials import TRIALS, Trial, material_at, write_trial
from recon.stage import Inputs
from recon.stages import depth, fuse, mesh, sample, surface, undistort
from recon.surface.mesh import MESH_FILE, TriMesh

MAX_HOLE_SHARE = 0.02
FLOATING_GSD = 20.0
"""A point further than this from any surface, in pixels on the ground at its place, hangs in the air."""
MAX_FLOATING = 1e-4
"""Share of the points: a handful in a hundred thousand."""
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
    inputs = run_stage(undistort.stage, config, inputs, out)
    started_s = time.process_time()
    for stage in (depth.stage, fuse.stage):
        inputs = run_stage(stage, config, inputs, out)
    cpu_s = time.process_time() - started_s
    for stage in (sample.stage, surface.stage, mesh.stage):
        inputs = run_stage(stage, config, inputs, out)
    made = TriMesh.load(inputs["mesh"][0] / MESH_FILE)
    spread, _ = sample_mesh(made.vertices, made.faces, MESH_SAMPLES)
    return Dense(inputs, read_points(inputs).xyz.astype(np.float64), spread, cpu_s)


def rows(name: str, trial: Trial, truth: Surface, dense: Dense, model: pycolmap.Reconstruction) -> list[Row]:
    """What is told of a scene; lengths in GSD: a pixel's width at the place, in the view that sees it largest."""
    views, name = read_views(dense.inputs), f"scene: {name}"
    material = material_at(trial.scene, truth.seen)
    found = []
    for what, xyz in (("cloud", dense.cloud), ("mesh", dense.surface)):
        found += _errors(name, what, trial, truth, xyz, views, material)
        for patch in trial.patches:
            share = hole_width(patch, xyz, truth, views, model) / truth.size
            figure = f"{what}: widest hole in the {patch.name}, share of scene"
            wanted = "ground" in patch.name or "wall" in patch.name
            found.append(at_most("4", name, figure, share, MAX_HOLE_SHARE) if wanted else Row("4", name, figure, share, "", True))
    found.append(Row("4", name, "CPU seconds of depth and fuse", dense.cpu_s, "", True))
    return found


def _errors(
    name: str, what: str, trial: Trial, truth: Surface, xyz: NDArray[np.float64], views: list[View], material: NDArray[np.int32]
) -> list[Row]:
    """Accuracy and completeness of a cloud or of points on a mesh, and what of it floats."""
    error = _to_truth(truth, xyz) / gsd(xyz, views)
    missing = cKDTree(xyz).query(truth.seen)[0] / gsd(truth.seen, views)
    return [
        *(
            Row("4", name, f"{what}: {figure} within {k} GSD", float((values <= k).mean()), "", True)
            for figure, values in (("accuracy", error), ("completeness", missing))
            for k in (1, 2, 3)
        ),
        Row("4", name, f"{what}: median error, GSD", float(np.median(error)), "", True),
        at_most("4", name, f"{what}: floating, share", float((error > FLOATING_GSD).mean()), MAX_FLOATING),
        *(
            Row("4", name, f"{what}: completeness of the {subject} within 2 GSD", float((missing[material == index] <= 2).mean()), "", True)
            for subject, index in trial.subjects
        ),
    ]


def _to_truth(truth: Surface, xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(truth.raycaster.compute_distance(open3d.core.Tensor(xyz.astype(np.float32)), nthreads=1).numpy(), np.float64)
