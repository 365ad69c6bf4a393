"""Nearest neighbours against brute force, and which pairs are chosen."""

from __future__ import annotations

import numpy as np
import pytest

from recon.capture.records import Gps, ImageRecord
from recon.config import Pairs
from recon.features.sift import root_normalised
from recon.matchers.nearest import match
from recon.matchers.pairing import choose_pairs, sequence_pairs


def test_matches_equal_brute_force(rng: np.random.Generator) -> None:
    base = rng.uniform(0, 100, (300, 128))
    a = root_normalised(base.astype(np.float32))
    b = root_normalised((base[::-1] + rng.uniform(0, 25, base.shape)).astype(np.float32)[:250])
    angles = np.arccos(np.clip(a.astype(float) @ b.astype(float).T / 512**2, -1, 1))
    expected = set()
    for i in range(len(a)):
        j = int(angles[i].argmin())
        rest, other = np.delete(angles[i], j).min(), np.delete(angles[:, j], i).min()
        if angles[:, j].argmin() == i and angles[i, j] < 0.8 * min(rest, other):
            expected.add((i, j))
    pairs, _ = match(a, b, 0.8)
    assert len(expected) > 100
    assert len(expected ^ {tuple(pair) for pair in pairs.tolist()}) <= 0.02 * len(expected)


def test_empty_descriptors_match_nothing() -> None:
    pairs, ratios = match(np.zeros((0, 128), np.uint8), np.zeros((5, 128), np.uint8), 0.8)
    assert pairs.shape == (0, 2)
    assert len(ratios) == 0


def records(count: int, sequence: str | None = None, gps: bool = False) -> list[ImageRecord]:
    return [
        ImageRecord(
            name=f"{sequence or ''}{n}", file="x", source="x", sha256="", width=640, height=480, camera="a", sequence=sequence, frame=n,
            gps=Gps(lat_deg=47 + 1e-4 * (n // 20), lon_deg=8 + 1e-4 * (n % 20)) if gps else None,
        )
        for n in range(count)
    ]  # fmt: skip


def alike(queries, among, count, apart):  # type: ignore[no-untyped-def]
    """The first allowed ones, whatever they look like."""
    place = {k: row for row, k in enumerate(among)}
    return {k: [j for row, j in enumerate(among) if abs(row - place.get(k, -apart)) >= apart][:count] for k in queries}


def agreement(pairs):  # type: ignore[no-untyped-def]
    """Images see the same up to five apart."""
    return [20 if abs(i - j) <= 5 else 0 for i, j in pairs]


def test_few_photos_are_matched_all_with_all() -> None:
    pairs, sources = choose_pairs(records(12), Pairs(), alike, agreement)
    assert len(pairs) == 66
    assert sum(sources.values()) == 66


@pytest.mark.parametrize("gps", [True, False])
def test_pairs_of_many_photos_grow_linearly(gps: bool) -> None:
    counts = [len(choose_pairs(records(n, gps=gps), Pairs(), alike, agreement)[0]) for n in (200, 400)]
    assert counts[0] < 200 * 15
    assert 1.8 < counts[1] / counts[0] < 2.2


def test_a_sequence_has_all_near_neighbours_and_doubling_gaps() -> None:
    pairs = set(sequence_pairs(list(range(100)), 5))
    assert {(0, g) for g in (1, 2, 3, 4, 5, 10, 20, 40, 80)} <= pairs
    assert (0, 7) not in pairs
