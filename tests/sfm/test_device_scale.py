"""Metres and up from poses that a device states: exact where they are exact, and with an error as honest as its sigma where they drift."""

from __future__ import annotations

import re

import numpy as np
import pycolmap
import pytest

from recon.capture.device import device_pose
from recon.capture.records import ImageRecord
from recon.geometry.rotations import so3_exp
from recon.sfm.devicescale import LEAST_IMAGES, SYSTEMATIC, SYSTEMATIC_UP_DEG, DeviceScale, DeviceUp, device_scale, device_up
from recon.simulate.kinds import Plan, plan_capture
from recon.simulate.options import Options
from recon.simulate.tablet import device_poses
from recon.simulate.write import truth_model

UNIT_M = 2.5
"""Metres a unit of the model."""
TURN = so3_exp(np.array([0.3, -0.4, 0.5]))
"""Of the model against the true frame."""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_capture("room", Options(images=40, format="record3d", size=(64, 48)))


def stated(plan: Plan, drift: float = 0.0, seed: int = 0) -> list[pycolmap.Rigid3d]:
    return device_poses(plan, Options(drift=drift, seed=seed))


def model_of(plan: Plan) -> pycolmap.Reconstruction:
    model = truth_model(plan.camera, plan.names, [plan.path.pose(float(t)) for t in plan.times_s])
    model.transform(pycolmap.Sim3d(1 / UNIT_M, pycolmap.Rotation3d(TURN), np.array([3.0, 2.0, 1.0])))
    return model


def records_of(plan: Plan, poses: list[pycolmap.Rigid3d], session: str = "s", upright: bool = True) -> list[ImageRecord]:
    common = {"file": "", "source": "", "sha256": "", "width": 64, "height": 48, "camera": "c"}
    return [
        ImageRecord(name=name, pose=device_pose(pose, session, upright), **common) for name, pose in zip(plan.names, poses, strict=True)
    ]


def fitted(plan: Plan, poses: list[pycolmap.Rigid3d]) -> DeviceScale:
    found = device_scale(model_of(plan), records_of(plan, poses))
    assert isinstance(found, DeviceScale)
    return found


def up_by(plan: Plan, poses: list[pycolmap.Rigid3d]) -> DeviceUp:
    found = device_up(model_of(plan), records_of(plan, poses))
    assert found is not None
    return found


def moved(pose: pycolmap.Rigid3d, shift: np.ndarray) -> pycolmap.Rigid3d:
    """The camera elsewhere in the device's frame."""
    return pycolmap.Rigid3d(pose.rotation, pose.translation - pose.rotation.matrix() @ shift)


def test_exact_poses_give_the_exact_scale_and_up(plan: Plan) -> None:
    found = fitted(plan, stated(plan))
    assert found.metres == pytest.approx(UNIT_M, rel=1e-6)
    assert found.sigma_scale == pytest.approx(SYSTEMATIC, rel=0.01)
    assert not found.warnings
    up = up_by(plan, stated(plan))
    assert up.up == pytest.approx(TURN @ [0, 0, 1], abs=1e-6)
    assert up.sigma_deg == pytest.approx(SYSTEMATIC_UP_DEG, abs=1e-6)


@pytest.mark.parametrize(("drift", "jitter_m"), [(0.01, 0.0), (0.02, 0.004), (0.0, 0.005)])
def test_the_error_is_what_its_sigma_says(drift: float, jitter_m: float, plan: Plan) -> None:
    rng, errors, drifts = np.random.default_rng(1), [], []
    for seed in range(30):
        poses = [moved(pose, jitter_m * rng.standard_normal(3)) for pose in stated(plan, drift, seed)]
        found = fitted(plan, poses)
        own = np.sqrt(found.sigma_scale**2 - SYSTEMATIC**2)
        errors.append(np.log(found.metres / UNIT_M) / own)
        drifts.append(found.drift_share)
    assert 0.6 < np.sqrt(np.mean(np.square(errors))) < 1.5
    assert np.median(drifts) == pytest.approx(drift, rel=0.3, abs=0.002)


def test_a_jump_does_not_stretch_the_model(plan: Plan) -> None:
    poses = stated(plan, 0.002, 5)
    poses[20:] = [moved(pose, np.array([0.5, -0.3, 0.2])) for pose in poses[20:]]
    assert fitted(plan, poses).metres == pytest.approx(UNIT_M, rel=0.005)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_images_that_were_turned_against_their_poses_are_seen(quarter: int, plan: Plan) -> None:
    turn = pycolmap.Rigid3d(pycolmap.Rotation3d(so3_exp(np.array([0, 0, quarter * np.pi / 2]))), np.zeros(3))
    poses = [turn * pose for pose in stated(plan)]
    found = fitted(plan, poses)
    assert found.metres == pytest.approx(UNIT_M, rel=1e-6)
    assert up_by(plan, poses).up == pytest.approx(TURN @ [0, 0, 1], abs=1e-6)
    assert found.warnings == (f"the device's poses are those of images turned by {90 * quarter} degrees (s)",)


def test_poses_of_other_images_are_not_used(plan: Plan) -> None:
    rng = np.random.default_rng(2)
    wrong = [pycolmap.Rigid3d(pycolmap.Rotation3d(so3_exp(rng.standard_normal(3))), p.translation) for p in stated(plan)]
    found = device_scale(model_of(plan), records_of(plan, wrong))
    assert isinstance(found, str)
    assert "contradict the images" in found
    assert device_up(model_of(plan), records_of(plan, wrong)) is None


def test_what_says_nothing_is_named(plan: Plan) -> None:
    model, poses = model_of(plan), stated(plan)
    bare = [record.model_copy(update={"pose": None}) for record in records_of(plan, poses)]
    assert device_scale(model, bare) is None
    few = records_of(plan, poses)[: LEAST_IMAGES - 1] + bare[LEAST_IMAGES - 1 :]
    assert device_scale(model, few) == f"fewer than {LEAST_IMAGES} of the model's images have a pose"
    still = records_of(plan, [moved(pose, pose.inverse().translation * -1) for pose in poses])
    assert device_scale(model, still) == "the device moved 0.0 cm, and 10 cm are the least that tell a scale (s)"
    up = device_up(model, still)
    assert up is not None  # it knows what is up all the same
    assert up.up == pytest.approx(TURN @ [0, 0, 1], abs=1e-6)


def test_a_way_that_is_lost_in_its_errors_gives_no_scale(plan: Plan) -> None:
    rng = np.random.default_rng(3)
    found = device_scale(model_of(plan), records_of(plan, [moved(pose, rng.standard_normal(3)) for pose in stated(plan)]))
    assert isinstance(found, str)
    assert re.fullmatch(r"the device's way of \d+.\d+ m is too short for its errors, which leave the scale \d+ % \(s\)", found)


def test_ups_error_is_what_its_sigma_says(plan: Plan) -> None:
    rng, errors = np.random.default_rng(1), []
    for _ in range(15):
        # a tilt that wanders, as that of a model or of tracking does
        wander = np.cumsum(0.004 * rng.standard_normal((len(plan.times_s), 3)), axis=0)
        tilted = [
            pose * pycolmap.Rigid3d(pycolmap.Rotation3d(so3_exp(w)), np.zeros(3)) for pose, w in zip(stated(plan), wander, strict=True)
        ]
        found = up_by(plan, tilted)
        off_deg = np.degrees(np.arccos(np.clip(found.up @ TURN[:, 2], -1, 1))) / np.sqrt(2)
        errors.append(off_deg / found.sigma_deg)
    assert 0.5 < np.sqrt(np.mean(np.square(errors))) < 1.8


def test_two_recordings_share_nothing_but_the_metre(plan: Plan) -> None:
    elsewhere = pycolmap.Rigid3d(pycolmap.Rotation3d(so3_exp(np.array([0, 0, 1.0]))), np.array([7.0, 0, 0]))
    one, two = stated(plan, 0.01, 1), [pose * elsewhere for pose in stated(plan, 0.01, 2)]
    records = records_of(plan, one, "one")[:20] + records_of(plan, two, "two")[20:]
    found = device_scale(model_of(plan), records)
    assert isinstance(found, DeviceScale)
    assert (found.sessions, found.images) == (2, 40)
    assert abs(np.log(found.metres / UNIT_M)) < 3 * found.sigma_scale
    up = device_up(model_of(plan), records)
    assert up is not None
    assert up.up == pytest.approx(TURN @ [0, 0, 1], abs=0.01)


def test_without_gravity_there_is_no_up(plan: Plan) -> None:
    assert device_up(model_of(plan), records_of(plan, stated(plan), upright=False)) is None
