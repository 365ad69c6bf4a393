"""Poses between keyframes against the simulator's truth, and the files that hold them."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import pytest
from capture.media import write_video

from recon.capture.pixels import write_png
from recon.capture.records import ImageRecord, write_json, write_records
from recon.capture.video import Frames
from recon.config import Config, parse
from recon.geometry.frames import opengl_world_from_cam
from recon.products.trajectoryfiles import write_trajectories
from recon.sfm.everyframe import every_frame, keyframes_of
from recon.simulate.kinds import Plan, pictures, plan_capture
from recon.simulate.options import Options
from recon.simulate.views import exact_model
from recon.stage import Inputs, Work
from recon.stages.trajectory import stage

FRAMES, STEP = 31, 6
BLANK = range(13, 17)
"""Frames without any picture."""
OPTIONS = Options(images=FRAMES, size=(320, 240), video=True)


@dataclass(frozen=True)
class Filmed:
    video: Path
    plan: Plan
    model: pycolmap.Reconstruction
    records: list[ImageRecord]
    paths: dict[str, Path]

    def truth(self, frame: int) -> pycolmap.Rigid3d:
        return self.plan.path.pose(float(self.plan.times_s[frame]))


def film(folder: Path) -> Filmed:
    """A walk about an object with shaking hands; every sixth frame is a keyframe of an exact model."""
    plan = plan_capture("object", OPTIONS)
    frames = list(pictures(plan, OPTIONS))
    for blank in BLANK:
        frames[blank] = np.full_like(frames[blank], 128)
    video = write_video(folder / "walk.mp4", frames, rate=plan.fps)
    names = [f"walk.mp4/{k:06d}.png" for k in range(0, FRAMES, STEP)]
    model = exact_model(plan, names, [plan.path.pose(float(plan.times_s[k])) for k in range(0, FRAMES, STEP)], 1200, 0)
    records, paths = [], {}
    for frame in Frames(video):
        if frame.index % STEP == 0:
            name = f"walk.mp4/{frame.index:06d}.png"
            paths[name] = folder / "select/images" / name
            write_png(paths[name], frame.rgb())
            own = {"sequence": "walk.mp4", "frame": frame.index, "timestamp_s": frame.timestamp_s}
            where = {"name": name, "file": f"select/0/images/{name}", "source": "walk.mp4", "sha256": "", "camera": "c"}
            records.append(ImageRecord.model_validate({**where, **own, "width": 320, "height": 240}))
    return Filmed(video, plan, model, records, paths)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Filmed:
    return film(tmp_path_factory.mktemp("film"))


@pytest.fixture(scope="module")
def rows(filmed: Filmed) -> list[dict[str, Any]]:
    keyframes = keyframes_of(filmed.model, filmed.records, "walk.mp4")
    told: list[float] = []
    found = every_frame(filmed.video, filmed.model, keyframes, filmed.paths, 1, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    return found


def pose(row: dict[str, Any]) -> pycolmap.Rigid3d:
    w, x, y, z, *translation = row["cam_from_world"]
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([x, y, z, w])), np.array(translation))


def errors(filmed: Filmed, rows: list[dict[str, Any]], source: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Distances of the centres [m] and angles [degrees] from the truth."""
    chosen = [(pose(row), filmed.truth(row["frame"])) for row in rows if row["source"] == source]
    ways = [np.linalg.norm(found.inverse().translation - true.inverse().translation) for found, true in chosen]
    return np.array(ways), np.array([np.degrees((found.rotation * true.rotation.inverse()).angle()) for found, true in chosen])


def test_there_is_a_row_for_every_frame(rows: list[dict[str, Any]]) -> None:
    assert [row["frame"] for row in rows] == list(range(FRAMES))
    assert [row["frame"] for row in rows if row["source"] == "keyframe"] == list(range(0, FRAMES, STEP))
    assert [row["frame"] for row in rows if row["source"] == "spline"] == list(BLANK)
    assert [row["timestamp_s"] for row in rows] == pytest.approx([n / 25 for n in range(FRAMES)], abs=1e-6)


def test_poses_between_keyframes_are_true(filmed: Filmed, rows: list[dict[str, Any]]) -> None:
    ways, turns = errors(filmed, rows, "keyframe")
    assert max(ways.max(), turns.max()) < 1e-6
    ways, turns = errors(filmed, rows, "image")
    assert 5e-5 < np.median(ways) < 0.0015  # of a camera 1.65 m away
    assert ways.max() < 0.005
    assert 1e-3 < np.median(turns) < 0.05
    off, turned = errors(filmed, rows, "spline")
    assert off.max() < 0.03
    assert np.median(turned) > 5 * np.median(turns)  # what the images are good for: hands shake faster than keyframes come


def test_stated_deviations_are_true(filmed: Filmed, rows: list[dict[str, Any]]) -> None:
    for source, least, most in (("image", 0.3, 2.5), ("spline", 0.2, 4.0)):
        ways, _ = errors(filmed, rows, source)
        stated = np.array([row["sigma_position"] for row in rows if row["source"] == source])
        assert least < np.median(ways / (1.538 * stated)) < most
    assert all(row["sigma_position"] is None for row in rows if row["source"] == "keyframe")


def test_a_spline_is_worse_where_keyframes_are_far_apart(filmed: Filmed, rows: list[dict[str, Any]]) -> None:
    keyframes = [key for key in keyframes_of(filmed.model, filmed.records, "walk.mp4") if key.frame != 18]
    found = every_frame(filmed.video, filmed.model, keyframes, filmed.paths, 1, lambda _: None)
    near, far = ([row["sigma_position"] for row in some if row["source"] == "spline"] for some in (rows, found))
    assert len(set(far)) == 1
    assert far[0] > 3 * near[0]
    assert np.mean(errors(filmed, found, "spline")[0]) < 3 * far[0]


def stage_inputs(filmed: Filmed, folder: Path) -> Inputs:
    for name in ("ingest/videos", "recover", "georef/model"):
        (folder / name).mkdir(parents=True)
    (folder / "ingest/videos/walk.mp4").write_bytes(filmed.video.read_bytes())
    write_json(folder / "ingest/videos.json", {"videos": [{"file": "videos/walk.mp4", "source": "day one/walk.mp4", "name": "walk.mp4"}]})
    write_records(folder / "recover", filmed.records)
    filmed.model.write_binary(folder / "georef/model")
    selected = next(iter(filmed.paths.values())).parents[2]
    return {name: (folder / name,) for name in ("ingest", "recover", "georef")} | {"select": (selected,)}


def test_the_stage_runs_where_it_is_asked_for(filmed: Filmed, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    inputs = stage_inputs(filmed, tmp_path)
    assert stage.split(Config(), inputs) == []
    config = parse({"trajectory": {"all_frames": True}})
    (shard,) = stage.split(config, inputs)
    (tmp_path / "out").mkdir()
    stage.run(config, inputs, shard, tmp_path / "out", Work(threads=2))
    told = json.loads((tmp_path / "out/trajectory.json").read_text())
    assert told["frames"] == json.loads(json.dumps(rows))
    assert told["counts"] == {"keyframe": 6, "image": 21, "spline": 4}
    write_records(tmp_path / "recover", filmed.records[:1])
    assert stage.split(config, inputs) == []


def test_files_for_other_programs(filmed: Filmed, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    video = {"source": "day one/walk.mp4", "name": "walk.mp4", "counts": {}, "frames": rows}
    place = {"frame": "plane", "unit": "arbitrary"}
    write_trajectories(tmp_path, [video], filmed.model, None, place)
    assert {path.name for path in tmp_path.iterdir()} == {"trajectory.csv", "trajectory.json", "trajectory.tum", "camera_path.json"}
    with (tmp_path / "trajectory.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [row["source"] for row in table] == [row["source"] for row in rows]
    tum = np.loadtxt(tmp_path / "trajectory.tum")
    path = json.loads((tmp_path / "camera_path.json").read_text())["camera_path"]
    for n in (0, 3, FRAMES - 1):
        true = pose(rows[n])
        world_from_cam = pycolmap.Rigid3d(pycolmap.Rotation3d(tum[n, 4:]), tum[n, 1:4])
        assert np.allclose((world_from_cam * true).matrix(), np.eye(4)[:3], atol=1e-7)
        assert np.allclose([float(table[n][axis]) for axis in "xyz"], true.inverse().translation, atol=1e-6)
        assert table[n]["lat_deg"] == ""
        assert np.allclose(np.reshape(path[n]["camera_to_world"], (4, 4)), opengl_world_from_cam(true))
    write_trajectories(tmp_path, [video, {**video, "source": "two.mp4"}], filmed.model, None, place)
    assert {"trajectory_1.tum", "trajectory_2.tum", "camera_path_2.json"} <= {path.name for path in tmp_path.iterdir()}
