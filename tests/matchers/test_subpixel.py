"""Keypoints of tracks are aligned on images whose warp is known exactly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from recon.features.store import Features
from recon.matchers.store import PairMatches
from recon.matchers.subpixel import align, aligned, tracks

WARPS = {
    "shift": np.array([[1, 0, 3.37], [0, 1, -2.71]]),
    "tilt": np.array([[0.93, 0.08, 12.4], [-0.11, 1.06, 9.8]]),
    "turn": np.array([[0.87, -0.5, 120.3], [0.5, 0.87, -60.2]]),
}


@pytest.fixture
def texture(rng: np.random.Generator) -> NDArray[np.uint8]:
    layers = [cv2.resize(rng.uniform(0, 1, (n, n)).astype(np.float32), (400, 400), interpolation=cv2.INTER_CUBIC) for n in (20, 60, 130)]
    return cv2.normalize(sum(layers), None, 30, 200, cv2.NORM_MINMAX).astype(np.uint8)


def pair(one: str, two: str, matches: list[tuple[int, int]]) -> PairMatches:
    nothing = np.zeros((3, 3))
    table = np.array(matches, np.uint32).reshape(-1, 2)
    return PairMatches(one, two, table, len(matches), 2, nothing, nothing, nothing, np.full((3, 4), np.nan), float("nan"))


@pytest.mark.parametrize("warp", WARPS)
@pytest.mark.parametrize(("noise", "low", "high"), [(0.0, 1e-4, 0.05), (3.0, 1e-3, 0.12)])
def test_keypoints_come_to_lie_on_the_same_point(
    warp: str, noise: float, low: float, high: float, texture: NDArray[np.uint8], rng: np.random.Generator
) -> None:
    M = WARPS[warp]
    other = cv2.warpAffine(texture, M, (400, 400), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    other = np.clip(0.8 * other + 20 + rng.normal(0, noise, other.shape), 0, 255).astype(np.uint8)  # brighter, of less contrast
    grid = np.stack(np.meshgrid(np.arange(100, 300, 12.0), np.arange(100, 300, 12.0)), axis=-1).reshape(-1, 2)
    xy = grid + rng.uniform(-3, 3, grid.shape)
    true = xy @ M[:, :2].T + M[:, 2]
    inside = ((true > 15) & (true < 385)).all(axis=1)
    xy, true = xy[inside], true[inside]
    given = true + rng.normal(0, 0.5, true.shape)
    features = {name: _features(places + 0.5) for name, places in (("a", xy), ("b", given))}
    images = {"a": texture, "b": other}
    found = aligned(features, [pair("a", "b", [(k, k) for k in range(len(xy))])], dict.fromkeys("ab", (400, 400)), images.__getitem__)
    error = np.linalg.norm(found["b"].keypoints[:, :2] - 0.5 - true, axis=1)
    assert np.median(np.linalg.norm(given - true, axis=1)) > 0.4
    assert low < np.median(error) < high
    np.testing.assert_array_equal(found["a"].keypoints, features["a"].keypoints)


def test_what_does_not_agree_stays_where_it_was(texture: NDArray[np.uint8], rng: np.random.Generator) -> None:
    other = rng.integers(0, 255, texture.shape, np.uint8)
    xy = rng.uniform(50, 350, (60, 2))
    found, moved = align(texture.astype(np.float32), other.astype(np.float32), xy, xy, np.tile(np.eye(2), (60, 1, 1)))
    assert moved.mean() < 0.05
    np.testing.assert_array_equal(found[~moved], xy[~moved])
    blank = np.full(texture.shape, 90, np.float32)
    assert not align(blank, blank, xy, xy, np.tile(np.eye(2), (60, 1, 1)))[1].any()


def test_tracks_are_joined_over_pairs_and_contradictory_ones_are_left_out() -> None:
    pairs = [pair("a", "b", [(0, 0), (1, 1)]), pair("b", "c", [(0, 5), (1, 6)]), pair("a", "c", [(2, 6)])]
    assert tracks(pairs) == [[("a", 0), ("b", 0), ("c", 5)]]  # the other one would hold two keypoints of a


def _features(xy: NDArray[np.float64]) -> Features:
    table = np.column_stack([xy, np.ones(len(xy)), np.zeros(len(xy))]).astype(np.float32)
    return Features(table, np.zeros((len(xy), 8), np.float16), np.zeros((len(xy), 3), np.uint8))
