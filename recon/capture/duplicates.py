"""Photos that show the same twice: a burst, a second export. Two views of a repetitive scene are not that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recon.capture import quality
from recon.capture.records import Gps, ImageRecord

_MEAN, _P99 = 2.5, 14.0
"""Grey levels by which two thumbs of one view may differ, on average and in their worst hundredth."""
_EARTH_M = 6_371_000.0
_SAME_PLACE_M = 1.0


def near_duplicates(records: Sequence[ImageRecord], thumbs: NDArray[np.uint8], max_bits: int) -> dict[int, int]:
    """Index of each photo that is to be dropped -> index of the one that stays in its place.

    thumbs is (N, 64, 64). Two photos are one view if their hashes differ by at most max_bits *and* their thumbs hardly
    differ *and* no GPS tells two places. The larger of both stays, then the sharper, then the first.
    """
    hashes = np.array([quality.dhash(thumb) for thumb in thumbs], np.uint64)
    order = sorted(range(len(records)), key=lambda i: (-records[i].width * records[i].height, -records[i].sharpness, i))
    dropped: dict[int, int] = {}
    for i in order:
        if i in dropped:
            continue
        alike = np.flatnonzero(np.bitwise_count(hashes ^ hashes[i]) <= max_bits)
        for j in (int(j) for j in alike):
            if j != i and j not in dropped and _one_view(records[i], records[j], thumbs[i], thumbs[j]):
                dropped[j] = i
    return dropped


def _one_view(a: ImageRecord, b: ImageRecord, thumb_a: NDArray[np.uint8], thumb_b: NDArray[np.uint8]) -> bool:
    if abs(a.width / a.height - b.width / b.height) > 0.01:
        return False
    if a.gps and b.gps and distance_m(a.gps, b.gps) > _SAME_PLACE_M:
        return False
    mean, p99 = quality.difference(thumb_a, thumb_b)
    return mean <= _MEAN and p99 <= _P99


def distance_m(a: Gps, b: Gps) -> float:
    """Between two fixes, along the ground and up; short ways only (equirectangular)."""
    north = np.radians(b.lat_deg - a.lat_deg) * _EARTH_M
    turned_deg = (b.lon_deg - a.lon_deg + 180) % 360 - 180  # they may lie on both sides of the date line
    east = np.radians(turned_deg) * _EARTH_M * np.cos(np.radians(a.lat_deg))
    up = 0.0 if a.alt_m is None or b.alt_m is None else b.alt_m - a.alt_m
    return float(np.sqrt(north**2 + east**2 + up**2))
