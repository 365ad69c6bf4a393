"""Which pairs of images to match, by rule. A pair is (i, j) with i < j, indices into the run's images.

``Pairs.neighbours`` bounds the number of pairs that an image of a large set is in, counted at both of its ends: 2 * pairs / images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from recon.capture.records import ImageRecord
from recon.config import Pairs
from recon.matchers import footprints, frustums
from recon.matchers.quick import AGREE

Pair = tuple[int, int]
Ranked = Mapping[int, Sequence[int]]
"""Partners of an image, the most promising first."""
Alike = Callable[[Sequence[int], Sequence[int], int, int], Ranked]
"""``alike(queries, among, count, apart)``: the ``count`` most alike images of ``among`` for each query, the most alike first; none
whose place in ``among`` is nearer than ``apart`` to the query's own."""
Agreement = Callable[[Sequence[Pair]], Sequence[int]]
"""Matches that agree on a geometry, of a few coarse keypoints (see ``recon.matchers.quick``)."""

_EXHAUSTIVE_SEQUENCE = 16
"""Up to this many images all pairs are matched, even those of a video."""
_FILE_NEIGHBOURS = 2
_LEAST = 4
"""So many of its best partners an image keeps, though they may have better ones."""
_ROUNDS = 3
"""Times that partners of partners are looked at."""
_TRIED = 1.5
"""Partners that are looked at in each round, of ``neighbours``."""
_BRIDGE = 8
_MAX_BRIDGED = 50
_SPARE = 3
"""Pairs an image that other rules may add to those by position."""


def choose_pairs(records: Sequence[ImageRecord], options: Pairs, alike: Alike, agreement: Agreement) -> tuple[list[Pair], dict[str, int]]:
    """Sorted pairs, and how many of them came by which rule first.

    Few images: all pairs. Videos: neighbours in time at growing gaps, and for loops frames further off that see the same by the
    device's poses, and the most alike ones. Many photos: those that see the same by the device's poses, or the same ground by GPS, or
    else those that look alike and agree in a quick look, and their partners. Between groups: the most alike. Time and memory grow
    linearly with the images, but for the products of image vectors.
    """
    chosen = _Chosen({})
    groups = _groups(records)
    photos = groups.pop("", [])
    if len(records) <= _EXHAUSTIVE_SEQUENCE or len(photos) == len(records) <= options.exhaustive_up_to:
        chosen.add("exhaustive", _all_pairs(range(len(records))))
    else:
        for group in groups.values():
            chosen.add("sequence", sequence_pairs(group, options.sequence_window))
            if options.loop_neighbours and len(group) > options.sequence_window:
                chosen.add("pose", pose_pairs(group, records, 0, options.loop_neighbours, options.sequence_window))
                chosen.add("loop", _pairs_of(alike(group, group, options.loop_neighbours, options.sequence_window + 1)))
        if len(photos) <= options.exhaustive_up_to:
            chosen.add("exhaustive", _all_pairs(photos))
        else:
            _add_photos(chosen, photos, records, options, alike, agreement)
        _add_across(chosen, groups, photos, options, alike)
    counts: dict[str, int] = {}
    for rule in chosen.rules.values():
        counts[rule] = counts.get(rule, 0) + 1
    return sorted(chosen.rules), counts


def sequence_pairs(group: Sequence[int], window: int) -> list[Pair]:
    """Each frame with the next ``window`` ones, then at doubling gaps up to the sequence's end."""
    gaps = list(range(1, window + 1))
    while gaps[-1] * 2 < len(group):
        gaps.append(gaps[-1] * 2)
    return [(group[k], group[k + gap]) for gap in gaps for k in range(len(group) - gap)]


def gps_pairs(photos: Sequence[int], records: Sequence[ImageRecord], neighbours: int) -> list[Pair]:
    """(photo, other) of each photo that has a position, in order of how likely both see the same: see ``recon.matchers.footprints``."""
    fixed = [k for k in photos if records[k].gps is not None]
    ranked = footprints.nearest([records[k] for k in fixed], neighbours)
    return [(fixed[row], fixed[other]) for row, others in enumerate(ranked) for other in others]


def pose_pairs(images: Sequence[int], records: Sequence[ImageRecord], near: int, far: int, apart: int) -> list[Pair]:
    """Pairs of images that see the same by their device's poses, most of them mutually: see ``recon.matchers.frustums.nearest``."""
    posed = [k for k in images if records[k].pose is not None]
    ranked = frustums.nearest([records[k] for k in posed], near, far, apart)
    return mutual({posed[row]: [posed[other] for other in others] for row, others in enumerate(ranked)}, near + far)


def mutual(ranked: Ranked, count: int, least: int = _LEAST) -> list[Pair]:
    """Pairs that are among each other's first ``count``, which bounds an image's pairs, and everyone's first ``least``."""
    places = {k: {other: place for place, other in enumerate(others[:count])} for k, others in ranked.items()}
    found = []
    for k, others in places.items():
        for other, place in others.items():
            if place < least or k in places.get(other, {}):
                found.append((min(k, other), max(k, other)))
    return sorted(set(found))


def bridges(nodes: Sequence[int], pairs: Iterable[Pair], reach: Callable[[Sequence[int], Sequence[int]], Ranked]) -> list[Pair]:
    """Pairs from each part of the graph that is not the largest to the rest of it: a gap must not cut what is one place.

    ``reach(part, rest)`` ranks partners in the rest for images of the part.
    """
    found: list[Pair] = []
    parts = components(nodes, pairs)
    for part in parts[1 : 1 + _MAX_BRIDGED]:
        inside = set(part)
        ranked = reach(part, [k for k in nodes if k not in inside])
        depth = max((len(others) for others in ranked.values()), default=0)
        rows = [(k, ranked[k][place]) for place in range(depth) for k in part if place < len(ranked.get(k, ()))]
        found += rows[:: max(1, len(rows) // _BRIDGE)][:_BRIDGE]
    return found


def components(nodes: Sequence[int], pairs: Iterable[Pair]) -> list[list[int]]:
    """Parts of the graph that hang together, the largest first (of equal ones the first), each in the order of the nodes."""
    place = {k: row for row, k in enumerate(nodes)}
    rows = np.array([(place[i], place[j]) for i, j in pairs if i in place and j in place], dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(rows)), (rows[:, 0], rows[:, 1])), shape=(len(nodes), len(nodes)))
    count, label = connected_components(graph, directed=False)
    parts: list[list[int]] = [[] for _ in range(count)]
    for k, part in zip(nodes, label, strict=True):
        parts[part].append(k)
    return sorted(parts, key=lambda part: -len(part))


@dataclass(frozen=True)
class _Chosen:
    rules: dict[Pair, str]

    def add(self, rule: str, pairs: Iterable[Pair]) -> None:
        """Pairs that are new are noted as this rule's."""
        for i, j in pairs:
            if i != j:
                self.rules.setdefault((min(i, j), max(i, j)), rule)


def _add_photos(
    chosen: _Chosen, photos: list[int], records: Sequence[ImageRecord], options: Pairs, alike: Alike, agreement: Agreement
) -> None:
    """By the device's poses or by GPS where photos have them, else by likeness and a quick look; the next in order always."""
    count = max(1, options.neighbours - _SPARE)
    if known := _in_one_session(photos, records):
        chosen.add("pose", pose_pairs(photos, records, count - count // 2, count // 2, count))
    else:
        fixed = [k for k in photos if records[k].gps is not None]
        ranked: dict[int, list[int]] = {}
        for k, other in gps_pairs(fixed, records, count):
            ranked.setdefault(k, []).append(other)
        chosen.add("gps", mutual(ranked, count))
        known = len(fixed) == len(photos)
    if known:
        chosen.add("file_order", pairwise(photos))
        if options.loop_neighbours:
            chosen.add("retrieval", mutual(alike(photos, photos, options.loop_neighbours, 1), options.loop_neighbours, 0))
    else:
        ordered = [(photos[k], photos[k + gap]) for gap in range(1, _FILE_NEIGHBOURS + 1) for k in range(len(photos) - gap)]
        looked = overlapping(photos, alike(photos, photos, options.neighbours, 1), ordered, options.neighbours, agreement)
        chosen.add("retrieval", looked)
        chosen.add("file_order", ordered)
    chosen.add("bridge", bridges(photos, chosen.rules, lambda part, rest: alike(part, rest, 2, 0)))


def _in_one_session(photos: Sequence[int], records: Sequence[ImageRecord]) -> bool:
    """Whether a device's tracking has all photos in one frame. A phone's GPS says far less indoors: then it is not asked."""
    sessions = {pose.session if (pose := records[k].pose) else None for k in photos}
    return len(sessions) == 1 and None not in sessions


def overlapping(images: Sequence[int], likely: Ranked, ordered: Sequence[Pair], neighbours: int, agreement: Agreement) -> list[Pair]:
    """Pairs of images that agree in a quick look: of the likely ones, the ordered ones, and then partners of partners.

    Images that agree with hardly any keep the most likely half: a full look sees more than a quick one.
    """
    found = explore(images, [*_pairs_of(likely), *ordered], neighbours, agreement)
    partners = _partners(found, AGREE)
    pairs = mutual(partners, neighbours)
    lonely = [k for k in images if len(partners.get(k, ())) < _LEAST]
    return pairs + [(k, other) for k in lonely for other in likely.get(k, ())[: neighbours // 2]]


def explore(images: Sequence[int], first: Iterable[Pair], neighbours: int, agreement: Agreement, rounds: int = _ROUNDS) -> dict[Pair, int]:
    """Agreeing matches of the first pairs and, round by round, of partners of partners: at most a few times ``neighbours`` an image."""
    found: dict[Pair, int] = {}
    asked = sorted({(min(i, j), max(i, j)) for i, j in first if i != j})
    for turn in range(rounds + 1):
        found.update(zip(asked, agreement(asked), strict=True))
        if turn == rounds:
            break
        asked = _next(images, found, int(_TRIED * neighbours))
        if not asked:
            break
    return found


def _next(images: Sequence[int], found: Mapping[Pair, int], count: int) -> list[Pair]:
    """For each image up to ``count`` partners of its partners that were not looked at yet: those of the strongest ways first."""
    partners = _partners(found, AGREE)
    asked: set[Pair] = set()
    for k in images:
        strength: dict[int, int] = {}
        for middle in partners.get(k, ())[:count]:
            way = found[min(k, middle), max(k, middle)]
            for other in partners.get(middle, ())[:count]:
                pair = (min(k, other), max(k, other))
                if other != k and pair not in found:
                    strength[other] = strength.get(other, 0) + min(way, found[min(middle, other), max(middle, other)])
        best = sorted(strength, key=lambda other: (-strength[other], other))[:count]
        asked.update((min(k, other), max(k, other)) for other in best)
    return sorted(asked)


def _partners(found: Mapping[Pair, int], least: int) -> dict[int, list[int]]:
    """Images that each agrees with, the strongest first."""
    rows: dict[int, list[tuple[int, int]]] = {}
    for (i, j), matches in found.items():
        if matches >= least:
            rows.setdefault(i, []).append((-matches, j))
            rows.setdefault(j, []).append((-matches, i))
    return {k: [other for _, other in sorted(row)] for k, row in rows.items()}


def _add_across(chosen: _Chosen, groups: Mapping[str, list[int]], photos: list[int], options: Pairs, alike: Alike) -> None:
    parts = [*groups.values(), photos] if photos else list(groups.values())
    for number, part in enumerate(parts if len(parts) > 1 else ()):
        rest = [k for other, members in enumerate(parts) if other != number for k in members]
        chosen.add("across", _pairs_of(alike(part, rest, max(1, options.loop_neighbours), 0)))


def _pairs_of(ranked: Ranked) -> list[Pair]:
    return [(k, other) for k, others in ranked.items() for other in others]


def _groups(records: Sequence[ImageRecord]) -> dict[str, list[int]]:
    """Indices by sequence, in order of time, a recording in several files being one; photos under ''."""
    groups: dict[str, list[int]] = {}
    for k, record in enumerate(records):
        groups.setdefault(record.chapter[0] if record.chapter else record.sequence or "", []).append(k)
    return {name: sorted(group, key=lambda k: _part(records[k])) for name, group in groups.items()}


def _part(record: ImageRecord) -> int:
    return record.chapter[1] if record.chapter else 0


def _all_pairs(indices: Sequence[int]) -> list[Pair]:
    return [(i, j) for a, i in enumerate(indices) for j in indices[a + 1 :]]
