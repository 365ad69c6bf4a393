"""Parts of a graph of matches, and the cuts at which it hangs on little."""

from __future__ import annotations

from recon.preflight.graph import parts_of, weak_cuts


def two_groups(between: int) -> dict[tuple[int, int], int]:
    group = {(i, j): 100 for i in range(4) for j in range(i + 1, 4)}
    return group | {(i + 4, j + 4): 90 for i, j in group} | ({(3, 4): between} if between else {})


def test_groups_without_a_link_are_parts() -> None:
    assert parts_of(9, two_groups(0)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    assert weak_cuts(9, two_groups(0), 40) == []


def test_a_thin_link_is_a_weak_cut_and_a_thick_one_is_not() -> None:
    (cut,) = weak_cuts(8, two_groups(12), 40)
    assert (cut.pair, cut.matches, len(cut.side)) == ((3, 4), 12, 4)
    assert weak_cuts(8, two_groups(60), 40) == []


def test_thin_links_beside_each_other_count_together() -> None:
    assert len(weak_cuts(8, two_groups(25) | {(0, 7): 10}, 40)) == 1
    assert weak_cuts(8, two_groups(25) | {(0, 7): 20}, 40) == []


def test_one_image_that_hangs_by_little_is_no_cut_of_two_sides() -> None:
    graph = two_groups(60) | {(7, 8): 11}
    assert weak_cuts(9, graph, 40) == []
    (cut,) = weak_cuts(9, graph, 40, smallest=1)
    assert cut.side == (8,)
