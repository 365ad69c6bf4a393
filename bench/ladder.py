"""Captures that hardly connect: images registered by SIFT alone and after the recovery ladder.

Registrable are, of the simulated captures, all images: each overlaps with the next, by construction. Of real ones those that are
registered at full density and full size, which is all of them in both sets.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pycolmap
from PIL import Image

from bench.usage import recon
from recon.evaluate.poses import pose_errors
from recon.simulate import hard
from recon.simulate.kinds import FPS
from recon.simulate.write import truth_model

if TYPE_CHECKING:
    from bench.bars import Row

WANTED = 0.95
_NOTHING = pycolmap.Camera(camera_id=1, model="PINHOLE", width=1, height=1, params=[1, 1, 0, 0])
"""Truths hold poses; their lens is not asked for."""


def ladder(data: Path, work: Path) -> list[Row]:
    """Bar 2 of issue 5: a row a figure and capture. What the ladder says of each is kept beside the run."""
    from bench.bars import Row, at_least

    rows: list[Row] = []
    for name, capture, truth in _captures(data, work):
        out = work / f"ladder-{name.split(' ')[0]}"
        shutil.rmtree(out, ignore_errors=True)
        usage = recon("process", capture, "-o", out, "--until", "recover").checked()
        told, sfm = _told(out, "recover", "recovery.json"), _told(out, "sfm", "sfm.json")
        alone = sfm["registered"] / sfm["images"]
        share = told["registered_after"] / told["images"] if "registered_after" in told else alone
        rows += [
            Row("2", name, "registered by SIFT alone, share", alone, "", True),
            at_least("2", name, "registered after the ladder, share", share, max(WANTED, alone)),
            Row("2", name, "rungs that helped", float(sum(step["result"].startswith("helped") for step in told["steps"])), "", True),
            Row("2", name, "seconds, up to recover", usage.seconds, "", True),
        ]
        if truth is not None:
            for figure, stage in (("by SIFT alone", "sfm"), ("after the ladder", "recover")):
                value = _pose_error(out, stage, truth)
                rows.append(Row("2", name, f"camera error {figure}, share of the path", value, "", True))
        (out / "ladder.txt").write_text(told_in_words(told), encoding="utf-8")
    return rows


def told_in_words(told: dict[str, Any]) -> str:
    """The log as the report shows it."""
    if not told["steps"]:
        return "The images came together by themselves.\n"
    lines = [f"At first {told['why']}."]
    lines += [f"- {step['rung']}: {step['tried']}. {step['result'] if step['used'] else 'passed over'}." for step in told["steps"]]
    lines += [f"In the end {told['outcome']}.", *(f"! {row['message']}. {row['remedy']}." for row in told["warnings"])]
    return "\n".join(lines) + "\n"


def _captures(data: Path, work: Path) -> Iterator[tuple[str, Path, pycolmap.Reconstruction | None]]:
    """Name, what to reconstruct, and the true poses where they are known."""
    yield "a: every third keyframe of karma.mp4", _thinned(data / "telemetry/gopro/karma.mp4", work), None
    yield "b: sacre-coeur at half size", _halved(data / "sacre-coeur", work / "captures/b"), None
    folder = _fresh(work / "captures/c")
    poses = hard.opposed_strips(folder)
    yield "c: strips flown to and fro", folder / "images", truth_model(_NOTHING, [f"DJI_{n + 1:04d}.JPG" for n in range(len(poses))], poses)
    folder = _fresh(work / "captures/d")
    poses = hard.two_halves(folder)
    yield "d: two halves, four photos between", folder, truth_model(_NOTHING, [f"{n:04d}.jpg" for n in range(len(poses))], poses)
    file = _fresh(work / "captures/e") / "clip.mp4"
    path = hard.whip_pan(file)
    frames = range(int(path.times_s[-1] * FPS))
    yield "e: whip pan", file, truth_model(_NOTHING, [f"{n:06d}.jpg" for n in frames], [path.pose(n / FPS) for n in frames])


def _thinned(video: Path, work: Path) -> Path:
    """Every third keyframe that ``select`` takes from a video, as photos."""
    out, folder = work / "ladder-keyframes", _fresh(work / "captures/a")
    recon("process", video, "-o", out, "--until", "select").checked()
    (images,) = (out / ".recon").glob("select-*/0000/images")
    folder.mkdir(parents=True)
    for path in sorted(images.rglob("*.jpg"))[::3]:
        shutil.copyfile(path, folder / path.name)
    return folder


def _halved(photos: Path, folder: Path) -> Path:
    """Photos at half their size, EXIF kept."""
    _fresh(folder).mkdir(parents=True)
    for path in sorted(photos.glob("*.jpg")):
        with Image.open(path) as photo:
            small = photo.resize((round(photo.width / 2), round(photo.height / 2)), Image.Resampling.LANCZOS)
            small.save(folder / path.name, quality=95, exif=photo.info.get("exif", b""))
    return folder


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def _told(out: Path, stage: str, file: str) -> dict[str, Any]:
    (found,) = (out / ".recon").glob(f"{stage}-*/0000/{file}")
    return dict(json.loads(found.read_text(encoding="utf-8")))


def _pose_error(out: Path, stage: str, truth: pycolmap.Reconstruction) -> float | None:
    """Mean distance of the registered cameras from their true places after a similarity, over the length of the path."""
    found = list((out / ".recon").glob(f"{stage}-*/0000/model"))
    return float(pose_errors(pycolmap.Reconstruction(found[0]), truth).summary()["position_share"]["mean"]) if found else None
