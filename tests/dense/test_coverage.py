"""What a run says of the share that it could not see: once, over all shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon.capture.records import write_json
from recon.dense.coverage import coverage_warnings, depth_rows, unseen_share


def test_views_of_all_shards_are_counted_together(tmp_path: Path) -> None:
    shards = [[("a", 0.8, 1.0), ("b", 0.1, 1.0)], [("c", 0.1, 0.5), ("d", 0.0, 1.0)], [("e", 0.3, 0.3)]]
    for number, shard in enumerate(shards):
        (tmp_path / str(number)).mkdir()
        write_json(tmp_path / str(number) / "depth.json", {"views": [{"name": n, "coverage": c, "usable": u} for n, c, u in shard]})
    rows = depth_rows({"depth": tuple(tmp_path / str(number) for number in range(len(shards)))})
    assert unseen_share(rows) == pytest.approx(1 - 1.3 / 3.8, abs=1e-4)
    told = {row["code"]: row["message"] for row in coverage_warnings(rows)}
    assert told.keys() == {"views_without_depth", "views_mostly_unseen"}
    assert told["views_without_depth"].startswith("1 views have no depth, among them d")
    assert told["views_mostly_unseen"].startswith("of 2 of 5 views less than 30% could be measured, of b 10%")


def test_what_is_seen_well_is_not_told_of() -> None:
    assert coverage_warnings([{"name": "a", "coverage": 0.5, "usable": 0.9}]) == []
    assert unseen_share([]) is None
