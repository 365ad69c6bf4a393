"""SIFT on images whose warp is known: repeatable, sub-pixel, spread, masked; and likeness by VLAD."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from recon.features.sift import detect, extract, root_normalised, spread
from recon.features.store import Features, FeatureStore, write_features
from recon.matchers.nearest import match


@pytest.fixture
def texture(rng: np.random.Generator) -> NDArray[np.uint8]:
    layers = [cv2.resize(rng.uniform(0, 1, (n, n)).astype(np.float32), (480, 480), interpolation=cv2.INTER_CUBIC) for n in (20, 60, 160)]
    return cv2.normalize(sum(layers), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def test_matches_follow_a_known_shift_to_a_tenth_of_a_pixel(texture: NDArray[np.uint8]) -> None:
    shift = np.array([7.3, -4.6])
    moved = cv2.warpAffine(texture, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), (480, 480), borderMode=cv2.BORDER_REFLECT)
    a, b = detect(texture, 2000, 0.0066), detect(moved, 2000, 0.0066)
    pairs, ratios = match(a.descriptors, b.descriptors, 0.85)
    error = b.keypoints[pairs[:, 1], :2] - a.keypoints[pairs[:, 0], :2] - shift
    near = np.linalg.norm(error, axis=1) < 1
    assert len(pairs) > 200
    assert near.mean() > 0.9
    assert 1e-4 < np.median(np.linalg.norm(error[near], axis=1)) < 0.15
    assert np.abs(error[near].mean(0)).max() < 0.03
    assert (ratios < 0.85).all()


def test_keypoints_are_in_original_pixels_with_the_first_centre_at_a_half(texture: NDArray[np.uint8], tmp_path: Path) -> None:
    blob = np.zeros((240, 400), np.uint8)
    cv2.circle(blob, (300, 100), 14, 255, -1)
    cv2.circle(blob, (100, 160), 20, 200, -1)
    blob = cv2.GaussianBlur(blob, (0, 0), 2)
    cv2.imwrite(str(tmp_path / "blob.png"), blob)
    for limit in (400, 200):
        found = extract(tmp_path / "blob.png", None, (400, 240), limit, 100, 0.0066)
        distance = np.linalg.norm(found.keypoints[:, :2] - [300.5, 100.5], axis=1)
        assert distance.min() < 0.35


def test_a_keypoint_has_the_colour_of_the_pixel_that_it_lies_in(texture: NDArray[np.uint8], rng: np.random.Generator) -> None:
    noisy = np.clip(np.repeat(texture[..., None], 3, 2) + rng.integers(-20, 20, (480, 480, 3)), 0, 255).astype(np.uint8)
    found = detect(noisy, 500, 0.0066)
    assert len(found) > 200
    x, y = np.floor(found.keypoints[:, :2]).astype(int).T  # the first pixel reaches from 0 to 1
    np.testing.assert_array_equal(found.rgb, noisy[y, x])


def test_a_mask_is_obeyed_and_the_number_is_held(texture: NDArray[np.uint8]) -> None:
    mask = np.full(texture.shape, 255, np.uint8)
    mask[:, 240:] = 0
    found = detect(texture, 150, 0.0066, mask)
    assert 100 < len(found) <= 150
    assert (found.keypoints[:, 0] < 242).all()


def test_keypoints_are_spread_over_the_image() -> None:
    xy = np.concatenate([np.random.default_rng(0).uniform(0, 20, (500, 2)), [[90.0, 90.0], [10.0, 90.0]]]).astype(np.float32)
    response = np.concatenate([np.ones(500), [0.1, 0.1]]).astype(np.float32)
    chosen = spread(xy, response, (100, 100), 50)
    assert len(chosen) == 50
    assert {500, 501} <= set(chosen.tolist())


def test_descriptors_are_unit_vectors_of_length_512(rng: np.random.Generator) -> None:
    stored = root_normalised(rng.uniform(0, 100, (20, 128)).astype(np.float32)).astype(float)
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 512, rtol=0.01)


def test_the_store_gives_back_what_was_written(tmp_path: Path, rng: np.random.Generator) -> None:
    given = {
        name: Features(
            rng.uniform(0, 9, (n, 4)).astype(np.float32), rng.integers(0, 255, (n, 128), np.uint8), rng.integers(0, 255, (n, 3), np.uint8)
        )
        for name, n in (("a", 3), ("b", 0))
    }
    write_features(tmp_path, list(given), given.values())
    store = FeatureStore([tmp_path])
    assert sorted(store) == ["a", "b"]
    for name, features in given.items():
        np.testing.assert_array_equal(store[name].keypoints, features.keypoints)
        np.testing.assert_array_equal(store[name].descriptors, features.descriptors)
        np.testing.assert_array_equal(store[name].rgb, features.rgb)
        assert store.count(name) == len(features)
