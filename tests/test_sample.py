"""The sample clip from file to products, against its exact truth and the ranges that are stated beside it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import pytest
from conftest import Told

WALK = Path(__file__).parent.parent / "sample_data" / "walk"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_sample_clip_is_as_good_as_stated_and_a_second_run_has_nothing_to_do(recon: Callable[..., Told], tmp_path: Path) -> None:
    arguments = ("process", WALK / "walk.mp4", "-o", tmp_path / "out", "--set", "products.turntable_s=0", "--all-frames")
    first = recon(*arguments, timeout_s=880)
    assert first.code == 0, first.text[-2000:]
    assert (tmp_path / "out" / "report.html").is_file()
    with (tmp_path / "out" / "trajectory.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["frame"]) for row in rows] == list(range(int(rows[0]["frame"]), 1 + int(rows[-1]["frame"])))
    assert len(rows) > 150
    assert sum(row["source"] == "image" for row in rows) > 0.9 * sum(row["source"] != "keyframe" for row in rows)
    scores = recon("eval", tmp_path / "out", WALK / "truth").last
    for path, (low, high) in json.loads((WALK / "expected.json").read_text()).items():
        value = reduce(lambda row, key: row[key], path.split("."), scores)
        assert low <= value <= high, f"{path} is {value}, expected {low} to {high}"
    assert recon(*arguments).last["ran"] == []
