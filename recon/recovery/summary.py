"""What is said of the ladder: its log, the images that stay apart, and the error where nothing helped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from recon.errors import ReconError
from recon.recovery.ladder import Climbed
from recon.recovery.standing import Standing
from recon.recovery.words import counted, images_in_words
from recon.sfm.result import error_of


def summary(before: Standing, climbed: Climbed) -> dict[str, Any]:
    """Content of ``recovery.json`` where the ladder was needed."""
    now = climbed.now
    parts = _left_parts(climbed)
    return {
        "needed": True,
        "why": before.in_words(),
        "outcome": now.in_words(),
        "helped": climbed.improved,
        "registered_before": before.registered,
        "registered_after": now.registered,
        "images": now.images,
        "steps": [asdict(step) for step in climbed.steps],
        "apart": parts,
        "warnings": [_warning(part, climbed) for part in parts],
    }


def failure(error: Mapping[str, str], climbed: Climbed) -> ReconError:
    """The error that sfm found, and what was tried after it."""
    tried = "; ".join(f"{step.rung}: {step.tried}" for step in climbed.steps)
    return error_of(error, f". Tried in vain: {tried}")


def _left_parts(climbed: Climbed) -> list[dict[str, Any]]:
    """Groups of images that the model lacks, and the thinly held side of it."""
    order, now = climbed.material.in_sequence, climbed.now
    given = climbed.material.given
    rows: list[dict[str, Any]] = []
    home = now.parts[0] if now.parts else frozenset[str]()
    for part in now.parts[1:]:
        names = [record.name for record in order if record.name in part & given]
        if names:
            rows.append({"kind": "own model", "images": names, "where": images_in_words(order, names)})
    inside = home.union(*now.parts[1:]) if now.parts else home
    single = [record.name for record in order if record.name in given - inside]
    if single:
        rows.append({"kind": "not placed", "images": single, "where": images_in_words(order, single)})
    if now.thin:
        names = [record.name for record in order if record.name in now.thin.images and record.name in given]
        rows.append({"kind": "thin link", "images": names, "where": images_in_words(order, names), "points": now.thin.points})
    return rows


def _warning(part: Mapping[str, Any], climbed: Climbed) -> dict[str, str]:
    count, where = counted(len(part["images"]), "image"), part["where"]
    video = any(record.sequence for record in climbed.material.records if record.name in part["images"])
    remedy = (
        "Film that place once more, slowly, from where the rest was filmed to there and back"
        if video
        else "Take three or four photos on the way from the rest to there, a step apart, each showing two thirds of the one before"
    )
    if part["kind"] == "thin link":
        text = f"{count} hang on the rest by {part['points']} points only, so their place and size may be off: {where}"
        return {"code": "thin_link", "message": text, "remedy": remedy}
    if part["kind"] == "own model":
        return {"code": "stays_apart", "message": f"{count} fit each other but not the rest, and are left out: {where}", "remedy": remedy}
    verb = "finds no place" if len(part["images"]) == 1 else "find no place"
    return {"code": "stays_apart", "message": f"{count} {verb} in the model: {where}", "remedy": remedy}
