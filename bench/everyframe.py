"""Issue 6: poses of the frames between keyframes, on the project's clip with its truth and on a real drone video."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pycolmap

from bench.usage import recon
from recon.capture.records import read_json
from recon.geometry.similarity import fit_similarity

if TYPE_CHECKING:
    from bench.bars import Row

WALK = Path(__file__).parent.parent / "sample_data/walk"


def everyframe(data: Path, work: Path) -> list[Row]:
    """Errors of in-between frames beside those of keyframes, the share found in the images, and seconds a frame."""
    from bench.bars import Row, at_least, at_most

    told = _made(WALK / "walk.mp4", work / "every-walk")
    truth = pycolmap.Reconstruction(WALK / "truth/cameras")
    true = {image.name: image.projection_center() for image in truth.images.values()}
    centers = {row["frame"]: _center(row) for row in told["frames"]}
    names = {frame: f"walk.mp4/{frame:06d}.jpg" for frame in centers}
    keys = [row["frame"] for row in told["frames"] if row["source"] == "keyframe"]
    similarity = fit_similarity(np.array([centers[k] for k in keys]), np.array([true[names[k]] for k in keys]))
    off = {frame: float(np.linalg.norm(similarity * center - true[names[frame]])) for frame, center in centers.items()}
    at_keys, between = (statistics.mean(off[k] for k in off if (k in keys) == which) for which in (True, False))
    rows = [
        Row("6", "sample clip", "error of keyframes, mm", 1000 * at_keys, "", True),
        Row("6", "sample clip", "error of the frames between, mm", 1000 * between, "", True),
        at_most("6", "sample clip", "error of the frames between over that of keyframes", between / at_keys, 1.5),
    ]
    for name, capture in (("sample clip", WALK / "walk.mp4"), ("karma.mp4", data / "telemetry/gopro/karma.mp4")):
        out = work / f"every-{capture.stem}"
        told = _made(capture, out)
        counts = told["counts"]
        rows.append(
            at_least(
                "6", name, "frames between that are found in the image, share", counts["image"] / (counts["image"] + counts["spline"]), 0.9
            )
        )
        done = read_json(next((out / ".recon").glob("trajectory-*/0000/DONE")))
        rows.append(Row("6", name, "seconds a frame", (done["end_s"] - done["start_s"]) / len(told["frames"]), "", True))
    return rows


def _made(capture: Path, out: Path) -> dict[str, Any]:
    recon("process", capture, "-o", out, "--all-frames", "--until", "trajectory").checked()
    return dict(read_json(next((out / ".recon").glob("trajectory-*/0000/trajectory.json"))))


def _center(row: dict[str, Any]) -> Any:
    w, x, y, z, *translation = row["cam_from_world"]
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([x, y, z, w])), np.array(translation)).inverse().translation
