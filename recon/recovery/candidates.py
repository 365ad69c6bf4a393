"""Pairs of images that should share something, though the model does not connect them: the likeliest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from recon.capture.records import ImageRecord
from recon.features.vlad import image_vectors
from recon.matchers.pairing import gps_pairs
from recon.recovery.material import Material, Names, ordered
from recon.recovery.standing import Standing

_NEAR = 40
"""Nearest by GPS among which those of another part are looked for."""


def should_match(material: Material, now: Standing, rounds: int, seed: int) -> list[Names]:
    """Pairs across parts: for each image outside the largest part the first, second, ... by time, by GPS and by likeness.

    Parts are those of ``Standing``; an image that belongs to none may match with any other.
    """
    records = material.in_sequence
    names = [record.name for record in records]
    part = np.array([now.part_of(name) for name in names])
    outside = [k for k in range(len(names)) if part[k] != 0]
    allowed = (part[:, None] != part[None]) | (part < 0)[:, None]
    np.fill_diagonal(allowed, False)
    groups = np.unique([record.sequence or "" for record in records], return_inverse=True)[1]
    vectors = image_vectors(material.features, names, seed)
    likeness = vectors @ vectors.T
    near = _by_gps(records)
    found: dict[Names, None] = {}
    ranked = {}
    for k in outside:
        orders = (_by_order(groups, k), near.get(k, []), np.argsort(-likeness[k], kind="stable"))
        ranked[k] = [[int(other) for other in order if allowed[k, other]][:rounds] for order in orders]
    for turn in range(rounds):
        for k in outside:
            for row in ranked[k]:
                if turn < len(row):
                    found.setdefault(ordered(names[k], names[row[turn]]))
    return list(found)


def across(material: Material, now: Standing) -> Iterator[Names]:
    """All pairs across parts, in order of the images."""
    names = [record.name for record in material.in_sequence]
    part = [now.part_of(name) for name in names]
    for i, one in enumerate(names):
        for j in range(i + 1, len(names)):
            if part[i] != part[j] or part[i] < 0:
                yield ordered(one, names[j])


def _by_order(groups: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The other images of its sequence (or of the photos), the nearest in order first."""
    same = np.flatnonzero(groups == groups[k])
    same = same[same != k]
    return np.asarray(same[np.argsort(np.abs(same - k), kind="stable")])


def _by_gps(records: Sequence[ImageRecord]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for one, other in gps_pairs(range(len(records)), records, _NEAR):
        found.setdefault(one, []).append(other)
    return found
