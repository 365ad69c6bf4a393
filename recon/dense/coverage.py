"""How much of what the views show has depth, over a whole run: shards know only their own views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recon.capture.records import read_json
from recon.stage import Inputs

LITTLE = 0.3
"""A view that has depth for less than this share of its usable pixels is told of."""
NO_DEPTH_REMEDY = "Move sideways between photos, about a tenth of the distance to the subject; bare walls need something to see"
LITTLE_REMEDY = "Mask what is no part of the subject; take photos of shining and bare parts from nearer by, in even light"


def depth_rows(inputs: Inputs) -> list[dict[str, Any]]:
    """``name``, ``coverage`` and ``usable`` (shares of its pixels) of every view."""
    return [row for folder in inputs["depth"] for row in read_json(folder / "depth.json")["views"]]


def unseen_share(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Of the pixels that no mask hides, over all views, those whose depth could not be measured."""
    usable = sum(row["usable"] for row in rows)
    return round(1 - sum(min(row["coverage"], row["usable"]) for row in rows) / usable, 4) if usable else None


def coverage_warnings(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    warnings = []
    empty = [row["name"] for row in rows if row["coverage"] == 0]
    if empty:
        message = f"{len(empty)} views have no depth, among them {empty[0]}: the views beside them do not show the same surface"
        warnings.append({"code": "views_without_depth", "message": message, "remedy": NO_DEPTH_REMEDY})
    little = sorted((row["coverage"] / row["usable"], row["name"]) for row in rows if 0 < row["coverage"] < LITTLE * row["usable"])
    if little:
        share, name = little[0]
        message = (
            f"of {len(little)} of {len(rows)} views less than {LITTLE:.0%} could be measured, of {name} {share:.0%}: "
            "water, glass, sky and bare walls are left open, not invented"
        )
        warnings.append({"code": "views_mostly_unseen", "message": message, "remedy": LITTLE_REMEDY})
    return warnings
