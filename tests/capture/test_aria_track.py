"""Trajectories of Project Aria's services: read, found beside their recording, and what they tell of its frames, its scale and up."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from recon.capture.aria import UPRIGHT_FROM_STORED
from recon.capture.ariacsv import is_trajectory, read_trajectory
from recon.capture.ariatrack import frame_track
from recon.capture.device import EXIF_OF_TURN, rigid
from recon.capture.devicetrack import DeviceTrack
from recon.capture.records import ImageRecord
from recon.capture.source import Source, open_source
from recon.errors import InputError
from recon.geometry.rotations import so3_exp
from recon.sfm.devicescale import device_scale, device_up
from recon.simulate.kinds import Plan, plan_capture
from recon.simulate.options import Options
from recon.simulate.tablet import device_poses
from recon.simulate.write import truth_model

START_US = 87_551_000_000
CAM_FROM_DEVICE = np.array([[0.6, -0.8, 0, 0.02], [0.8, 0.6, 0, -0.05], [0, 0, 1, 0.01], [0, 0, 0, 1]])
"""Of the stored frame."""
SIZE = (64, 48)


def header(world: str = "world", uid: str = "graph_uid") -> str:
    parts = [f"t{axis}_{world}_device" for axis in "xyz"] + [f"q{axis}_{world}_device" for axis in "xyzw"]
    return ",".join(
        [uid, "tracking_timestamp_us", "utc_timestamp_ns", *parts, *(f"gravity_{axis}_{world}" for axis in "xyz"), "quality_score"]
    )


def write(path: Path, rows: Sequence[Sequence[object]], first: str = header()) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([first, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def row(time_us: float, pose: Sequence[float], uid: str = "a", gravity: Sequence[float] = (0, 0, -9.81)) -> list[object]:
    return [uid, time_us, -1, *pose, *gravity, 0.9]


LEVEL = (0.5, 1.5, 2.5, 0, 0, 0, 1)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_capture("room", Options(images=40, format="record3d", size=SIZE))


def trajectory_of(plan: Plan, path: Path, drift: float, noise_m: float = 0.0, stretch: float = 1.0, up: str = "z") -> Path:
    """What the services would state of the walk of a plan, whose cameras sit in glasses, at 30 rows a second."""
    seconds = np.arange(0, float(plan.times_s[-1]) + 0.05, 1 / 30)
    fine = Plan(plan.scene, plan.camera, plan.path, np.minimum(seconds, plan.times_s[-1]), [""] * len(seconds))
    rng, rows = np.random.default_rng(3), []
    y_up = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]) if up == "y" else np.eye(3)
    stored = pycolmap.Rigid3d(np.linalg.inv(UPRIGHT_FROM_STORED)[:3, :4])
    device = pycolmap.Rigid3d(CAM_FROM_DEVICE[:3, :4]).inverse()
    for time_s, pose in zip(seconds, device_poses(fine, Options(drift=drift)), strict=True):
        world_from_device = (device * stored * pose).inverse()
        place = y_up @ (stretch * world_from_device.translation + noise_m * rng.standard_normal(3))
        quaternion = Rotation.from_matrix(y_up @ world_from_device.rotation.matrix()).as_quat()
        rows.append(row(START_US + round(1e6 * time_s), [*place, *quaternion], gravity=y_up @ [0, 0, -9.81]))
    return write(path, rows)


def records_of(plan: Plan, track: DeviceTrack) -> list[ImageRecord]:
    """The frames, upright, with their poses."""
    common = {"file": "", "source": "", "sha256": "", "width": SIZE[1], "height": SIZE[0], "camera": "c"}
    return [
        track.frame_at(k, row.time_s - track.rows[0].time_s)
        .upright(EXIF_OF_TURN[270], SIZE[::-1])
        .told_to(ImageRecord(name=name, **common))
        for k, (name, row) in enumerate(zip(plan.names, track.rows, strict=True))
    ]


def frames_us(plan: Plan) -> NDArray[np.float64]:
    return START_US + 1e6 * plan.times_s


@pytest.mark.parametrize("up", ["z", "y"])
def test_metres_and_up_come_from_a_trajectory(up: str, plan: Plan, tmp_path: Path) -> None:
    found = read_trajectory(trajectory_of(plan, tmp_path / "closed_loop_trajectory.csv", 0.004, up=up))
    track = frame_track(found, frames_us(plan), CAM_FROM_DEVICE, "s")
    assert not track.warnings
    model = truth_model(plan.camera, plan.names, [plan.path.pose(float(t)) for t in plan.times_s])
    turn = so3_exp(np.array([0.3, -0.4, 0.5]))
    model.transform(pycolmap.Sim3d(0.4, pycolmap.Rotation3d(turn), np.zeros(3)))
    records = records_of(plan, track)
    scale, level = device_scale(model, records), device_up(model, records)
    assert scale is not None
    assert not isinstance(scale, str)
    assert level is not None
    assert scale.images == len(plan.names)
    assert abs(np.log(0.4 * scale.metres)) < 3 * scale.sigma_scale < 0.03
    assert level.up == pytest.approx(turn @ [0, 0, 1], abs=1e-3)


def test_a_walk_of_millimetres_tells_no_metres_but_what_is_up(plan: Plan, tmp_path: Path) -> None:
    track = frame_track(
        read_trajectory(trajectory_of(plan, tmp_path / "t.csv", 0.0, noise_m=0.0005, stretch=0.0005)), frames_us(plan), CAM_FROM_DEVICE, "s"
    )
    model = truth_model(plan.camera, plan.names, [plan.path.pose(float(t)) for t in plan.times_s])
    # the turns of the head move the camera by more than the walk does, about as far as the noise
    assert re.search(r"too short for its errors, which leave the scale \d\d % \(s\)$", str(device_scale(model, records_of(plan, track))))
    level = device_up(model, records_of(plan, track))
    assert level is not None
    assert level.up == pytest.approx([0, 0, 1], abs=1e-3)


def test_bad_rows_are_left_out_and_counted_by_their_fault(tmp_path: Path) -> None:
    turn = Rotation.from_rotvec([0.1, -0.7, 0.3])
    good = [0.5, 1.5, 2.5, *turn.as_quat()]
    rows = [
        row(1000, good),
        row(1000, good),
        row(2000, [0.5, 1.5, 2.5, 0, 0, 0, 0]),
        row(3000, [np.nan, *good[1:]]),
        row(4000, [0.6, 1.5, 2.5, *(-3 * turn.as_quat())]),
        ["a", 5000, -1, 0.6],
    ]
    found = read_trajectory(write(tmp_path / "t.csv", rows))
    assert found.times_us.tolist() == [1000, 4000]
    np.testing.assert_allclose(found.rotations, [turn.as_matrix()] * 2, atol=1e-12)
    np.testing.assert_allclose(found.positions, [[0.5, 1.5, 2.5], [0.6, 1.5, 2.5]])
    assert found.warnings == (
        "1 of 6 rows of t.csv repeat a time or go back in time: they are left out",
        "1 of 6 rows of t.csv have a quaternion of zero: they are left out",
        "2 of 6 rows of t.csv hold no pose: they are left out",
        "1 of 6 rows of t.csv have a quaternion of another length than 1: they are scaled",
    )
    assert is_trajectory(header())
    with pytest.raises(InputError, match="no trajectory"):
        read_trajectory(write(tmp_path / "other.csv", [], "timestamp,frame,x,y,z"))


def test_an_open_loop_file_names_its_world_otherwise(tmp_path: Path) -> None:
    found = read_trajectory(write(tmp_path / "t.csv", [row(1000, LEVEL), row(2000, LEVEL, "b")], header("odometry", "session_uid")))
    assert found.positions.tolist() == [[0.5, 1.5, 2.5]] * 2
    assert found.frames.tolist() == [0, 1]


def told(rows: Sequence[Sequence[object]], times_s: Sequence[float], tmp_path: Path) -> DeviceTrack:
    return frame_track(read_trajectory(write(tmp_path / "t.csv", rows)), START_US + 1e6 * np.array(times_s), CAM_FROM_DEVICE, "s", "t.csv")


def at(seconds: float, uid: str = "a", **other: Sequence[float]) -> list[object]:
    return row(START_US + 1e6 * seconds, LEVEL, uid, **other)


def test_frames_in_a_gap_and_beyond_the_end_have_no_pose(tmp_path: Path) -> None:
    track = told([at(0), at(0.1), at(0.2), at(0.9), at(1.0)], [0.05, 0.15, 0.5, 0.95, 1.04, 1.2], tmp_path)
    assert [row.pose is not None for row in track.rows] == [True, True, False, True, True, False]
    assert track.warnings == ("2 of 6 frames have no pose: t.csv has gaps there, or ends",)


def test_a_trajectory_of_another_time_is_named(tmp_path: Path) -> None:
    track = told([at(500), at(500.1)], [0, 0.1], tmp_path)
    assert not any(row.pose for row in track.rows)
    assert track.warnings == (
        "t.csv tells of 88051.0 s to 88051.1 s by the glasses' clock, the frames are of 87551.0 s to 87551.1 s: "
        "it is another recording's, and not used",
    )


def test_poses_of_two_worlds_are_two_sessions(tmp_path: Path) -> None:
    track = told([at(0), at(0.1), at(0.2, "b"), at(0.3, "b")], [0.05, 0.15, 0.25], tmp_path)
    assert [row.pose and row.pose.session for row in track.rows] == ["s 0", None, "s 1"]


def test_gravity_that_turns_tells_no_up(tmp_path: Path) -> None:
    track = told([at(0), at(0.1, gravity=(0, -9.81, 0))], [0.05], tmp_path)
    assert track.rows[0].pose is not None
    assert not track.rows[0].pose.upright
    assert track.warnings == ("t.csv states no steady gravity: its poses do not tell what is up",)


def test_the_camera_sits_in_the_glasses(tmp_path: Path) -> None:
    (frame,) = told([at(0), at(0.1)], [0.05], tmp_path).rows
    assert frame.pose is not None
    np.testing.assert_allclose(
        rigid(frame.pose).matrix(), CAM_FROM_DEVICE[:3] @ [[1, 0, 0, -0.5], [0, 1, 0, -1.5], [0, 0, 1, -2.5], [0, 0, 0, 1]]
    )


def sourced(folder: Path, tmp_path: Path) -> Source:
    return open_source(folder, tmp_path / "w", hashed=False)


def poses(source: Source) -> dict[str, list[str]]:
    return {name: [file.relative for file in files] for name, files in source.poses.items()}


def test_the_services_folder_belongs_to_its_recording_and_closed_loops_come_first(tmp_path: Path) -> None:
    for name in ("one.vrs", "two.vrs"):
        (tmp_path / "c").mkdir(exist_ok=True)
        (tmp_path / "c" / name).write_bytes(b"x")
    for name in ("closed_loop_trajectory.csv", "open_loop_trajectory.csv"):
        write(tmp_path / "c/mps_two_vrs/slam" / name, [at(0)])
    write(tmp_path / "c/one_trajectory.csv", [at(0)])
    write(tmp_path / "c/closed_loop_trajectory.csv", [at(0)])
    source = sourced(tmp_path / "c", tmp_path)
    assert poses(source) == {"one.vrs": ["one_trajectory.csv"], "two.vrs": ["mps_two_vrs/slam/closed_loop_trajectory.csv"]}
    reasons = {file.relative: (file.reason, file.lost) for file in source.ignored}
    assert reasons["mps_two_vrs/slam/open_loop_trajectory.csv"] == ("closed_loop_trajectory.csv is used in its place", False)
    assert reasons["closed_loop_trajectory.csv"] == ("a trajectory, and nothing tells of which .vrs recording", True)
    assert poses(sourced(tmp_path / "c/two.vrs", tmp_path)) == {"two.vrs": ["mps_two_vrs/slam/closed_loop_trajectory.csv"]}


def test_a_recording_that_lies_alone_has_the_trajectory_beside_it_in_a_zip_too(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c/walk.vrs").write_bytes(b"x")
    write(tmp_path / "c/closed_loop_trajectory.csv", [at(0)])
    expected = {"walk.vrs": ["closed_loop_trajectory.csv"]}
    assert poses(sourced(tmp_path / "c", tmp_path)) == expected
    assert poses(sourced(tmp_path / "c/walk.vrs", tmp_path)) == expected
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for path in (tmp_path / "c").iterdir():
            archive.write(path, path.name)
    assert poses(sourced(tmp_path / "c.zip", tmp_path)) == expected
