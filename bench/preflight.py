"""What ``recon inspect`` foretells against what ``recon process --until sfm`` then registers, over real sets and simulated bad captures."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.bars import Row, at_least, at_most
from bench.usage import recon
from recon.simulate import degenerate, hard

SETS = {
    "lund-door": "lund-door/images",
    "temple-sparse-ring": "temple-sparse-ring",
    "sacre-coeur": "sacre-coeur",
    "banana": "banana",
    "fountain-P11": "fountain-P11/images",
    "brighton-beach": "brighton-beach",
    "karma.mp4": "telemetry/gopro/karma.mp4",
    "max-heromode.mp4": "telemetry/gopro/max-heromode.mp4",
}
SIMULATED: dict[str, Callable[[Path], Any]] = {
    "plain wall": degenerate.textureless_wall,
    "a turn on the spot": degenerate.pure_rotation,
    "two places": degenerate.unrelated,
    "lens cap": degenerate.black,
    "out of focus": degenerate.blurred,
    "strips flown to and fro": hard.opposed_strips,
    "two halves": hard.two_halves,
    "whip pan": lambda folder: hard.whip_pan(folder / "pan.mp4"),
}
CONNECTS, NEAR = 0.9, 0.15
"""A share that counts as connected, and how far from it the prediction may be."""


def preflight(data: Path, work: Path) -> list[Row]:
    """Issue 5: hit rate of the verdict and of the share, and the time a look takes."""
    rows, hits, near, slowest = [], [], [], []
    for name, capture in _captures(data, work / "preflight"):
        look = recon("inspect", capture)
        told = look.last.get("preflight") or {"verdict": "no", "predicted_share": 0.0}
        outcome = _outcome(capture, work / "preflight-out" / name)
        hits.append(told["verdict"] == _verdict(outcome))
        near.append(abs(told["predicted_share"] - outcome) <= NEAR)
        slowest.append(look.seconds)
        rows.append(Row("preflight", name, "share foretold", told["predicted_share"], "", True))
        rows.append(Row("preflight", name, "share registered", outcome, "", True))
    return [
        *rows,
        at_least("preflight", "all", f"verdict is right, share of {len(hits)}", statistics.mean(hits), 0.85),
        at_least("preflight", "all", f"share is right within {NEAR}, share of {len(near)}", statistics.mean(near), 0.8),
        at_most("preflight", "all", "seconds of the slowest look", max(slowest), 60),
    ]


def _captures(data: Path, work: Path) -> list[tuple[str, Path]]:
    found = [(name, data / folder) for name, folder in SETS.items() if (data / folder).exists()]
    for name, make in SIMULATED.items():
        folder = work / name
        if not folder.exists():
            folder.mkdir(parents=True)
            make(folder)
        found.append((name, folder / "images" if (folder / "images").is_dir() else folder))
    return found


def _outcome(capture: Path, out: Path) -> float:
    """Share of the images in the largest model; 0 where the run ends with an error of the capture."""
    usage = recon("process", capture, "-o", out, "--until", "sfm")
    if usage.last.get("event") == "error":
        return 0.0
    (found,) = sorted((out / ".recon").glob("sfm-*/0000/sfm.json"), key=os.path.getmtime)[-1:]
    sfm = json.loads(found.read_text())
    return float(sfm["registered"] / sfm["images"])


def _verdict(share: float) -> str:
    return "yes" if share >= CONNECTS else "partly" if share > 0 else "no"
