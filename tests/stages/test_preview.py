"""preview: a small cloud of the right surface, from the same inputs always the same, and no reason for a run to fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open3d
import pytest
from relief import Photo, looking_down, pinhole, surface_distance, write_capture

from recon.capture.records import read_json
from recon.config import Config
from recon.pipeline import PIPELINE
from recon.stage import Inputs, Stage, Work
from recon.stages import depth, fuse, preview, undistort


def run(stage: Stage, inputs: Inputs, root: Path, threads: int = 1) -> Inputs:
    folders = []
    for index, shard in enumerate(stage.split(Config(), inputs)):
        folder = root / stage.name / str(index)
        folder.mkdir(parents=True)
        stage.run(Config(), inputs, shard, folder, Work(threads=threads))
        folders.append(folder)
    return {**inputs, stage.name: tuple(folders)}


def test_the_early_cloud_shows_the_surface(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in (depth, fuse):
        monkeypatch.setattr(stage, "SHARD_VIEWS", 3)
    monkeypatch.setattr(preview, "MAX_POINTS", 50_000)
    photos = [Photo(f"{i}.png", pinhole(480, 360, 480), looking_down(1.4 * i, 0)) for i in range(5)]
    inputs = run(undistort.stage, write_capture(tmp_path, photos, rng), tmp_path)
    one, two = (run(preview.stage, inputs, tmp_path / str(threads), threads)["preview"] for threads in (1, 2))
    xyz = np.asarray(open3d.io.read_point_cloud(str(one[0] / "points.ply")).points)
    assert read_json(one[0] / "preview.json")["points"] == len(xyz)
    assert 20_000 < len(xyz) <= 50_000
    assert 0.001 < np.median(np.abs(surface_distance(xyz))) < 0.05  # a pixel of disparity is 0.2 here
    assert sorted(path.name for path in one[0].iterdir()) == ["points.ply", "preview.json"]
    assert (one[0] / "points.ply").read_bytes() == (two[0] / "points.ply").read_bytes()


def test_views_from_one_spot_have_no_early_cloud_and_no_error(tmp_path: Path, rng: np.random.Generator) -> None:
    photos = [Photo(f"{i}.png", pinhole(), looking_down(0, 0, tilt_deg=4.0 * i)) for i in range(3)]
    done = run(preview.stage, run(undistort.stage, write_capture(tmp_path, photos, rng), tmp_path), tmp_path)
    assert read_json(done["preview"][0] / "preview.json") == {"points": 0}
    assert not (done["preview"][0] / "points.ply").exists()


def test_no_other_stage_reads_it() -> None:
    names = [stage.name for stage in PIPELINE]
    assert names.index("undistort") < names.index("preview") < names.index("depth")
    assert not any("preview" in stage.needs for stage in PIPELINE)
