"""How good a result is, in plain words, and what to do about what is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from recon.capture.names import listed

Level = str  # "green", "amber" or "red"
_ORDER = ("green", "amber", "red")


@dataclass(frozen=True)
class _Rule:
    """A figure with the values from which on it is amber and red."""

    figure: Callable[[Mapping[str, Any]], float | None]
    amber: float
    red: float
    says: Mapping[Level, str]
    """A sentence a level; ``{value}`` and the facts' own names are filled in."""
    remedy: str
    code: str
    low_is_bad: bool = True

    def level(self, value: float) -> Level:
        sign = 1 if self.low_is_bad else -1
        if sign * value < sign * self.red:
            return "red"
        return "amber" if sign * value < sign * self.amber else "green"


def _registered_share(facts: Mapping[str, Any]) -> float:
    images = facts["images"]
    return 100.0 * float(images["registered"]) / max(1, int(images["used"]))


def _coverage(facts: Mapping[str, Any]) -> float | None:
    share = facts["texture"].get("coverage")
    return None if share is None else share * 100


def _unseen(facts: Mapping[str, Any]) -> float | None:
    share = facts.get("depth", {}).get("unseen_share")
    return None if share is None else share * 100


def _well_seen(facts: Mapping[str, Any]) -> float | None:
    by_views = {int(views): count for views, count in facts["points_by_views"].items()}
    total = sum(by_views.values())
    return 100 * sum(count for views, count in by_views.items() if views >= 3) / total if total else None


_RULES = (
    _Rule(
        _registered_share,
        90,
        60,
        {
            "green": "{registered} of {used} images found their place",
            "amber": "{registered} of {used} images found their place; the rest share too little with their neighbours",
            "red": "only {registered} of {used} images found their place: parts of the scene are missing",
        },
        "Take more photos between those that were left out and the others: each should show at least 60 % of the one before",
        "images_left_out",
    ),
    _Rule(
        lambda facts: facts["reprojection_error_px"],
        1.2,
        2.5,
        {
            "green": "the geometry fits the images to {value:.2f} pixels",
            "amber": "the geometry fits the images to {value:.2f} pixels; a sharp, rigid capture reaches 1 or less",
            "red": "the geometry misses the images by {value:.2f} pixels: moving things, rolling shutter, or a wrong lens model",
        },
        "Keep zoom and focus fixed, move slowly, avoid scenes that move, and switch electronic stabilisation off",
        "high_reprojection_error",
        low_is_bad=False,
    ),
    _Rule(
        lambda facts: facts["mean_track_length"],
        3.0,
        2.3,
        {
            "green": "each sparse point is seen by {value:.1f} images on average",
            "amber": "each sparse point is seen by {value:.1f} images on average: the overlap is thin",
            "red": "each sparse point is seen by {value:.1f} images on average: hardly anything is measured more than once",
        },
        "Take photos at smaller steps, so that every part is in three images or more",
        "thin_overlap",
    ),
    _Rule(
        _well_seen,
        60,
        25,
        {
            "green": "{value:.0f} % of the dense points were seen by three images or more",
            "amber": "only {value:.0f} % of the dense points were seen by three images or more; the others may be off",
            "red": "only {value:.0f} % of the dense points were seen by three images or more: expect noise and holes",
        },
        "Add a second round of photos at another height or distance",
        "weak_dense_cloud",
    ),
    _Rule(
        _unseen,
        40,
        80,
        {
            "green": "{value:.0f} % of what the images show could not be measured, and is left open",
            "amber": "{value:.0f} % of what the images show could not be measured (water, glass, sky, bare walls), and is left open",
            "red": "{value:.0f} % of what the images show could not be measured: most of the scene is left open",
        },
        "Mask what is no part of the subject; move sideways between photos; take bare and shining parts from nearer by, in even light",
        "much_unseen",
        low_is_bad=False,
    ),
    _Rule(
        _coverage,
        85,
        50,
        {
            "green": "{value:.0f} % of the surface has its colours from photos",
            "amber": "{value:.0f} % of the surface has its colours from photos, the rest is filled in",
            "red": "only {value:.0f} % of the surface has its colours from photos",
        },
        "Photograph the sides that stay plain in the 3D view",
        "low_texture_coverage",
    ),
)
_WATCHED = {"arbitrary_scale": "georef", "low_texture_coverage": "texture"}
"""Codes of our own warnings, and the stage whose plain sentences say the same."""
_HEADLINES = {
    "green": "A sound reconstruction",
    "amber": "Usable, with weak places",
    "red": "Weak: check it before you rely on it",
}


def judge(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict: ``level``, ``headline`` and ``reasons`` (rows of level and text), the worst first."""
    reasons = []
    for rule in _RULES:
        value = rule.figure(facts)
        if value is not None:
            reasons.append({"level": rule.level(value), "text": _say(rule, value, facts)})
    reasons.sort(key=lambda reason: -_ORDER.index(reason["level"]))
    scale = facts["scale"]
    if scale.get("metric"):
        rms = scale.get("rms_m")
        text = f"lengths are in metres, from {scale_source(scale)}"
        reasons.append({"level": "green", "text": text if rms is None else f"{text} (RMS {rms:.2f} m)"})
    else:
        reasons.append({"level": "info", "text": "lengths are in an arbitrary unit: shapes and ratios hold, sizes do not"})
    level = max((reason["level"] for reason in reasons if reason["level"] in _ORDER), key=_ORDER.index)
    return {"level": level, "headline": _HEADLINES[level], "reasons": reasons}


_SOURCES = {"gps": "GPS", "depth": "measured depth", "device": "the device's poses"}


def scale_source(scale: Mapping[str, Any]) -> str:
    """In words, where the lengths of a metric model come from."""
    return _SOURCES[str(scale["source"])]


def own_warnings(facts: Mapping[str, Any], already: Set[str | None]) -> list[dict[str, str]]:
    """Warnings that follow from the figures, unless one of that code, or of the stage that watches the figure, is there already."""
    rows = []
    for rule in _RULES:
        value = rule.figure(facts)
        if value is not None and rule.level(value) != "green":
            rows.append({"code": rule.code, "stage": "report", "message": _say(rule, value, facts), "remedy": rule.remedy})
    if facts["skipped"]:
        count = len(facts["skipped"])
        noun = "file was" if count == 1 else "files were"
        remedy = "The list of skipped files says why, one by one"
        message = f"{count} {noun} not used: {listed([row['source'] for row in facts['skipped']])}"
        rows.append({"code": "files_skipped", "stage": "ingest", "message": message, "remedy": remedy})
    if not facts["scale"].get("metric"):
        message = "the unit is arbitrary: nothing in the capture tells how large it is"
        remedy = "Use photos or video with GPS if you need metres; until then measure one known length and scale by it"
        rows.append({"code": "arbitrary_scale", "stage": "georef", "message": message, "remedy": remedy})
    return [row for row in rows if row["code"] not in already and _WATCHED.get(row["code"]) not in already]


def _say(rule: _Rule, value: float, facts: Mapping[str, Any]) -> str:
    images = facts["images"]
    return rule.says[rule.level(value)].format(value=value, registered=images["registered"], used=images["used"])
