"""The ladder: rung after rung is tried while the model is poor, and what is better stays."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from recon.errors import ReconstructionError
from recon.recovery.keyframes import denser_keyframes
from recon.recovery.learned import learned_matching
from recon.recovery.material import Material, Place
from recon.recovery.merging import merging
from recon.recovery.pairs import more_pairs
from recon.recovery.settings import other_settings
from recon.recovery.standing import Standing, standing
from recon.recovery.tried import Settings, Tried
from recon.sfm.cameras import cameras_of, is_fixed
from recon.sfm.mapping import Outcome, reconstruct
from recon.sfm.result import adjustment_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """One thing that was tried: a row of the ladder's log."""

    rung: str
    why: str
    tried: str
    before: int
    """Images registered, of those that came with the capture."""
    after: int
    used: bool
    """Whether there was anything to try."""
    result: str


@dataclass(frozen=True)
class Climbed:
    """Where the ladder led."""

    material: Material
    """That ``outcome`` was made from."""
    outcome: Outcome | None
    now: Standing
    steps: tuple[Step, ...]
    improved: bool


RUNGS = ("denser keyframes", "more pairs", "learned matcher", "other settings", "merging")


def climb(material: Material, outcome: Outcome | None, place: Place) -> Climbed:
    """Try the rungs in order until the model is good. It never loses an image that was registered before."""
    ladder = _Ladder(material, outcome, place)
    for number, rung in enumerate(RUNGS):
        if ladder.now.is_good:
            break
        ladder.try_rung(rung, number / len(RUNGS))
    return Climbed(ladder.source, ladder.outcome, ladder.now, tuple(ladder.steps), ladder.improved)


class _Ladder:
    """The best outcome so far, the material it was made from, and the material to go on with."""

    def __init__(self, material: Material, outcome: Outcome | None, place: Place) -> None:
        self.material = self.source = material
        self.outcome = outcome
        self.now = standing(material, outcome)
        self.steps: list[Step] = []
        self.improved = False
        self._place = place
        self._told = 0.0

    def try_rung(self, rung: str, fraction: float) -> None:
        self._tell(fraction, f"{self.now.in_words()}; trying: {rung}")
        self._told = fraction
        started = time.monotonic()
        for tried in self._attempts(rung):
            before = self.now
            self.material = tried.material if tried.barren and tried.material else self.material
            used = tried.outcome is not None or tried.material is not None
            result = self._judge(tried) if used and not tried.barren else ("" if not used else "no pair came of it")
            step = Step(rung, before.in_words(), tried.words, before.registered, self.now.registered, used, result)
            self.steps.append(step)
            log.info("%s: %s -> %s (%.1f s)", rung, tried.words, result or "skipped", time.monotonic() - started)
            self._tell(fraction, f"{rung}: {self.now.in_words()} ({time.monotonic() - started:.0f} s)")
            started = time.monotonic()
            if self.now.is_good:
                return

    def _attempts(self, rung: str) -> Iterator[Tried]:
        work = replace(self._place.work, tell=self._within)
        place = replace(self._place, work=work)
        if rung == "denser keyframes":
            return denser_keyframes(self.material, self.now, place)
        if rung == "more pairs":
            return more_pairs(self.material, self.now, place)
        if rung == "learned matcher":
            return learned_matching(self.material, self.now, place)
        if rung == "other settings":
            return other_settings(self.material, self.now)
        if self.outcome is None:
            return iter([Tried("there is no model yet: nothing to join")])
        return merging(self.source, self.outcome, adjustment_of(self.source.records, place.config, work.seed, work.threads), place)

    def _judge(self, tried: Tried) -> str:
        """Map what was tried if need be, and take over what is better; says what came of it."""
        material = tried.material or self.material
        outcome = tried.outcome or mapped(material, tried.settings, self._place)
        then = standing(material, outcome)
        if then.registered < self.now.registered or (outcome is None and self.outcome is not None):
            return f"worse ({then.in_words()}): not used"
        self.material = material
        if not then.is_better(self.now):
            return f"no better ({then.in_words()})"
        gained = then.registered - self.now.registered
        self.outcome, self.source, self.now, self.improved = outcome, material, then, True
        return f"helped: {then.in_words()}" + (f" (+{gained})" if gained else "")

    def _tell(self, fraction: float, message: str) -> None:
        self._place.work.tell(fraction, message)

    def _within(self, fraction: float, message: str = "") -> None:
        self._tell(self._told + min(1.0, fraction) / len(RUNGS), message)


def mapped(material: Material, settings: Settings, place: Place) -> Outcome | None:
    """The best model of the material; None where there is none."""
    config = place.config
    pairs = [pair for pair in material.pairs.values() if len(pair.matches) >= settings.least_inliers]
    if not pairs:
        return None
    cameras = cameras_of(material.records, config.camera)
    adjustment = replace(adjustment_of(material.records, config, place.work.seed, place.work.threads), limits=settings.limits)
    any_lens = config.camera.model == "auto" and not is_fixed(config.camera)
    try:
        mapper = settings.mapper or config.sfm.mapper
        return reconstruct(material.records, cameras, material.features, pairs, mapper, adjustment, config.matches, any_lens)
    except ReconstructionError as error:
        log.info("mapping failed: %s", error)
        return None
