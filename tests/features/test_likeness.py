"""Images of one scene are found among those of others."""

from __future__ import annotations

import numpy as np
import pytest

from recon.features.store import Features
from recon.features.vlad import image_vectors, most_alike, vlad


def scenes(rng: np.random.Generator, count: int, each: int, noise: float) -> dict[str, Features]:
    """``each`` images of each scene: the same descriptors but for noise, half of them hidden, among as many of nothing."""
    found = {}
    for scene in range(count):
        own = rng.uniform(0, 90, (120, 128))
        for image in range(each):
            seen = own[rng.permutation(120)[:60]] + rng.normal(0, noise, (60, 128))
            given = np.concatenate([seen, rng.uniform(0, 90, (60, 128))]).clip(0, 255).astype(np.uint8)
            found[f"{scene}/{image}"] = Features(np.zeros((120, 4), np.float32), given, np.zeros((120, 3), np.uint8))
    return found


@pytest.mark.parametrize(("noise", "low", "high"), [(2.0, 0.95, 1.0), (60.0, 0.0, 0.6)])
def test_the_most_alike_are_of_the_same_scene_until_noise_hides_it(rng: np.random.Generator, noise: float, low: float, high: float) -> None:
    given = scenes(rng, 8, 4, noise)
    names = list(given)
    vectors = image_vectors(given, names, seed=0)
    rows = most_alike(vectors, vectors, ~np.eye(len(names), dtype=bool), 3)
    same = np.mean([names[i][0] == names[j][0] for i, row in enumerate(rows) for j in row])
    assert low <= same <= high


def test_vectors_are_of_unit_length_and_the_same_for_the_same_seed(rng: np.random.Generator) -> None:
    given = scenes(rng, 3, 2, 5.0)
    given["empty"] = Features.none()
    vectors, again = (image_vectors(given, list(given), seed=3) for _ in range(2))
    np.testing.assert_array_equal(vectors, again)
    np.testing.assert_allclose(np.linalg.norm(vectors[:-1], axis=1), 1, atol=1e-5)
    assert not vectors[-1].any()


def test_only_what_is_allowed_is_returned(rng: np.random.Generator) -> None:
    centres = rng.uniform(0, 1, (4, 128)).astype(np.float32)
    vectors = np.stack([vlad(rng.uniform(0, 1, (30, 128)).astype(np.float32), centres) for _ in range(6)])
    allowed = np.zeros((6, 6), dtype=bool)
    allowed[:, 2] = True
    for row in most_alike(vectors, vectors, allowed, 4):
        assert set(row.tolist()) <= {2}
