"""Pairs at scale: recall of truly overlapping neighbours, chosen and matched, pairs an image, and how time grows with the images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.bars import Row, at_least, at_most
from recon.config import Config, Pairs
from recon.features.vlad import image_vectors, ranked_alike
from recon.matchers.pairing import Pair, Ranked, choose_pairs
from recon.matchers.quick import agreements
from recon.recovery.material import Material, Place, match_pairs
from recon.simulate.ground import Survey, survey
from recon.stage import Work

LEAST_OVERLAP = 0.3
"""Of the ground that each of two photos sees: neighbours beyond that must be found."""
_FEW, _MANY = 100, 1000


def chosen(flight: Survey, options: Pairs, threads: int = 2) -> tuple[list[Pair], float]:
    """Pairs of a flight as the stage ``pairs`` chooses them, and the seconds that it took."""
    names = [record.name for record in flight.records]
    vectors: list[NDArray[np.float32]] = []

    def alike(queries: Sequence[int], among: Sequence[int], count: int, apart: int) -> Ranked:
        if not vectors:
            vectors.append(image_vectors(flight.features, names, 0))
        return ranked_alike(vectors[0], queries, among, count, apart)

    def agreement(pairs: Sequence[Pair]) -> list[int]:
        return agreements(flight.features, [(names[i], names[j]) for i, j in pairs], threads)

    started_s = time.monotonic()
    pairs, _ = choose_pairs(flight.records, options, alike, agreement)
    return pairs, time.monotonic() - started_s


def matched(flight: Survey, wanted: Sequence[Pair], threads: int = 2) -> tuple[set[Pair], float]:
    """Those pairs that verify, matched by the full descriptors as the stage ``matches`` does, and the seconds that it took."""
    names = [record.name for record in flight.records]
    material = Material(tuple(flight.records), flight.features, {}, {}, frozenset(names))
    here = Place(Config(), {}, Path(), Work(threads=threads))
    started_s = time.monotonic()
    found = match_pairs(material, [(names[i], names[j]) for i, j in wanted], here)
    seconds = time.monotonic() - started_s
    return {pair for pair, result in zip(wanted, found.values(), strict=True) if result is not None}, seconds


def pairs(data: Path, work: Path) -> list[Row]:
    """Issue 5, bar 3: simulated flights of 100 and 1,000 photos, with positions and without."""
    del data, work
    rows = []
    for name, gps in (("with GPS (0.5 m)", True), ("without GPS", False)):
        seconds, counts, matching = [], [], []
        warm = survey(_FEW, gps=gps)
        matched(warm, chosen(warm, Pairs())[0][:8])  # compiles
        for count in (_FEW, _MANY):
            flight = survey(count, gps=gps)
            found, taken_s = chosen(flight, Pairs())
            true = flight.overlapping(LEAST_OVERLAP)
            seconds.append(taken_s)
            counts.append(len(found))
            label = f"flight of {count} photos {name}"
            rows.append(
                at_least("3", label, f"recall of neighbours that share {LEAST_OVERLAP:.0%}", len(true & set(found)) / len(true), 0.98)
            )
            rows.append(at_most("3", label, "pairs an image is in (2 pairs / images)", 2 * len(found) / count, 20))
            rows.append(Row("3", label, "seconds to choose pairs", taken_s, "", True))
            verified, taken_s = matched(flight, found)
            matching.append(taken_s)
            rows.append(
                at_least("3", label, "... of which matched and verified, share", len(true & verified) / len(true & set(found)), 0.98)
            )
            rows.append(Row("3", label, "seconds to match and verify them", taken_s, "", True))
        rows.append(at_most("3", name, "pairs to match, 1,000 photos over 100", counts[1] / counts[0], 12.5))
        rows.append(at_most("3", name, "seconds to match and verify, 1,000 photos over 100", matching[1] / matching[0], 12.5))
        rows.append(at_most("3", name, "seconds to choose, 1,000 photos over 100", seconds[1] / seconds[0], 14.0))
    return rows
