"""The bars of the spine: each function measures one and returns rows of (bar, set, figure, value, wanted)."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.dense import dense
from bench.usage import Usage, recon, run, tree_digest

REPOSITORY = Path(__file__).parent.parent
K_FOUNTAIN = "2759.48, 2764.16, 1521.19, 1007.31"  # K.txt, moved to an origin at the first pixel's corner
PHOTO_SETS = {"banana": "banana", "lund-door": "lund-door/images", "sacre-coeur": "sacre-coeur", "temple-sparse-ring": "temple-sparse-ring"}


@dataclass(frozen=True)
class Row:
    bar: str
    set: str
    figure: str
    value: float | None
    """None: not measured."""
    wanted: str
    met: bool

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def at_most(bar: str, name: str, figure: str, value: float | None, limit: float) -> Row:
    return Row(bar, name, figure, value, f"<= {limit:g}", value is not None and value <= limit)


def at_least(bar: str, name: str, figure: str, value: float | None, limit: float) -> Row:
    return Row(bar, name, figure, value, f">= {limit:g}", value is not None and value >= limit)


def _report(usage: Usage) -> dict[str, Any]:
    return dict(usage.checked().last["report"])


def _sparse(out: Path, name: str = "sfm") -> dict[str, Any]:
    (found,) = sorted((out / ".recon").glob(f"{name}-*/0000/{name}.json"), key=os.path.getmtime)[-1:]
    return dict(json.loads(found.read_text()))


def _share(sfm: dict[str, Any]) -> float:
    return float(sfm["registered"] / sfm["images"])


def video(data: Path, work: Path) -> list[Row]:
    """Bar 1, and the peak memory and time of the whole run."""
    out = work / "karma"
    usage = recon("process", data / "telemetry/gopro/karma.mp4", "-o", out)
    report = _report(usage)
    return [
        at_least("1", "karma.mp4", "keyframes in one model, share", _share(_sparse(out)), 0.95),
        at_least("1", "karma.mp4", "keyframes", _sparse(out)["images"], 20),
        at_least("1", "karma.mp4", "dense points", report["points"], 100_000),
        *_cost("1", "karma.mp4", usage),
    ]


def fountain(data: Path, work: Path) -> list[Row]:
    """Bar 2: camera error with the given K and without."""
    images, rows = data / "fountain-P11/images", []
    for name, options, limit in (
        ("K given", ["--set", "camera.model=PINHOLE", "--set", f"camera.params=[{K_FOUNTAIN}]"], 3.0),
        ("no K", [], 7.0),
    ):
        out = work / f"fountain-{name.replace(' ', '-')}"
        recon("process", images, "-o", out, "--until", "sfm", *options)
        sfm = sorted((out / ".recon").glob("sfm-*/0000/model"))[-1]
        scores = recon("eval", sfm, data / "fountain-P11/gt_dense_cameras").last
        rows.append(at_least("2", f"fountain-P11, {name}", "registered", scores["poses"]["images"], 11))
        rows.append(at_most("2", f"fountain-P11, {name}", "mean camera error, mm", 1000 * scores["poses"]["position"]["mean"], limit))
    return rows


def photos(data: Path, work: Path) -> list[Row]:
    """Bars 3 and 7: drone photos whole, and the registered share of the other sets."""
    out = work / "brighton"
    usage = recon("process", data / "brighton-beach", "-o", out)
    report = _report(usage)
    rows = [
        at_least("3", "brighton-beach", "registered", report["images"]["registered"], 18),
        at_most("3", "brighton-beach", "RMS to GPS, m", report["scale"]["rms_m"], 0.7),
        at_most("3", "brighton-beach", "reprojection error, px", report["reprojection_error_px"], 0.6),
        at_most("7", "brighton-beach", "peak memory, MB", usage.peak_mb, 4096),
        *_cost("7", "brighton-beach", usage),
    ]
    for name, folder in PHOTO_SETS.items():
        recon("process", data / folder, "-o", work / name, "--until", "sfm")
        rows.append(at_least("3", name, "registered, share", _share(_sparse(work / name)), 0.9))
    return rows


def sample(data: Path, work: Path) -> list[Row]:
    """Bar 4: the project's own clip against its exact truth."""
    out, walk = work / "walk", REPOSITORY / "sample_data/walk"
    usage = recon("process", walk / "walk.mp4", "-o", out)
    _report(usage)
    scores = recon("eval", out, walk / "truth").last
    return [
        at_most("4", "sample clip", "camera error, share of the path", scores["poses"]["position_share"]["mean"], 0.001),
        at_most("4", "sample clip", "cloud accuracy (90 %), share of scene", scores["cloud"]["accuracy_90"]["share"], 0.002),
        at_most("4", "sample clip", "cloud completeness (90 %), share of scene", scores["cloud"]["completeness_90"]["share"], 0.002),
        *_cost("4", "sample clip", usage),
    ]


def peer(data: Path, work: Path) -> list[Row]:
    """Bar 5: seconds of the sparse part over plain pycolmap's, same images, same size, one whole process after the other."""
    rows = []
    sets = [("karma.mp4", None, 0.5), *((name, data / folder, 1.0) for name, folder in PHOTO_SETS.items())]
    sets += [("brighton-beach", data / "brighton-beach", 1.0), ("fountain-P11", data / "fountain-P11/images", 1.0)]
    for name, images, limit in sets:
        out = work / f"sparse-{name}"
        shutil.rmtree(out, ignore_errors=True)
        source = images or data / "telemetry/gopro/karma.mp4"
        recon("process", source, "-o", out, "--until", "select")
        ours = recon("process", source, "-o", out, "--until", "sfm")
        registered = _sparse(out)["registered"]
        if images is None:
            (images,) = (out / ".recon").glob("select-*/0000/images")
            quick = _plain(images, out, "sequential")
            rows.append(Row("5", name, "images in plain's largest model, sequential", max(quick.last["models"], default=0), "", True))
            rows.append(Row("5", name, "seconds over plain pycolmap's, sequential", ours.seconds / quick.seconds, "", True))
        theirs = _plain(images, out, "exhaustive")
        largest = max(theirs.last["models"], default=0)
        rows.append(at_most("5", name, "seconds over plain pycolmap's, exhaustive", ours.seconds / theirs.seconds, limit))
        rows.append(at_least("5", name, "registered over plain's largest model", registered / max(1, largest), 1.0))
    return rows


def _plain(images: Path, out: Path, pairing: str) -> Usage:
    return run([sys.executable, "-m", "bench.plain", str(images), str(out / "plain"), "1600", pairing])


def resume(data: Path, work: Path) -> list[Row]:
    """Bar 6: a second run, a changed option, and ten kills."""
    walk, out = REPOSITORY / "sample_data/walk/walk.mp4", work / "resume"
    shutil.rmtree(out, ignore_errors=True)
    options = ["--preset", "fast"]
    whole = recon("process", walk, "-o", out, *options)
    again = recon("process", walk, "-o", out, *options)
    changed = recon("process", walk, "-o", out, *options, "--set", "mesh.faces=20000")
    after = ["sample", "surface", "mesh", "texture", "products", "report"]
    killed = work / "killed"
    shutil.rmtree(killed, ignore_errors=True)
    undisturbed = work / "undisturbed"
    shutil.rmtree(undisturbed, ignore_errors=True)
    _report(recon("process", walk, "-o", undisturbed, *options))
    expected, kills, differing = tree_digest(undisturbed), 0, 0
    for survived, products in _killed_runs(["process", walk, "-o", killed, *options], killed, 10, max(3.0, whole.seconds / 6)):
        kills += survived
        differing += sum(products.get(name) != expected.get(name) for name in products.keys() | expected.keys())
    return [
        at_most("6", "sample clip, fast", "seconds of a second run", again.seconds, 3.0),
        at_most("6", "sample clip, fast", "stages in a second run", len(again.last["ran"]), 0),
        at_most(
            "6", "sample clip, fast", "stages but the mesh and after, mesh.faces changed", len(set(changed.last["ran"]) ^ set(after)), 0
        ),
        at_least("6", "sample clip, fast", "kills survived", kills, 10),
        at_most("6", "sample clip, fast", "products that differ after the kills", differing, 0),
        at_least("6", "sample clip, fast", "products compared", len(expected), 10),
    ]


def _killed_runs(arguments: list[Any], out: Path, kills: int, longest_s: float) -> Iterator[tuple[int, dict[str, str]]]:
    """Kill a run at random moments, so many times in all; for each that came through, how often it was killed and its products.

    A run that ends before it is killed counts, too: the rest of the kills fall on a new one.
    """
    chance, command = random.Random(0), [sys.executable, "-m", "recon", *map(str, arguments)]
    while kills > 0:
        shutil.rmtree(out, ignore_errors=True)
        survived = 0
        while survived < kills:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(chance.uniform(1.0, longest_s))
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                survived += 1
        _report(recon(*arguments))
        kills -= survived
        yield survived, tree_digest(out)


def memory(data: Path, work: Path) -> list[Row]:
    """Bar 7: peak memory of depth and fuse on simulated flights of 25, 50 and 100 images."""
    peaks: dict[str, list[float]] = {"depth": [], "fuse": []}
    for count in (25, 50, 100):
        flight, out = work / f"flight-{count}", work / f"flight-{count}-out"
        if not flight.exists():
            recon("simulate", "drone", "-o", flight, "--images", count, "--size", "640x480")
        shutil.rmtree(out, ignore_errors=True)
        recon("process", flight / "images", "-o", out, "--until", "fuse")
        for stage, values in peaks.items():
            key = max((out / ".recon").glob(f"{stage}-*"), key=os.path.getmtime)
            values.append(max(json.loads(done.read_text())["peak_mb"] for done in key.glob("0*/DONE")))
    rows = []
    for stage, values in peaks.items():
        rows += [
            at_most("7", f"flight, {n} images", f"{stage}: peak MB a worker", v, 2048) for n, v in zip((25, 50, 100), values, strict=True)
        ]
        rows.append(at_most("7", "flights", f"{stage}: peak of 100 images over 25", values[2] / values[0], 1.15))
    return rows


def texture(data: Path, work: Path) -> list[Row]:
    """Issue 3: the textured mesh against the photos and the true surface."""
    from bench.texture import rows

    return rows(data, work)


def scenes(data: Path, work: Path) -> list[Row]:
    """Issue 3, bar 4: scenes that are hard each in one way, against their exact surfaces."""
    from bench.scenes import scenes

    return scenes(data, work)


def errors(data: Path, work: Path) -> list[Row]:
    """Issue 3, bar 7: whether the stated errors and confidences of points are true."""
    from bench.errors import errors

    return errors(data, work)


def linear(data: Path, work: Path) -> list[Row]:
    """Issue 3, bar 7: time by the number of images and of pixels, and memory."""
    from bench.scaling import linear

    return linear(data, work)


def pairs(data: Path, work: Path) -> list[Row]:
    """Issue 5, bar 3: pairs of simulated flights of 100 and 1,000 photos."""
    from bench.pairs import pairs

    return pairs(data, work)


def preflight(data: Path, work: Path) -> list[Row]:
    """Issue 5: what is foretold against what is registered."""
    from bench.preflight import preflight

    return preflight(data, work)


def cuda(data: Path, work: Path) -> list[Row]:
    """Issue 3, bar 8: depth on a CUDA device beside the CPU's."""
    from bench.cuda import cuda

    return cuda(data, work)


def telemetry(data: Path, work: Path) -> list[Row]:
    """Issue 6, bars 2 to 5: telemetry of videos and positions of photos."""
    from bench.telemetry import telemetry

    return telemetry(data, work)


def ladder(data: Path, work: Path) -> list[Row]:
    """Issue 5, bar 2: captures that hardly connect, before and after the recovery ladder."""
    from bench.ladder import ladder

    return ladder(data, work)


def learned(data: Path, work: Path) -> list[Row]:
    """Issue 5, bar 1: learned matching against the truth and beside kornia's example."""
    from bench.learned import learned

    return learned(data, work)


def recognition(data: Path, work: Path) -> list[Row]:
    """Issue 6, bar 1: what captures are called."""
    from bench.recognition import recognition

    return recognition(data, work)


def everyframe(data: Path, work: Path) -> list[Row]:
    """Issue 6: poses of the frames between keyframes."""
    from bench.everyframe import everyframe

    return everyframe(data, work)


def wide(data: Path, work: Path) -> list[Row]:
    """Issue 6, bars 5 and 6: fisheye, 360 and Project Aria."""
    from bench.wide import wide

    return wide(data, work)


def tablets(data: Path, work: Path) -> list[Row]:
    """Issue 6, bar 5: scans of tablets in each format, whole."""
    from bench.tablets import tablets

    return tablets(data, work)


def _cost(bar: str, name: str, usage: Usage) -> list[Row]:
    return [
        Row(bar, name, "seconds", usage.seconds, "", True),
        Row(bar, name, "CPU seconds", usage.cpu_s, "", True),
        Row(bar, name, "peak memory of the process tree, MB", usage.peak_mb, "", True),
    ]


def _of_the_service(name: str) -> Callable[[Path, Path], list[Row]]:
    """A group of ``bench/service.py``, whose libraries are an extra."""

    def measure(data: Path, work: Path) -> list[Row]:
        from bench import service

        return list(getattr(service, name)(data, work))

    return measure


def _viewer(data: Path, work: Path) -> list[Row]:
    """``bench/viewer.py``, whose browser is of the dev extra."""
    from bench.viewer import viewer

    return viewer(data, work)


BARS: dict[str, Callable[[Path, Path], list[Row]]] = {
    "video": video, "fountain": fountain, "photos": photos, "sample": sample, "peer": peer, "resume": resume, "memory": memory,
    "texture": texture, "dense": dense, "cuda": cuda,
    "scenes": scenes,
    "errors": errors, "linear": linear, "telemetry": telemetry, "wide": wide, "tablets": tablets,
    "ladder": ladder, "pairs": pairs, "preflight": preflight,
    "learned": learned, "recognition": recognition, "everyframe": everyframe,
    **{name: _of_the_service(name) for name in ("overhead", "upload", "load", "recovery", "eta")},
    "viewer": _viewer,
}  # fmt: skip
