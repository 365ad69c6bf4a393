"""Forecasts on made-up histories, whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from api.jobs.eta import Past, Present, progress, time_left
from recon.progress import SHARE

STAGES = tuple(SHARE)
KINDS = {
    # how far jobs differ from what was expected of them, and their stages from the usual (standard deviations of logarithms)
    "usual": (0.5, 0.3),
    "expected well": (0.1, 0.1),
    "expected badly": (1.0, 0.2),
    "uneven stages": (0.1, 0.5),
}


def past_job(rng: np.random.Generator, job_sd: float, stage_sd: float) -> Past:
    expected_s = float(60 * np.exp(rng.normal(1, 1)))
    whole_s = expected_s * np.exp(rng.normal(0.3, job_sd)) / sum(SHARE.values())
    return Past(expected_s, {name: float(whole_s * SHARE[name] * np.exp(rng.normal(0, stage_sd))) for name in STAGES})


def at(job: Past, stage: int, fraction: float, expected_s: float | None = None) -> tuple[Present, float]:
    """That job in the middle of a stage, and the seconds that it will still take."""
    name = STAGES[stage]
    done = {earlier: job.seconds[earlier] for earlier in STAGES[:stage]}
    left_s = (1 - fraction) * job.seconds[name] + sum(job.seconds[later] for later in STAGES[stage + 1 :])
    return Present(expected_s or job.expected_s, done, name, fraction, fraction * job.seconds[name], STAGES[stage + 1 :]), left_s


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("jobs", [10, 25])
def test_four_of_five_jobs_end_within_the_interval_and_it_says_something(kind: str, jobs: int) -> None:
    rng = np.random.default_rng([jobs, *kind.encode()])
    held, early, late = [], [], []
    for _ in range(120):
        past = [past_job(rng, *KINDS[kind]) for _ in range(jobs)]
        for _ in range(3):
            stage, fraction = int(rng.integers(len(STAGES))), float(rng.choice([0.0, rng.random()]))
            present, left_s = at(past_job(rng, *KINDS[kind]), stage, fraction)
            interval = time_left(present, past)
            assert interval is not None
            held.append(interval.low_s <= left_s <= interval.high_s)
            (early if stage < 4 else late).append(interval.high_s / max(interval.low_s, 1.0))
    assert np.mean(held) >= 0.8
    spread = math.hypot(*KINDS[kind])
    assert np.median(early) < math.exp(5 * spread)  # 4 in 5 of a normal distribution lie within 2.6 sd
    assert np.median(late) < min(4.5, np.median(early) * 2)
    assert np.mean(held) < 0.99  # else it could be narrower


def test_what_was_expected_counts_in_proportion_only() -> None:
    rng = np.random.default_rng(5)
    past = [past_job(rng, 0.5, 0.3) for _ in range(10)]
    present, _ = at(past_job(rng, 0.5, 0.3), 6, 0.4)
    tenfold = [replace(job, expected_s=(job.expected_s or 0) * 10) for job in past]
    plain, scaled = time_left(present, past), time_left(replace(present, expected_s=(present.expected_s or 0) * 10), tenfold)
    assert plain is not None
    assert scaled is not None
    assert vars(scaled) == pytest.approx(vars(plain))


def test_it_shrinks_to_nothing_as_the_job_goes_on() -> None:
    rng = np.random.default_rng(6)
    past, job = [past_job(rng, 0.3, 0.2) for _ in range(10)], past_job(rng, 0.3, 0.2)
    left = [time_left(at(job, stage, fraction)[0], past) for stage in range(len(STAGES)) for fraction in (0.01, 0.99)]
    widths = [interval.high_s - interval.low_s for interval in left if interval is not None]
    assert len(widths) == 2 * len(STAGES)
    assert widths[-1] < 0.02 * widths[0]
    assert left[-1] is not None
    assert 0 <= left[-1].low_s <= left[-1].expected_s <= left[-1].high_s < 0.02 * sum(job.seconds.values())


def test_a_slow_machine_shows_in_its_pace() -> None:
    rng = np.random.default_rng(7)
    past = [past_job(rng, 0.2, 0.2) for _ in range(10)]
    job = past_job(rng, 0.0, 0.0)
    slow = Past(job.expected_s, {name: 5 * seconds for name, seconds in job.seconds.items()})
    usual_s, slow_s = (time_left(at(one, 9, 0.5)[0], past) for one in (job, slow))
    assert usual_s is not None
    assert slow_s is not None
    assert 3 < slow_s.expected_s / usual_s.expected_s <= 5


def test_without_a_history_it_is_a_factor_of_two_about_the_usual_shares() -> None:
    nothing_yet = Present(100.0, {}, None, 0.0, 0.0, STAGES)
    left = time_left(nothing_yet, [])
    assert left is not None
    assert (left.low_s, left.expected_s, left.high_s) == pytest.approx((50.0, 100.0, 200.0))
    assert time_left(replace(nothing_yet, expected_s=None), []) is None
    share = SHARE["ingest"] + SHARE["select"] + SHARE["features"]
    begun = Present(None, {"ingest": 1.0, "select": 2.0, "features": 5.0}, "pairs", 0.0, 0.0, STAGES[4:])
    interval = time_left(begun, [])
    assert interval is not None
    rest = sum(SHARE.values()) - share
    assert interval.expected_s == pytest.approx(8.0 * rest / share)


def test_without_expectations_the_history_itself_is_the_measure() -> None:
    past = [Past(None, {name: SHARE[name] * scale for name in STAGES}) for scale in (0.9, 1.0, 1.1, 1.0)]
    interval = time_left(Present(None, {}, None, 0.0, 0.0, STAGES), past)
    assert interval is not None
    assert interval.low_s < sum(SHARE.values()) == pytest.approx(interval.expected_s)
    assert interval.high_s < 1.4 * interval.expected_s


def test_stages_that_were_found_ready_teach_nothing_and_cost_nothing() -> None:
    rng = np.random.default_rng(8)
    whole = [past_job(rng, 0.1, 0.1) for _ in range(10)]
    partly = [replace(job, seconds={name: s for name, s in job.seconds.items() if name not in ("depth", "fuse")}) for job in whole[:5]]
    last = Present(60.0, {}, "mesh", 0.0, 0.0, ("texture", "products", "report"))
    interval, other = time_left(last, whole), time_left(last, partly + whole[5:])
    assert interval is not None
    assert other is not None
    assert vars(interval) == pytest.approx(vars(other))
    needs_depth = time_left(Present(60.0, {}, "depth", 0.0, 0.0, ("fuse", "mesh", "texture", "products", "report")), partly + whole[5:])
    assert needs_depth is not None
    assert needs_depth.expected_s > 1.4 * interval.expected_s


def test_a_stage_that_tells_nothing_counts_down_by_its_usual_time_but_not_below_a_tenth() -> None:
    past = [Past(100.0, {name: float(SHARE[name]) for name in STAGES}) for _ in range(4)]
    left = [time_left(Present(100.0, {}, "sfm", 0.0, seconds, ()), past) for seconds in (0.0, 4.0, 8.0, 800.0)]
    assert [round(interval.expected_s, 1) for interval in left if interval is not None] == [8.0, 4.0, 0.8, 0.8]


def test_progress_goes_by_the_stages_shares() -> None:
    assert progress([(name, 0.0) for name in STAGES]) == 0
    assert progress([(name, 1.0) for name in STAGES]) == 1
    half = progress([(name, 1.0 if name == "depth" else 0.0) for name in STAGES])
    assert half == pytest.approx(SHARE["depth"] / sum(SHARE.values()))
    assert progress([]) == 0
