"""How far the images have come together, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from recon.matchers.pairing import components
from recon.recovery.bounds import ENOUGH, LEAST_OTHER
from recon.recovery.material import Material
from recon.sfm.links import Link, thinnest_link
from recon.sfm.mapping import Outcome, explained

_AN_IMAGE = 0.5
_FIRMER = 1.5
"""A thin link that holds by so many times the points is a better one."""


@dataclass(frozen=True)
class Standing:
    """One outcome of mapping, or none yet."""

    images: int
    """That came with the capture."""
    registered: int
    """... of which the chosen model has so many."""
    parts: tuple[frozenset[str], ...]
    """Images that belong together: the chosen model's first, then those of models beside it. Without a model, what matches connect."""
    thin: Link | None
    explained: float = 0.0

    @property
    def share(self) -> float:
        return self.registered / max(1, self.images)

    @property
    def others(self) -> int:
        return sum(len(part) >= LEAST_OTHER for part in self.parts[1:])

    @property
    def is_whole(self) -> bool:
        """Enough images, and one model."""
        return self.share >= ENOUGH and not self.others

    @property
    def is_good(self) -> bool:
        return self.is_whole and self.thin is None

    def is_better(self, than: Standing) -> bool:
        """By the images that a model has, as far as it fits the matches; of as many, by thin links and models beside it."""
        ours, theirs = (one.registered * min(1.0, 2 * one.explained) for one in (self, than))
        if abs(ours - theirs) >= _AN_IMAGE:
            return ours > theirs
        if self.others != than.others:
            return self.others < than.others
        return self._held > _FIRMER * than._held

    @property
    def _held(self) -> float:
        """Points across the thinnest link."""
        return self.thin.points if self.thin else math.inf

    def part_of(self, name: str) -> int:
        """Number of the part that an image belongs to, -1 for none; the far side of a thin link counts as a part of its own."""
        if self.thin and name in self.thin.images:
            return len(self.parts)
        return next((number for number, part in enumerate(self.parts) if name in part), -1)

    def in_words(self) -> str:
        """What there is, as a clause."""
        if not self.registered:
            return f"none of {self.images} images found its place"
        text = f"{self.registered} of {self.images} images found their place"
        if self.others:
            text += f", in {1 + self.others} models that do not connect"
        if self.thin:
            text += f", {len(self.thin.images)} of them held by {self.thin.points} points only"
        return text


def standing(material: Material, outcome: Outcome | None) -> Standing:
    """Of an outcome of mapping that material."""
    if outcome is None:
        return Standing(len(material.given), 0, connected(material), None)
    parts, known = [], set[str]()
    for model in (outcome.best.model, *outcome.others):
        own = frozenset(image.name for image in model.images.values() if image.has_pose) - known
        parts.append(own)
        known |= own
    thin = thinnest_link(outcome.best.model)
    held = explained(outcome.best.model, list(material.pairs.values()))
    return Standing(len(material.given), len(parts[0] & material.given), tuple(parts), thin, held)


def connected(material: Material) -> tuple[frozenset[str], ...]:
    """Groups of images that verified matches connect, the largest first; single images are none."""
    names = material.names
    index = {name: number for number, name in enumerate(names)}
    groups = components(range(len(names)), ((index[one], index[two]) for one, two in material.pairs))
    return tuple(frozenset(names[k] for k in group) for group in groups if len(group) > 1)


def apart(material: Material, now: Standing) -> Sequence[str]:
    """Images that the chosen model lacks, or that hang on it by a thin link, in order."""
    home = now.parts[0] if now.parts else frozenset[str]()
    far = set(now.thin.images) if now.thin else set()
    return [name for name in material.names if name not in home or name in far]
