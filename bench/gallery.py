"""Pictures of finished runs from several sides, for docs/gallery.

python -m bench.gallery --work WORK [--data DATA] [--only SET ...] [--out docs/gallery]

WORK/SET holds the run of a set; with DATA (see bench/README.md) the runs are made, or brought up to date, first.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from bench.bars import K_FOUNTAIN
from bench.texture import latest
from bench.usage import recon
from recon.capture.records import read_json
from recon.dense.view import read_points
from recon.products.render import MeshRenderer, Viewpoint, render_points
from recon.products.textured import TexturedMesh
from recon.products.viewpoint import Orbit, orbit_of

SIZE = (1120, 630)
MAX_BYTES = 82_000  # a picture
_ROUND_DEG, _ARC_DEG = 120.0, 38.0  # to the sides, of what was seen from all around, and from one side
_CLOSE = 2.6
_PARALLEL = 0.02  # squared sine of the angle between axes below which they count as parallel


@dataclass(frozen=True)
class Set:
    name: str
    source: str
    """Below DATA."""
    what: str
    options: tuple[str, ...] = ()


SETS = (
    Set("fountain-P11", "fountain-P11/images", "11 photos of a fountain, intrinsics given (Strecha 2008)",
        ("--set", "camera.model=PINHOLE", "--set", f"camera.params=[{K_FOUNTAIN}]")),
    Set("brighton-beach", "brighton-beach", "18 nadir photos of a drone, 40 m up (ODM's set)"),
    Set("banana", "banana", "16 photos of an object"),
    Set("karma", "telemetry/gopro/karma.mp4", "13 s of a drone's video, 854 x 480, moving sea (GoPro's sample)"),
)  # fmt: skip

PICTURES = {
    "cloud": "the dense cloud",
    "mesh": "the mesh, untextured",
    "textured": "the textured mesh",
    "left": "from the left",
    "right": "from the right",
    "close": "close up",
}


def viewpoints(orbit: Orbit, focus: NDArray[np.float64]) -> dict[str, Viewpoint]:
    """Where each picture is taken from; the close one looks at focus (3,)."""
    aside = _ARC_DEG if orbit.one_sided else _ROUND_DEG
    best = orbit.best(*SIZE)
    return {
        "textured": best,
        "left": replace(orbit, azimuth_deg=orbit.azimuth_deg - aside, elevation_deg=orbit.elevation_deg + 8).best(*SIZE),
        "right": replace(orbit, azimuth_deg=orbit.azimuth_deg + aside).best(*SIZE),
        "close": Viewpoint.look_at(best.eye, focus, *SIZE, fov_deg=35 / _CLOSE),
    }


def looked_at(model: pycolmap.Reconstruction, subject: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3,) of the subject's points (N, 3) the one that the cameras' axes pass nearest to; its middle where they are parallel."""
    poses = [image.cam_from_world() for image in model.images.values() if image.has_pose]
    across = [np.eye(3) - np.outer(axis, axis) for axis in (pose.rotation.matrix()[2] for pose in poses)]
    towards = sum((part @ pose.inverse().translation for part, pose in zip(across, poses, strict=True)), np.zeros(3))
    pull, middle = _PARALLEL * len(poses), np.median(subject, axis=0)
    nearest = np.linalg.solve(sum(across, pull * np.eye(3)), towards + pull * middle)
    return np.asarray(subject[np.linalg.norm(subject - nearest, axis=1).argmin()])


def pictures(out: Path, threads: int = 2) -> dict[str, NDArray[np.uint8]]:
    """Every picture of a run, by its name in PICTURES."""
    points = read_points({"fuse": latest(out, "fuse")})
    model = pycolmap.Reconstruction(out / "cameras")
    centers = np.array([image.projection_center() for image in model.images.values() if image.has_pose])
    mesh = TexturedMesh.load(latest(out, "texture")[0])
    orbit = orbit_of(mesh, centers)
    views = viewpoints(orbit, looked_at(model, orbit.subject))
    best = views["textured"]
    fine = replace(best, width=2 * best.width, height=2 * best.height, focal_px=2 * best.focal_px)
    cloud = cv2.resize(render_points(points.xyz, points.rgb, fine, 3), SIZE, interpolation=cv2.INTER_AREA)
    found = {"cloud": np.asarray(cloud, np.uint8), "mesh": MeshRenderer(mesh, clay=True).render(best, threads)}
    renderer = MeshRenderer(mesh)
    return found | {name: renderer.render(view, threads) for name, view in views.items()}


def write_small_jpeg(path: Path, rgb: NDArray[np.uint8]) -> None:
    """The best JPEG of at most MAX_BYTES."""
    for quality in range(90, 30, -4):
        _, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(encoded) <= MAX_BYTES:
            break
    path.write_bytes(encoded.tobytes())


def page(shown: list[tuple[Set, dict[str, Any]]]) -> str:
    """The gallery's README.md."""
    lines = ["# Gallery", "", "Preset `default`, made by `python -m bench.gallery --data DATA --work WORK`."]
    for one, report in shown:
        facts = (
            f"{report['images']['registered']} of {report['images']['used']} images, {report['points']:,} points, {report['faces']:,} faces"
        )
        lines += ["", f"## {one.name}", "", f"{one.what}: {facts}.", "", "| | |", "|---|---|"]
        cells = [f"![{one.name}, {what}]({one.name}-{name}.jpg)<br>{what}" for name, what in PICTURES.items()]
        lines += [f"| {left} | {right} |" for left, right in zip(cells[::2], cells[1::2], strict=True)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "docs" / "gallery")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in SETS], default=[one.name for one in SETS])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "facts.json"
    facts = read_json(kept) if kept.is_file() else {}
    for one in SETS:
        out = args.work / one.name
        if args.data is not None and one.name in args.only:
            recon("process", args.data / one.source, "-o", out, "--set", "products.turntable_s=0", *one.options).checked()
        if one.name in args.only:
            for name, picture in pictures(out).items():
                write_small_jpeg(args.out / f"{one.name}-{name}.jpg", picture)
            facts[one.name] = _facts(read_json(out / "report.json"))
    kept.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    (args.out / "README.md").write_text(page([(one, facts[one.name]) for one in SETS if one.name in facts]))


def _facts(report: dict[str, Any]) -> dict[str, Any]:
    return {"images": {key: report["images"][key] for key in ("registered", "used")}, "points": report["points"], "faces": report["faces"]}


if __name__ == "__main__":
    main()
