"""Simulated captures with exact cameras, laid out as the folders that the dense stages read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recon.capture.records import ImageRecord, write_records
from recon.config import Config
from recon.simulate.kinds import Plan, pictures, plan_capture
from recon.simulate.options import Options
from recon.simulate.views import exact_model
from recon.stage import Inputs, Stage, Work

SPARSE_POINTS = 2000


def plan(kind: str, count: int, size: tuple[int, int], seed: int = 0) -> Plan:
    return plan_capture(kind, Options(images=count, size=size, seed=seed, video=False if kind == "object" else None))


def photographed(plan: Plan, noise: float, seed: int = 0) -> Iterable[NDArray[np.uint8]]:
    """(h, w, 3) RGB, one by one, with noise of a deviation in grey levels."""
    return pictures(plan, Options(seed=seed, noise=noise))


def write_flight(folder: Path, plan: Plan, photos: Iterable[NDArray[np.uint8]], seed: int = 0) -> Inputs:
    """Folders of ``ingest``, ``select`` and ``georef`` (the exact model, of plan.camera) as those stages leave them."""
    for name in ("ingest/images", "select", "georef/model"):
        (folder / name).mkdir(parents=True)
    records = []
    for number, rgb in enumerate(photos):
        path = folder / "ingest/images" / f"{number:04d}.png"
        Image.fromarray(rgb).save(path, compress_level=1)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        size = {"width": plan.camera.width, "height": plan.camera.height}
        records.append(
            ImageRecord(name=path.name, file=f"ingest/0/images/{path.name}", source=path.name, sha256=digest, camera="one", **size)
        )
    write_records(folder / "select", records)
    poses = [plan.path.pose(float(time_s)) for time_s in plan.times_s]
    exact_model(plan, [record.name for record in records], poses, SPARSE_POINTS, seed).write_binary(folder / "georef/model")
    return {name: (folder / name,) for name in ("ingest", "select", "georef")}


def run_stage(stage: Stage, config: Config, inputs: Inputs, root: Path) -> Inputs:
    """A stage, shard after shard in this process; its folders are added to the inputs."""
    folders = []
    for number, shard in enumerate(stage.split(config, inputs)):
        folder = root / stage.name / f"{number:04d}"
        folder.mkdir(parents=True)
        stage.run(config, inputs, shard, folder, Work())
        folders.append(folder)
    return {**inputs, stage.name: tuple(folders)}
