"""Nearest neighbours in torch against those of the CPU path and against brute force."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="learned matching is not installed: pip install -e '.[dev]'")

import torch

from recon.features.sift import root_normalised
from recon.matchers import mutual, nearest


@pytest.mark.parametrize("block", [64, 4096])
def test_sift_matches_are_those_of_the_cpu_path(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(mutual, "_BLOCK", block)
    base = rng.exponential(20, (700, 128))
    one = root_normalised(base.astype(np.float32))
    two = root_normalised((base[::-1] + rng.exponential(4, base.shape)).astype(np.float32)[:600])
    expected, ratios = nearest.match(one, two, 0.85)
    found, same = mutual.match_sift(one, two, 0.85, torch.device("cpu"))
    assert len(expected) > 300
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(same, ratios, rtol=1e-6)


@pytest.mark.parametrize("block", [50, 4096])
def test_mutual_neighbours_equal_brute_force(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(mutual, "_BLOCK", block)
    one = rng.normal(size=(230, 64)).astype(np.float32)
    two = np.concatenate([one[::2] + rng.normal(0, 0.3, (115, 64)), rng.normal(size=(90, 64))]).astype(np.float32)
    one, two = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, two))
    cosines = one.astype(float) @ two.T.astype(float)
    best = cosines.argmax(axis=1)
    expected = [(i, j) for i, j in enumerate(best) if cosines[:, j].argmax() == i and cosines[i, j] > 0.5]
    found, scores = mutual.match_dense(one.astype(np.float16), two.astype(np.float16), torch.device("cpu"), 0.5)
    assert len(expected) > 100
    assert len(set(expected) ^ {tuple(row) for row in found.tolist()}) <= 1  # float16 may tip a near tie
    np.testing.assert_allclose(scores, cosines[found[:, 0], found[:, 1]], atol=2e-3)


def test_nothing_matches_nothing() -> None:
    none, some = np.zeros((0, 64), np.float16), np.ones((4, 64), np.float16) / 8
    assert mutual.match_dense(none, some, torch.device("cpu"))[0].shape == (0, 2)
    assert mutual.match_sift(np.zeros((3, 128), np.uint8), np.zeros((0, 128), np.uint8), 0.8, torch.device("cpu"))[0].shape == (0, 2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_finds_the_same_matches(rng: np.random.Generator) -> None:
    one = root_normalised(rng.exponential(20, (9000, 128)).astype(np.float32))
    two = np.concatenate([one[::-2], root_normalised(rng.exponential(20, (2000, 128)).astype(np.float32))])
    expected, _ = nearest.match(one, two, 0.85)
    found, _ = mutual.match_sift(one, two, 0.85, torch.device("cuda:0"))
    np.testing.assert_array_equal(found, expected)
