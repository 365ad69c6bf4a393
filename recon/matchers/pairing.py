"""Which pairs of images to match, by rule. A pair is (i, j) with i < j, indices into the run's images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from recon.capture.records import Gps, ImageRecord
from recon.config import Pairs

Pair = tuple[int, int]
Alike = Callable[[Sequence[int], NDArray[np.bool_], int], Iterable[tuple[int, int]]]
"""``alike(queries, allowed, count)`` yields (query, image) for the ``count`` most alike of the allowed (Q, N) images."""

_EXHAUSTIVE_SEQUENCE = 16
"""Up to this many images all pairs are matched, even those of a video."""
_FILE_NEIGHBOURS = 2
_EARTH_M = 6_371_000.0


def choose_pairs(records: Sequence[ImageRecord], options: Pairs, alike: Alike) -> tuple[list[Pair], dict[str, int]]:
    """Sorted pairs, and how many of them came by which rule first.

    Few images: all pairs. Videos: neighbours in time at growing gaps, and the most alike frames further off, for loops.
    Many photos: neighbours by position, by file order and by likeness. Between groups: the most alike.
    """
    found: dict[Pair, str] = {}

    def add(rule: str, pairs: Iterable[Pair]) -> None:
        for i, j in pairs:
            if i != j:
                found.setdefault((min(i, j), max(i, j)), rule)

    groups = _groups(records)
    photos = groups.pop("", [])
    if len(records) <= _EXHAUSTIVE_SEQUENCE or len(photos) == len(records) <= options.exhaustive_up_to:
        add("exhaustive", _all_pairs(range(len(records))))
    else:
        for group in groups.values():
            add("sequence", sequence_pairs(group, options.sequence_window))
        if len(photos) <= options.exhaustive_up_to:
            add("exhaustive", _all_pairs(photos))
        else:
            add("gps", gps_pairs(photos, records, options.neighbours))
            add("file_order", ((photos[k], photos[k + gap]) for gap in range(1, _FILE_NEIGHBOURS + 1) for k in range(len(photos) - gap)))
        _add_alike(add, records, photos, groups, options, alike)
    counts: dict[str, int] = {}
    for rule in found.values():
        counts[rule] = counts.get(rule, 0) + 1
    return sorted(found), counts


def sequence_pairs(group: Sequence[int], window: int) -> list[Pair]:
    """Each frame with the next ``window`` ones, then at doubling gaps up to the sequence's end."""
    gaps = list(range(1, window + 1))
    while gaps[-1] * 2 < len(group):
        gaps.append(gaps[-1] * 2)
    return [(group[k], group[k + gap]) for gap in gaps for k in range(len(group) - gap)]


def gps_pairs(photos: Sequence[int], records: Sequence[ImageRecord], neighbours: int) -> list[Pair]:
    """Each photo that has a position with its nearest ones, by metres in a local plane (and height where all know theirs)."""
    fixes = [(k, gps) for k in photos if (gps := records[k].gps) is not None]
    if len(fixes) < 2:
        return []
    xyz = _local_m([gps for _, gps in fixes])
    pairs = []
    for row, (k, _) in enumerate(fixes):
        distance = np.linalg.norm(xyz - xyz[row], axis=1)
        nearest = np.argsort(distance, kind="stable")[: neighbours + 1]
        pairs += [(k, fixes[other][0]) for other in nearest]
    return pairs


def _add_alike(
    add: Callable[[str, Iterable[Pair]], None],
    records: Sequence[ImageRecord],
    photos: list[int],
    groups: dict[str, list[int]],
    options: Pairs,
    alike: Alike,
) -> None:
    everywhere = np.arange(len(records))
    if len(photos) > options.exhaustive_up_to:
        with_gps = sum(records[k].gps is not None for k in photos)
        count = options.loop_neighbours if with_gps == len(photos) else options.neighbours
        add("retrieval", alike(photos, np.tile(np.isin(everywhere, photos), (len(photos), 1)), count))
    for group in groups.values():
        if options.loop_neighbours and len(group) > options.sequence_window:
            position = np.full(len(records), -(10**9))
            position[group] = np.arange(len(group))
            far = np.abs(position[None] - np.arange(len(group))[:, None]) > options.sequence_window
            add("loop", alike(group, far & np.isin(everywhere, group), options.loop_neighbours))
    parts = [*groups.values(), photos] if photos else list(groups.values())
    if len(parts) > 1:
        for part in parts:
            add("across", alike(part, np.tile(~np.isin(everywhere, part), (len(part), 1)), max(1, options.loop_neighbours)))


def _groups(records: Sequence[ImageRecord]) -> dict[str, list[int]]:
    """Indices by sequence, in order of time; photos under ''."""
    groups: dict[str, list[int]] = {}
    for k, record in enumerate(records):
        groups.setdefault(record.sequence or "", []).append(k)
    return groups


def _all_pairs(indices: Sequence[int]) -> list[Pair]:
    return [(i, j) for a, i in enumerate(indices) for j in indices[a + 1 :]]


def _local_m(fixes: Sequence[Gps]) -> NDArray[np.float64]:
    latitude, longitude = np.radians([gps.lat_deg for gps in fixes]), np.radians([gps.lon_deg for gps in fixes])
    altitudes = [gps.alt_m for gps in fixes]
    height = np.zeros(len(fixes)) if None in altitudes else np.array(altitudes, dtype=float)
    turned = np.angle(np.exp(1j * (longitude - longitude[0])))  # a site may lie on the date line
    return np.column_stack([_EARTH_M * turned * np.cos(latitude.mean()), _EARTH_M * latitude, height])
