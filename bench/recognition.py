"""Issue 6, bar 1: what ``recon inspect`` calls each public set and each simulated kind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.usage import recon

if TYPE_CHECKING:
    from bench.bars import Row

SETS = {
    "aria/everyday.vrs": "Aria",
    "aria/video.vrs": "Aria",
    "banana": "photos (NIKON D3200)",
    "brighton-beach": "drone photos (DJI FC300S)",
    "fountain-P11": "photos",
    "lund-door": "photos (NIKON D60)",
    "rgbd-livingroom": "RGB-D folder",
    "sacre-coeur": "photos",
    "telemetry/gopro/karma.mp4": "GoPro video (GoPro Karma v1.0)",
    "telemetry/gopro/max-heromode.mp4": "GoPro video (GoPro Max)",
    "temple-sparse-ring": "photos",
}
"""What each must be called; of glasses' recordings a part of it."""
SIMULATED = {
    "drone": ((), "drone photos (recon simulated drone)"),
    "drone video": (("--video",), "drone video with subtitles"),
    "object": (("--photos",), "photos (recon simulated camera)"),
    "object video": (("--video",), "video"),
    "glasses": ((), "video"),
    "room": ((), "RGB-D folder (recon simulated camera)"),
}


def recognition(data: Path, work: Path) -> list[Row]:
    """The share of the sets that are called what they are, and a row for each that is not."""
    from bench.bars import Row, at_least

    wanted = {name: (data / name, kind) for name, kind in SETS.items() if (data / name).exists()}
    for name, (options, kind) in SIMULATED.items():
        out = work / "recognition" / name.replace(" ", "-")
        if not out.exists():
            recon("simulate", name.split()[0], "-o", out, "--images", 6, "--size", "160x120", *options)
        video = next(out.glob("*.mp4"), None)
        wanted[f"simulated {name}"] = (video or (out if kind.startswith("RGB-D") else out / "images"), kind)
    rows, right = [], 0
    for name, (capture, kind) in wanted.items():
        found = recon("inspect", capture, "--quick").last.get("kind", "")
        named = kind in found if kind == "Aria" else found == kind
        right += named
        if not named:
            rows.append(Row("6.1", name, f"called '{found}'", 0.0, kind, False))
    return [at_least("6.1", f"{len(wanted)} sets", "called what they are, share", right / len(wanted), 1.0), *rows]
