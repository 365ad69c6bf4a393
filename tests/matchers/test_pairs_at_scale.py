"""Pairs of large photo sets: those that truly overlap are found, and no image is in many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from recon.capture.records import Gps, ImageRecord
from recon.config import Pairs
from recon.features.vlad import image_vectors, ranked_alike
from recon.matchers import footprints
from recon.matchers.pairing import Pair, Ranked, bridges, choose_pairs, components, mutual
from recon.matchers.quick import AGREE, agreeing, agreements
from recon.simulate.ground import Survey, survey

OVERLAP = 0.3


def chosen(flight: Survey) -> set[Pair]:
    names = [record.name for record in flight.records]
    vectors = image_vectors(flight.features, names, 0)

    def alike(queries: Sequence[int], among: Sequence[int], count: int, apart: int) -> Ranked:
        return ranked_alike(vectors, queries, among, count, apart)

    def agreement(pairs: Sequence[Pair]) -> list[int]:
        return agreements(flight.features, [(names[i], names[j]) for i, j in pairs])

    return set(choose_pairs(flight.records, Pairs(), alike, agreement)[0])


@pytest.fixture(scope="module", params=[True, False], ids=["gps", "no gps"])
def flight(request: pytest.FixtureRequest) -> Survey:
    return survey(150, gps=request.param)


def test_neighbours_that_overlap_are_found_in_few_pairs(flight: Survey) -> None:
    found, true = chosen(flight), flight.overlapping(OVERLAP)
    assert 4 * 150 < len(true) < 9 * 150
    assert len(found & true) >= 0.98 * len(true)
    assert 2 * len(found) <= 20 * 150


def test_a_quick_look_agrees_where_photos_overlap_and_nowhere_else(flight: Survey) -> None:
    names, rng = [record.name for record in flight.records], np.random.default_rng(0)
    true, apart = sorted(flight.overlapping(0.5)), flight.overlapping(0.01)
    far = [(i, j) for i, j in np.sort(rng.integers(0, 150, (200, 2)), axis=1).tolist() if i != j and (i, j) not in apart]
    counts = agreements(flight.features, [(names[i], names[j]) for i, j in true])
    assert np.mean(np.array(counts) >= AGREE) > 0.98
    assert len(far) > 100
    assert max(agreements(flight.features, [(names[i], names[j]) for i, j in far])) < AGREE


def test_agreeing_matches_do_not_hang_on_the_threads(flight: Survey) -> None:
    pairs = [(flight.records[i].name, flight.records[i + 1].name) for i in range(20)]
    assert agreements(flight.features, pairs, 1) == agreements(flight.features, pairs, 3)


def test_too_few_keypoints_agree_with_nothing(flight: Survey) -> None:
    some = flight.features[flight.records[0].name]
    few = type(some)(some.keypoints[:7], some.descriptors[:7], some.rgb[:7])
    assert len(agreeing(few, some)) == 0
    assert len(agreeing(type(some).none(), some)) == 0


def test_gps_that_is_wrong_by_half_a_footprint_costs_neighbours() -> None:
    flight = survey(150, gps_noise_m=40.0)
    ranked = dict(enumerate(footprints.nearest(flight.records, 12)))
    true = flight.overlapping(0.5)
    good = dict(enumerate(footprints.nearest(survey(150).records, 12)))
    assert len(true & set(mutual(good, 12))) == len(true)
    assert len(true & set(mutual(ranked, 12))) < 0.9 * len(true)


def photo(north_m: float, pitch_deg: float, yaw_deg: float, number: int) -> ImageRecord:
    return ImageRecord(
        name=f"{number}", file="", source="", sha256="", width=4000, height=3000, camera="a", focal_px=3000,
        gps=Gps(lat_deg=47 + north_m / 111_195, lon_deg=8, alt_m=50, alt_datum="takeoff"), gimbal_deg=(yaw_deg, pitch_deg, 0),
    )  # fmt: skip


def test_oblique_views_are_neighbours_of_what_they_look_at() -> None:
    # 50 m up, 45 degrees down: what the first one sees lies 50 m north of it
    records = [photo(0, -45, 0, 0), photo(50, -90, 0, 1), photo(5, -45, 180, 2), photo(100, -45, 180, 3)]
    prints = footprints.Footprints.of(records)
    np.testing.assert_allclose(prints.centers[:, 1], [50, 50, -45, 50], atol=0.1)
    assert footprints.nearest(records, 3)[0][0] == 1
    assert footprints.nearest(records, 3)[1][:2] == [0, 3]


def test_a_footprint_turns_with_the_camera() -> None:
    records = [photo(0, -90, 90, 0), photo(55, -90, 90, 1), photo(0, -90, 0, 2), photo(55, -90, 0, 3)]
    prints = footprints.Footprints.of(records)
    np.testing.assert_allclose(prints.sides, [[200 / 3, 50]] * 4)
    assert prints.overlap(np.array([0]), np.array([1]))[0] == pytest.approx(1 - 55 / (200 / 3), abs=0.01)
    assert prints.overlap(np.array([2]), np.array([3]))[0] == 0


def test_mutual_pairs_are_bounded_and_nobody_is_left_out() -> None:
    hub = {0: [1, 2], 1: [0, 2], 2: [0, 1], **{k: [0, 1, 2] for k in range(3, 20)}}
    assert mutual(hub, 2, 0) == [(0, 1), (0, 2), (1, 2)]
    assert {i for pair in mutual(hub, 2, 1) for i in pair} == set(range(20))


def test_parts_are_joined_across_a_gap() -> None:
    pairs = [(0, 1), (1, 2), (2, 3), (4, 5)]
    assert components(range(7), pairs) == [[0, 1, 2, 3], [4, 5], [6]]
    found = bridges(range(7), pairs, lambda part, rest: {k: list(rest)[-2:] for k in part})
    assert [part for part in components(range(7), [*pairs, *found]) if len(part) > 1] == [list(range(7))]
