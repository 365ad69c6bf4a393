"""How much machine so many captures a day need, from the costs that the benchmark measured: ``python -m bench.sizes 100``.

A capture costs its images times the dearest measured CPU seconds an image (whole runs at preset ``default``; the cost an image does not
grow with their number, see *linear* and *pairs* in the table). Captures come within ten hours of a day, and workers are kept busy for 70 %
of them, so that a queue forms seldom. Memory and store are what ``recon inspect`` foretells for such a capture.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from typing import Any

from bench.table import kept
from recon.config import PRESETS, parse
from recon.cost import estimate

DAY_S, BUSY = 10 * 3600.0, 0.7
WORKER_CORES = 4
RUNS = {"karma.mp4": ("video", "keyframes"), "brighton-beach": ("photos", "registered")}
"""Whole runs of which both the CPU seconds and the images are measured."""
EXAMPLES = ((10, 100), (50, 100), (100, 100), (500, 100), (100, 40), (20, 1000))
"""Captures a day, images of each."""


@dataclass(frozen=True)
class Size:
    captures: int
    images: int
    cores: float
    workers: int
    worker_gb: int
    upload_gb: float
    store_tb: float
    """Of uploads, results and everything between, kept for ``days``."""


def image_s(figures: dict[str, Any]) -> dict[str, float]:
    """CPU seconds an image of each measured run."""
    found = {}
    for name, (group, counted) in RUNS.items():
        row = {one["figure"]: one["value"] for one in figures["rows"][group] if one["set"] == name}
        found[name] = row["CPU seconds"] / row[counted]
    return found


def size(captures: int, images: int, mpx: float = 12.0, days: int = 30) -> Size:
    """For so many captures a day of so many images of so many megapixels."""
    copied = int(images * mpx * 0.35e6)  # a JPEG
    told = estimate("default", parse(PRESETS["default"]), images, [mpx] * images, 0, copied)
    cores = captures * images * max(image_s(kept()).values()) / (DAY_S * BUSY)
    # one mapper holds a whole capture; dense shards beside it take what typical ones do
    worker_gb = math.ceil((told.memory_mb + 1000 * (WORKER_CORES - 1)) / 1000)
    store_tb = captures * days * (copied + told.disk_mb * 1e6) / 1e12
    return Size(captures, images, cores, math.ceil(cores / WORKER_CORES), worker_gb, captures * copied / 1e9, store_tb)


def table(rows: list[Size], days: int) -> str:
    """In Markdown."""
    heads = ("captures a day", "images of each", "cores busy", f"workers of {WORKER_CORES} cores", "memory of each", "uploads a day")
    lines = [f"| {' | '.join((*heads, f'store, {days} days kept'))} |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {row.captures} | {row.images} | {row.cores:.1f} | {row.workers} | {row.worker_gb} GB"
        f" | {row.upload_gb:.1f} GB | {row.store_tb:.1f} TB |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sizes", description="Machines for so many captures a day.")
    parser.add_argument("captures", type=int, nargs="?", help="a day; left out, some examples")
    parser.add_argument("--images", type=int, default=100, help="of each capture [100]")
    parser.add_argument("--mpx", type=float, default=12.0, help="megapixels of each [12]")
    parser.add_argument("--days", type=int, default=30, help="that results are kept [30]")
    asked = parser.parse_args()
    wanted = ((asked.captures, asked.images),) if asked.captures else EXAMPLES
    seconds = ", ".join(f"{name}: {value:.1f} s" for name, value in image_s(kept()).items())
    rows = [size(captures, images, asked.mpx, asked.days) for captures, images in wanted]
    sys.stdout.write(f"{table(rows, asked.days)}\n\nCPU seconds an image: {seconds}\n")


if __name__ == "__main__":
    main()
