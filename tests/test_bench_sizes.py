"""Sizes of machines follow from measured costs."""

from __future__ import annotations

import pytest

from bench import sizes


def test_an_image_costs_what_the_dearest_measured_run_says() -> None:
    figures = {
        "rows": {
            "video": [
                {"set": "karma.mp4", "figure": "CPU seconds", "value": 400.0},
                {"set": "karma.mp4", "figure": "keyframes", "value": 40},
            ],
            "photos": [
                {"set": "brighton-beach", "figure": "CPU seconds", "value": 90.0},
                {"set": "brighton-beach", "figure": "registered", "value": 18},
            ],
        }
    }
    assert sizes.image_s(figures) == {"karma.mp4": 10.0, "brighton-beach": 5.0}


def test_twice_the_captures_need_twice_the_cores_and_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "image_s", lambda _: {"a run": 10.0})
    one, two = sizes.size(50, 100), sizes.size(100, 100)
    assert one.cores == pytest.approx(50 * 100 * 10 / (36_000 * 0.7))
    assert two.cores == pytest.approx(2 * one.cores)
    assert two.store_tb == pytest.approx(2 * one.store_tb)
    assert (one.workers, two.workers) == (1, 1)
    assert sizes.size(20, 1000).worker_gb > two.worker_gb  # one mapper holds the whole capture


def test_the_kept_figures_give_a_table() -> None:
    assert all(1 < seconds < 60 for seconds in sizes.image_s(sizes.kept()).values())
    text = sizes.table([sizes.size(*example) for example in sizes.EXAMPLES], 30)
    assert len(text.splitlines()) == 2 + len(sizes.EXAMPLES)
