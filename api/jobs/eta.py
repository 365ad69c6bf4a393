"""How far a job is and how long it still takes: from the service's finished jobs, or from usual shares while there are few.

Seconds are compared as ratios to what ``recon.cost`` expected of the whole job, so that large captures teach about small ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from recon.progress import SHARE

LEAST_JOBS = 3
"""Finished jobs from which on they are asked rather than the usual shares."""
FACTOR = 2.0
"""``recon.cost`` is good to a factor of two."""
LEAST_FACTOR, LEAST_S = 1.1, 1.0
"""No forecast claims to be better than this."""
WIDER = 1.15
"""Exponent of the interval's ends over its middle: a job's pace in one stage says less of the next than this takes for granted.

Measured on 20 jobs after 10: 78 % of the intervals held without it and LEAST_S, 89 % with them, of another 20.
"""
COVERAGE = 0.9
"""Aimed at, so that the four cases of five that are promised hold on a machine that has other work too (0.8 gave 0.79 there)."""
TRUST = 0.1
"""Share of the work after which the job's own pace counts as much as the expectation."""
KNOWN = 0.03
"""Share of the work after which pace alone is a forecast."""
LEAST_REST = 0.1
"""A stage that tells no fraction and outlasts its usual time takes this share of that time still, as far as we know."""


@dataclass(frozen=True)
class Past:
    """A finished job: what was expected, and the seconds of each stage that was computed, not found."""

    expected_s: float | None
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Present:
    """How far a job is. Stages that were found ready are in none of these."""

    expected_s: float | None
    done: Mapping[str, float]
    """Seconds of each stage that it computed."""
    current: str | None
    fraction: float
    current_s: float
    waiting: tuple[str, ...]


@dataclass(frozen=True)
class Interval:
    low_s: float
    expected_s: float
    high_s: float


def progress(stages: Iterable[tuple[str, float]]) -> float:
    """0..1 of a whole job, from each stage's name and fraction."""
    rows = [(SHARE.get(name, 1), fraction) for name, fraction in stages]
    return sum(share * fraction for share, fraction in rows) / max(1, sum(share for share, _ in rows))


def time_left(job: Present, past: Sequence[Past]) -> Interval | None:
    """Seconds to the job's end, with an interval that holds in at least four cases of five. None while nothing is known."""
    known = [one.expected_s for one in past if one.expected_s]
    standard = median(known) if known else None
    unit = job.expected_s or standard
    if len(past) < LEAST_JOBS:
        guess = _rest_s(job, _shares(), unit)
        return None if guess is None else Interval(guess / FACTOR, guess, guess * FACTOR)
    unit, standard = unit or 1.0, standard or 1.0
    jobs = [{name: seconds / (one.expected_s or standard) for name, seconds in one.seconds.items()} for one in past]
    usual = _usual(jobs)
    trust = _trust(job, usual)
    # each finished job says how this one would go on if it went on like that one; so far both are at the same point
    rests = [_rest_s(job, {**usual, **ratios}, unit, trust) for ratios in jobs]
    return _interval(sorted(rest for rest in rests if rest is not None))


def _rest_s(job: Present, ratios: Mapping[str, float], unit: float | None, trust: float | None = None) -> float | None:
    """Seconds left if stages take these ratios of ``unit``, at the job's own pace as far as that is trusted."""
    passed, rest = _split(job, ratios)
    tells = job.fraction > 0
    passed_s = sum(seconds for name, seconds in job.done.items() if name in ratios) + (job.current_s if tells else 0.0)
    if unit is None:
        if passed < KNOWN * (passed + rest) or passed_s <= 0:
            return None
        unit, trust = passed_s / passed, 0.0
    trust = _trust(job, ratios) if trust is None else trust
    second = unit * (passed_s / (unit * passed)) ** trust if passed * passed_s > 0 else unit
    if tells or job.current is None:
        return second * rest
    current_s = second * ratios.get(job.current, 0.0)
    return second * rest - min(job.current_s, (1 - LEAST_REST) * current_s)


def _trust(job: Present, ratios: Mapping[str, float]) -> float:
    """Weight of the job's own pace, 0..1."""
    passed, rest = _split(job, ratios)
    share = passed / (passed + rest) if passed + rest > 0 else 1.0
    return share / (share + TRUST)


def _split(job: Present, ratios: Mapping[str, float]) -> tuple[float, float]:
    """What has passed and what is left, in these ratios."""
    current = ratios.get(job.current, 0.0) if job.current else 0.0
    passed = sum(ratios.get(name, 0.0) for name in job.done) + job.fraction * current
    return passed, sum(ratios.get(name, 0.0) for name in job.waiting) + (1 - job.fraction) * current


def _interval(rests: Sequence[float]) -> Interval:
    """Order statistics: of n equal jobs and one more, that one is as likely to take any of the n + 1 places."""
    count, middle = len(rests), median(rests)
    if middle <= 0:
        return Interval(0.0, 0.0, 0.0)
    outside = max(1, int((count + 1) * (1 - COVERAGE) / 2))
    wider = WIDER * (1 + 2 / count + 4 / count**2)  # few jobs do not show how far apart jobs can be
    low = middle * min(1 / LEAST_FACTOR, (rests[outside - 1] / middle) ** wider)
    high = middle * max(LEAST_FACTOR, (rests[-outside] / middle) ** wider)
    return Interval(max(0.0, min(low, middle - LEAST_S)), middle, max(high, middle + LEAST_S))


def _usual(jobs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each stage's median ratio; of a stage that no job computed, its usual share of what the others took."""
    found = {name: median(ratios[name] for ratios in jobs if name in ratios) for name in {name for ratios in jobs for name in ratios}}
    of_a_share = sum(found.values()) / max(1, sum(SHARE.get(name, 1) for name in found))
    return {**{name: share * of_a_share for name, share in SHARE.items()}, **found}


def _shares() -> dict[str, float]:
    total = sum(SHARE.values())
    return {name: share / total for name, share in SHARE.items()}
