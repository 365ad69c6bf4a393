"""Rung 5: models that do not connect, brought into one frame by points they share, or by GPS."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pycolmap

from recon.geometry.similarity import fit_similarity
from recon.recovery.material import Material, Place
from recon.recovery.tried import Tried
from recon.sfm.cameras import cameras_of
from recon.sfm.database import write_database
from recon.sfm.georeference import Georeference, georeference, gps_fixes
from recon.sfm.joining import alignment, bring_in
from recon.sfm.mapping import Candidate, Outcome, explained, left_apart, open_cache
from recon.sfm.refine import Adjustment, refine

_LEAST_POINTS, _LEAST_SHARE = 8, 0.2
"""Fewer common points than mapping asks for: by now there is nothing better."""


def merging(material: Material, outcome: Outcome, adjustment: Adjustment, place: Place) -> Iterator[Tried]:
    """Join the other models to the chosen one; ``material`` is what these models were made from."""
    if not outcome.others:
        yield Tried("there is one model only: nothing to join")
        return
    pairs = list(material.pairs.values())
    by_points = [alignment(outcome.best.model, other, pairs, adjustment.seed, _LEAST_POINTS, _LEAST_SHARE) for other in outcome.others]
    if any(by_points):
        yield _joined("common points", material, outcome, by_points, adjustment, place)
    else:
        yield Tried(f"the models share fewer than {_LEAST_POINTS} points that fall together")
    by_gps = _by_gps(material, outcome, place)
    if isinstance(by_gps, str):
        yield Tried(by_gps)
    else:
        yield _joined("GPS", material, outcome, by_gps, adjustment, place)


def _joined(
    how: str, material: Material, outcome: Outcome, alignments: list[pycolmap.Sim3d | None], adjustment: Adjustment, place: Place
) -> Tried:
    """The chosen model with the images of those others that have an alignment (best_from_other)."""
    model, pairs = copy.deepcopy(outcome.best.model), list(material.pairs.values())
    with tempfile.TemporaryDirectory() as scratch:
        database = Path(scratch) / "matches.db"
        cameras = cameras_of(material.records, place.config.camera)
        write_database(database, material.records, cameras, material.features, pairs)
        for other, best_from_other in zip(outcome.others, alignments, strict=True):
            if best_from_other is not None:
                bring_in(model, other, best_from_other, open_cache(database, model))
        refine(model, open_cache(database, model), adjustment)
    best = Candidate(f"{outcome.best.mapper}, joined by {how}", model, explained(model, pairs))
    count = sum(found is not None for found in alignments)
    words = f"joined {count} of {len(alignments)} other models to the largest by {how}"
    return Tried(words, material, outcome=Outcome(best, left_apart(model, outcome.others), [best, *outcome.compared]))


def _by_gps(material: Material, outcome: Outcome, place: Place) -> list[pycolmap.Sim3d | None] | str:
    """best_from_other of each model that GPS places, or in words why there is none."""
    rng = np.random.default_rng([place.work.seed, 5])
    home = _placed(outcome.best.model, material, place, rng)
    if isinstance(home, str):
        return f"GPS can't place the largest model: {home}"
    found: list[pycolmap.Sim3d | None] = []
    reasons = []
    for other in outcome.others:
        there = _placed(other, material, place, rng)
        if not isinstance(there, str) and there.datum != home.datum:
            there = f"altitudes are measured from {there.datum} here and {home.datum} there"
        if isinstance(there, str):
            reasons.append(there)
            found.append(None)
        else:
            found.append(_from(other, there, home))
    return found if any(found) else f"GPS can't place the other models: {reasons[0]}"


def _placed(model: pycolmap.Reconstruction, material: Material, place: Place, rng: np.random.Generator) -> Georeference | str:
    if not place.config.georef.use_gps:
        return "it is switched off (georef.use_gps)"
    registered = {image.name: image.image_id for image in model.images.values() if image.has_pose}
    fixes = gps_fixes(material.records, registered)
    return georeference(model, fixes, place.config.georef.max_gps_error_m, rng)


def _from(other: pycolmap.Reconstruction, there: Georeference, home: Georeference) -> pycolmap.Sim3d:
    """best_from_other through the Earth: points of the one model, on the globe, in the other model."""
    size = float(there.spread_m / there.world_from_model.scale)
    middle = np.mean([other.images[i].projection_center() for i in sorted(other.reg_image_ids())], axis=0)
    source = middle + size * np.concatenate([np.eye(3), -np.eye(3)])
    degrees = there.frame.to_geodetic(there.world_from_model * source)
    target = home.world_from_model.inverse() * home.frame.from_geodetic(degrees)
    return fit_similarity(source, target)
