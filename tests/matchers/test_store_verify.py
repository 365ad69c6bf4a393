"""Verified pairs: what RANSAC keeps of true and chance matches, and that the store gives it back."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from recon.matchers.store import PairMatches, read_matches, write_matches
from recon.matchers.verify import verify

SIZE = (1600, 1200)
CAMERA = pycolmap.Camera(model="PINHOLE", width=SIZE[0], height=SIZE[1], params=[1500, 1500, 800, 600])
CAMERA.has_prior_focal_length = True


def seen_twice(rng: np.random.Generator, true: int, chance: int, noise_px: float, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints of two views a step apart: ``true`` of one scene, ``chance`` of nothing."""
    xyz = rng.uniform([-2, -1.5, 5], [2, 1.5, 9], (true, 3))
    step = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.05, 0.0])), np.array([-0.8, 0.0, 0.1]))
    one, two = (CAMERA.img_from_cam(points) + rng.normal(0, noise_px, (true, 2)) for points in (xyz, step * xyz))
    stray = rng.uniform(0, SIZE, (2, chance, 2))
    return scale * np.concatenate([one, stray[0]]), scale * np.concatenate([two, stray[1]])


def checked(one: np.ndarray, two: np.ndarray, seed: int = 0, distinct: bool = True, camera: pycolmap.Camera = CAMERA) -> PairMatches | None:
    matches = np.repeat(np.arange(len(one), dtype=np.uint32)[:, None], 2, axis=1)
    ratios = np.full(len(one), 0.5 if distinct else 0.84)
    return verify(("a", "b"), (camera, camera), (one.astype(np.float32), two.astype(np.float32)), matches, ratios, 4.0, 15, seed)


def test_true_matches_stay_and_chance_ones_go(rng: np.random.Generator) -> None:
    found = checked(*seen_twice(rng, 200, 100, 0.5))
    assert found is not None
    kept = set(found.matches[:, 0].tolist())
    assert len(kept & set(range(200))) > 190
    assert len(kept - set(range(200))) < 15  # those near their epipolar line
    assert found.raw == 300
    assert found.config == int(pycolmap.TwoViewGeometryConfiguration.CALIBRATED)


def test_the_relative_pose_is_that_of_the_cameras(rng: np.random.Generator) -> None:
    found = checked(*seen_twice(rng, 300, 0, 0.3))
    assert found is not None
    pose = pycolmap.Rigid3d(found.cam2_from_cam1)
    np.testing.assert_allclose(pose.rotation.matrix(), pycolmap.Rotation3d(np.array([0.0, 0.05, 0.0])).matrix(), atol=5e-3)
    direction = np.array([-0.8, 0.0, 0.1])
    assert 0.999 < pose.translation @ direction / np.linalg.norm(pose.translation) / np.linalg.norm(direction) < 1
    assert 4 < found.tri_angle_deg < 12


def test_the_allowed_error_grows_with_the_image(rng: np.random.Generator) -> None:
    large = pycolmap.Camera(model="PINHOLE", width=4 * SIZE[0], height=4 * SIZE[1], params=[6000, 6000, 3200, 2400])
    large.has_prior_focal_length = True
    one, two = seen_twice(rng, 200, 0, 1.2)
    small, big = checked(one, two), checked(4 * one, 4 * two, camera=large)
    assert small is not None
    assert big is not None
    assert abs(len(small.matches) - len(big.matches)) < 10


@pytest.mark.parametrize("true", [0, 12])
def test_what_does_not_agree_is_no_pair(rng: np.random.Generator, true: int) -> None:
    assert checked(*seen_twice(rng, true, 40, 0.3)) is None


def test_matches_that_are_all_doubtful_are_not_even_tried(rng: np.random.Generator) -> None:
    one, two = seen_twice(rng, 60, 0, 0.3)
    assert checked(one, two) is not None
    assert checked(one, two, distinct=False) is None


def test_equal_seeds_give_equal_pairs(rng: np.random.Generator) -> None:
    one, two = seen_twice(rng, 60, 60, 1.0)
    first, second = checked(one, two, seed=5), checked(one, two, seed=5)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.matches, second.matches)
    np.testing.assert_array_equal(first.cam2_from_cam1, second.cam2_from_cam1)


def test_the_store_gives_back_pairs_of_all_folders_in_order(tmp_path: Path, rng: np.random.Generator) -> None:
    pairs = [checked(*seen_twice(rng, count, 0, 0.3)) for count in (50, 70)]
    assert all(pairs)
    for number, given in enumerate(([pairs[0], pairs[1]], [], [pairs[1]])):
        (tmp_path / str(number)).mkdir()
        write_matches(tmp_path / str(number), given)
    back = read_matches([tmp_path / str(number) for number in range(3)])
    assert len(back) == 3
    for told, original in zip(back, (pairs[0], pairs[1], pairs[1]), strict=True):
        for field in fields(PairMatches):
            np.testing.assert_array_equal(getattr(told, field.name), getattr(original, field.name))
    (tmp_path / "again").mkdir()
    write_matches(tmp_path / "again", [pairs[0], pairs[1]])
    assert (tmp_path / "again/matches.npz").read_bytes() == (tmp_path / "0/matches.npz").read_bytes()
