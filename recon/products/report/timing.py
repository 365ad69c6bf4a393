"""Seconds and memory of each stage, from the ``DONE`` files of its shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recon.capture.records import read_json
from recon.storage import DONE


def stage_rows(inputs: Mapping[str, Sequence[Path]]) -> list[dict[str, Any]]:
    """A row a stage in the order given: name, shards, seconds (wall), busy_s (sum over shards), peak_mb (sum of those at once).

    Seconds and memory are None where a shard does not say.
    """
    return [stage_row(name, folders) for name, folders in inputs.items()]


def stage_row(name: str, folders: Sequence[Path]) -> dict[str, Any]:
    paths = [folder / DONE for folder in folders]
    row: dict[str, Any] = {"name": name, "shards": len(folders), "seconds": None, "busy_s": None, "peak_mb": None}
    if not paths or not all(path.is_file() for path in paths):
        return row
    marks = [read_json(path) for path in paths]
    spans = [(float(mark["start_s"]), float(mark["end_s"])) for mark in marks]
    return {
        **row,
        "seconds": round(covered(spans), 3),
        "busy_s": round(sum(end - start for start, end in spans), 3),
        "peak_mb": round(peak(spans, [float(mark["peak_mb"]) for mark in marks]), 1),
    }


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """Length of the union of (start, end) intervals: the pause between two runs of a resumed stage does not count."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def peak(spans: Sequence[tuple[float, float]], sizes: Sequence[float]) -> float:
    """The largest sum of sizes over intervals that overlap; one that starts when another ends does not overlap it."""
    steps = [(start, 1, size) for (start, _), size in zip(spans, sizes, strict=True)]
    steps += [(end, 0, -size) for (_, end), size in zip(spans, sizes, strict=True)]
    highest = current = 0.0
    for _, _, change in sorted(steps):
        current += change
        highest = max(highest, current)
    return highest
