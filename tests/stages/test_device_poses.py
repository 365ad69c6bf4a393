"""The world frame of a scan: metres and up by the poses that a tablet states, by its depth where that is more certain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import pytest
from chain import run

from recon.capture.depthimage import DepthImage
from recon.capture.device import device_pose
from recon.capture.records import ImageRecord, read_json, write_records
from recon.geometry.rotations import so3_exp
from recon.simulate.kinds import Plan, plan_capture, sensor_depth
from recon.simulate.options import Options
from recon.simulate.tablet import device_poses
from recon.simulate.views import exact_model
from recon.stage import Inputs
from recon.stages import georef

UNIT_M = 2.5
OPTIONS = Options(images=12, format="record3d", size=(160, 120), drift=0.01, seed=2)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_capture("room", OPTIONS)


@pytest.fixture(scope="module")
def model(plan: Plan) -> pycolmap.Reconstruction:
    model = exact_model(plan, plan.names, [plan.path.pose(float(t)) for t in plan.times_s], 1500, 0)
    turn = pycolmap.Rotation3d(so3_exp(np.array([1.0, -0.4, 0.5])))
    model.transform(pycolmap.Sim3d(1 / UNIT_M, turn, np.array([3.0, 2.0, 1.0])))
    return model


def georeferenced(out: Path, plan: Plan, model: pycolmap.Reconstruction, depth: bool = False, stretch: float = 1.0) -> tuple[Inputs, Any]:
    """georef's folder and facts; ``stretch`` makes the device's metres wrong."""
    rng, records = np.random.default_rng(4), []
    for number, (name, pose) in enumerate(zip(plan.names, device_poses(plan, OPTIONS), strict=True)):
        wrong = pycolmap.Rigid3d(pose.rotation, stretch * pose.translation)
        measured = None
        if depth:
            metres = sensor_depth(plan.scene, plan.camera, plan.path.pose(float(plan.times_s[number])), 0.01, rng)
            measured = f"select/0/{number}.npz"
            DepthImage(metres, np.where(metres > 0, 255, 0).astype(np.uint8)).save(out / f"select/{number}.npz")
        common = {"file": "", "source": "", "sha256": "", "width": plan.camera.width, "height": plan.camera.height, "camera": "c"}
        records.append(ImageRecord(name=name, pose=device_pose(wrong, "s"), depth=measured, **common))
    (out / "recover" / "model").mkdir(parents=True)
    (out / "select").mkdir(exist_ok=True)
    model.write_binary(out / "recover" / "model")
    write_records(out / "recover", records)
    inputs = run((georef.stage,), {"select": (out / "select",), "recover": (out / "recover",)}, out)
    return inputs, read_json(inputs["georef"][0] / "georef.json")


def test_poses_alone_give_metres_and_up(plan: Plan, model: pycolmap.Reconstruction, tmp_path: Path) -> None:
    inputs, facts = georeferenced(tmp_path, plan, model)
    assert (facts["metric"], facts["source"], facts["unit"]) == (True, "device", "m")
    assert abs(np.log(facts["scale"] / UNIT_M)) < 3 * facts["sigma_scale"] < 0.06
    assert facts["up"]["source"] == "device"
    assert 0.5 <= facts["up"]["sigma_deg"] < 1
    assert facts["up"]["device_tilt_deg"] == pytest.approx(0, abs=1e-6)
    assert not facts["warnings"]
    world = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    for image in world.images.values():
        true = plan.path.pose(float(plan.times_s[plan.names.index(image.name)]))
        up = image.cam_from_world().rotation.matrix()[:, 2]
        assert np.degrees(np.arccos(np.clip(up @ true.rotation.matrix()[:, 2], -1, 1))) < 0.5


def test_depth_is_more_certain_and_the_poses_agree(plan: Plan, model: pycolmap.Reconstruction, tmp_path: Path) -> None:
    _, facts = georeferenced(tmp_path, plan, model, depth=True)
    assert facts["source"] == "depth"
    assert facts["scale"] == pytest.approx(UNIT_M, rel=0.005)
    assert facts["sigma_scale"] < facts["device"]["sigma_scale"]
    assert facts["device"]["world_from_metres"] == pytest.approx(1, abs=0.05)
    assert not facts["warnings"]


def test_poses_that_depth_contradicts_are_told(plan: Plan, model: pycolmap.Reconstruction, tmp_path: Path) -> None:
    _, facts = georeferenced(tmp_path, plan, model, depth=True, stretch=1.15)
    assert facts["scale"] == pytest.approx(UNIT_M, rel=0.005)
    (warning,) = facts["warnings"]
    assert warning.startswith("the scales by measured depth and by the device's poses differ by 1")
    assert warning.endswith("measured depth is used")
