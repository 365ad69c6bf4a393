"""Rung 2: more pairs across the break."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from recon.recovery.candidates import across, should_match
from recon.recovery.material import Material, Place, match_pairs
from recon.recovery.standing import Standing
from recon.recovery.tried import Tried
from recon.recovery.words import counted

_ROUNDS = 12


def more_pairs(material: Material, now: Standing, place: Place) -> Iterator[Tried]:
    """Match pairs across the parts that were not matched yet: all where they are few, else the likeliest."""
    most = place.config.recover.max_pairs
    untried = list(islice((names for names in across(material, now) if names not in material.tried), most + 1))
    how = "all that were left"
    if len(untried) > most:
        likely = should_match(material, now, _ROUNDS, place.work.seed)
        untried = [names for names in likely if names not in material.tried][:most]
        how = "neighbours in time and place, and images that look alike"
    if not untried:
        yield Tried("every pair of images across the parts has been matched already")
        return
    found = match_pairs(material, untried, place)
    agree = sum(pair is not None for pair in found.values())
    words = f"matched {counted(len(untried), 'more pair')} across the parts ({how}): {agree} agree on a geometry"
    yield Tried(words, material.with_matches(found), barren=not agree)
