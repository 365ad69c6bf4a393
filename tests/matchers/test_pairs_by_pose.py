"""Pairs by the poses that a device states: those whose views truly overlap are found, through drift, and where a walk comes by again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pycolmap
import pytest
from numpy.typing import NDArray

from recon.capture.device import device_pose
from recon.capture.records import ImageRecord
from recon.config import Pairs
from recon.matchers import frustums
from recon.matchers.frustums import Frustums
from recon.matchers.pairing import Pair, Ranked, choose_pairs, components, sequence_pairs
from recon.simulate.cameras import Trajectory, room_walk
from recon.simulate.kinds import Plan, plan_capture
from recon.simulate.options import Options
from recon.simulate.render import render_depth, sees
from recon.simulate.tablet import device_poses

IMAGES = 64
SIZE = (640, 480)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Two rounds through the room."""
    made = plan_capture("room", Options(images=IMAGES, format="record3d", size=SIZE))
    walk = room_walk(60.0, loops=2.0)
    return Plan(made.scene, made.camera, Trajectory(walk.times_s, walk.rotations, walk.centers), np.linspace(0, 60, IMAGES), made.names)


@pytest.fixture(scope="module")
def shares(plan: Plan) -> NDArray[np.float64]:
    """(N, N) of what the row's image sees the share that the column's sees too."""
    small = pycolmap.Camera(plan.camera.todict())
    small.rescale(16, 12)
    poses = [plan.path.pose(float(t)) for t in plan.times_s]
    found = np.zeros((IMAGES, IMAGES))
    xy = np.stack(np.meshgrid(np.arange(16) + 0.5, np.arange(12) + 0.5), -1).reshape(-1, 2)
    for i, pose in enumerate(poses):
        depth = render_depth(plan.scene, small, pose).ravel()
        rays = np.column_stack([small.cam_from_img(xy), np.ones(len(xy))])
        points = pose.inverse() * (rays * depth[:, None])
        found[i] = [sees(plan.scene.raycaster, small, other, points)[1].mean() for other in poses]
    return found


def records_of(plan: Plan, drift: float, sequence: str | None = None, sessions: int = 1) -> list[ImageRecord]:
    common = {"file": "", "source": "", "sha256": "", "width": SIZE[0], "height": SIZE[1], "camera": "c", "sequence": sequence}
    poses = device_poses(plan, Options(drift=drift))
    return [
        ImageRecord(name=f"{k}", pose=device_pose(pose, f"{k * sessions // IMAGES}"), focal_px=plan.camera.mean_focal_length(), **common)
        for k, pose in enumerate(poses)
    ]


def nothing(queries: Sequence[int], among: Sequence[int], count: int, apart: int) -> Ranked:
    return {}


def disagree(pairs: Sequence[Pair]) -> list[int]:
    return [0] * len(pairs)


def chosen(records: list[ImageRecord]) -> tuple[set[Pair], dict[str, int]]:
    pairs, rules = choose_pairs(records, Pairs(), nothing, disagree)
    return set(pairs), rules


@pytest.mark.parametrize("drift", [0.0, 0.01])
def test_views_that_overlap_are_paired_in_both_rounds(drift: float, plan: Plan, shares: NDArray[np.float64]) -> None:
    pairs, rules = chosen(records_of(plan, drift))
    assert rules["pose"] > 0.9 * len(pairs)
    assert 2 * len(pairs) <= 20 * IMAGES
    overlap = np.minimum(shares, shares.T)
    assert np.mean([overlap[i, j] > 0.25 for i, j in pairs]) > 0.95
    again = [(i, j) for i, j in pairs if j - i > IMAGES // 3]
    assert len(again) > 2 * IMAGES  # the second round is tied to the first
    assert {k for pair in again for k in pair} == set(range(IMAGES))


def test_a_videos_loops_are_found_by_its_poses(plan: Plan, shares: NDArray[np.float64]) -> None:
    pairs, rules = chosen(records_of(plan, 0.01, sequence="rgb.mp4"))
    assert rules["sequence"] > 6 * (IMAGES - 10)
    assert IMAGES < rules["pose"] <= 3 * IMAGES
    loops = pairs - set(sequence_pairs(range(IMAGES), Pairs().sequence_window))
    assert len(loops) == rules["pose"]
    assert np.mean([min(shares[i, j], shares[j, i]) > 0.25 for i, j in loops]) > 0.95


def test_two_sessions_are_looked_at_as_well(plan: Plan) -> None:
    records = records_of(plan, 0.0, sessions=2)
    ranked = frustums.nearest(records, 5, 5, 10)
    assert all((k < IMAGES // 2) == (other < IMAGES // 2) for k, others in enumerate(ranked) for other in others)
    _, rules = chosen(records)
    assert "pose" not in rules  # a quick look ties both


def test_overlap_is_that_of_the_views(plan: Plan) -> None:
    half_deg = np.degrees(np.arctan(SIZE[0] / 2 / plan.camera.mean_focal_length()))
    turns = [pycolmap.Rotation3d(np.radians([0.0, angle, 0.0])) for angle in (0.0, half_deg, 180.0)]
    poses = [device_pose(pycolmap.Rigid3d(turn, np.zeros(3)), "s") for turn in turns]
    records = [record.model_copy(update={"pose": pose}) for record, pose in zip(records_of(plan, 0.0), poses, strict=False)]
    same, half, none = Frustums.of(records).overlap(np.array([0, 0, 0]), np.array([0, 1, 2]))
    assert (same, none) == (pytest.approx(1.0), 0.0)
    assert half == pytest.approx(1 / 3, abs=0.01)  # of three columns of points one
    assert frustums.nearest(records[:1], 3, 3, 1) == [[]]


def test_a_chain_hangs_together(plan: Plan) -> None:
    pairs, _ = chosen(records_of(plan, 0.02))
    assert len(components(range(IMAGES), pairs)) == 1
