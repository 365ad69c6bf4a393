"""``report.json``: what went in, what came out, how good it is and what it took."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray

import recon
from recon.capture.records import ImageRecord, ImageSet, read_json, read_records
from recon.config import Config
from recon.dense.coverage import coverage_warnings, depth_rows, unseen_share
from recon.products.report.timing import stage_rows
from recon.products.report.verdict import judge, own_warnings
from recon.stage import Inputs

FORMAT = 1
_PACKAGES = ("numpy", "pycolmap", "open3d", "opencv-python-headless", "scipy", "numba", "av", "pillow", "laspy", "pyproj")


def gather(config: Config, inputs: Inputs, model: pycolmap.Reconstruction, by_views: NDArray[np.int64]) -> dict[str, Any]:
    """All of ``report.json``, from the folders of every stage before.

    model is georef's (world frame), by_views the number of dense points that 0, 1, 2, ... images agree on.
    """
    sfm, georef = read_json(inputs["recover"][0] / "sfm.json"), read_json(inputs["georef"][0] / "georef.json")
    mesh, texture = read_json(inputs["mesh"][0] / "mesh.json"), read_json(inputs["texture"][0] / "texture.json")
    records = ImageSet.read(inputs).records
    keyframes = [row for folder in inputs["select"] for row in read_json(folder / "keyframes.json").get("frames", [])]
    skipped, views = _skipped(inputs, keyframes), depth_rows(inputs)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "images": _images(inputs, records, sfm, skipped, keyframes),
        "skipped": skipped,
        "keyframes": _keyframes(keyframes),
        "cameras": _cameras(model, records),
        "scale": _scale(georef),
        "mapper": sfm.get("mapper"),
        "models": sfm.get("models", []),
        "reprojection_error_px": sfm["reprojection_error_px"],
        "mean_track_length": sfm.get("mean_track_length"),
        "sparse_points": model.num_points3D(),
        "depth": {"unseen_share": unseen_share(views)},
        "points": int(by_views.sum()),
        "points_by_views": {str(count): int(number) for count, number in enumerate(by_views) if number},
        "faces": mesh["faces"],
        "vertices": mesh.get("vertices"),
        "mesh": {key: value for key, value in mesh.items() if key != "warnings"},
        "texture": {"coverage": texture.get("seen_share"), **{key: value for key, value in texture.items() if key != "warnings"}},
        "matching": _matching(inputs),
        "recovery": _recovery(inputs),
        "per_image": _per_image(model, records, sfm),
        "stages": stage_rows(inputs),
        "files": read_json(inputs["products"][0] / "products.json").get("files", []),
        "versions": versions(),
        "seed": config.seed,
        "config": config.model_dump(mode="json"),
    }
    told = {stage: _told(inputs, folder, file) for stage, (folder, file) in _WARNING_FILES.items()}
    told["depth"] = coverage_warnings(views)
    facts["seconds"] = _total(facts["stages"], "seconds", sum)
    facts["peak_mb"] = _total(facts["stages"], "peak_mb", max)
    facts["warnings"] = [*_normal(told), *own_warnings(facts, {row.get("code") for row in _normal(told)})]
    facts["verdict"] = judge(facts)
    return facts


_WARNING_FILES = {
    "masks": ("ingest", "masks.json"),
    "select": ("select", "keyframes.json"),
    "pairs": ("pairs", "pairs.json"),
    "sfm": ("recover", "sfm.json"),  # of the model that was built in the end
    "recover": ("recover", "recovery.json"),
    "georef": ("georef", "georef.json"),
    "fuse": ("fuse", "fuse.json"),
    "mesh": ("mesh", "mesh.json"),
    "texture": ("texture", "texture.json"),
    "products": ("products", "products.json"),
}
"""Who tells a warning: its stage's folder, and the file there."""


def versions() -> dict[str, str]:
    """Version of recon, of Python and of the libraries that the result depends on."""
    found = {"recon": recon.__version__, "python": platform.python_version(), "platform": platform.platform(terse=True)}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # another build of the same library
            found[package] = "unknown"
    return found


def _told(inputs: Inputs, stage: str, file: str) -> list[Any]:
    """The warnings of a stage's shards."""
    paths = [folder / file for folder in inputs.get(stage, ())]
    return [warning for path in paths if path.is_file() for warning in read_json(path).get("warnings", [])]


def _normal(told: Mapping[str, Iterable[Any]]) -> list[dict[str, str]]:
    """Warnings as code, stage, message, remedy; a stage may give a sentence alone. Each is said once."""
    rows: list[dict[str, str]] = []
    for stage, warnings in told.items():
        for warning in warnings:
            given = warning if isinstance(warning, Mapping) else {"message": str(warning)}
            row = {"code": str(given.get("code", stage)), "stage": stage, "message": str(given.get("message", ""))}
            row["remedy"] = str(given.get("remedy") or "")
            if row not in rows:
                rows.append(row)
    return rows


def _skipped(inputs: Inputs, keyframes: list[dict[str, Any]]) -> list[dict[str, str]]:
    rows = [row for folder in inputs["ingest"] for row in read_json(folder / "skipped.json").get("skipped", [])]
    rows += [{"source": row["source"], "reason": row["reason"]} for row in keyframes if row.get("frame") is None and not row["kept"]]
    return [{"source": str(row["source"]), "reason": str(row["reason"])} for row in rows]


def _images(
    inputs: Inputs, records: tuple[ImageRecord, ...], sfm: Mapping[str, Any], skipped: list[dict[str, str]], keyframes: list[dict[str, Any]]
) -> dict[str, Any]:
    photos = sum(len(read_records(folder)) for folder in inputs["ingest"])
    videos = [video for folder in inputs["ingest"] for video in _videos(folder)]
    frames = sum(int(video.get("frames") or 0) for video in videos)
    refused = sum(1 for row in keyframes if row.get("frame") is None and not row["kept"])
    return {
        "given": photos + len(skipped) - refused + frames,
        "used": len(records),
        "registered": sfm["registered"],
        "photos": photos,
        "videos": [str(video.get("source")) for video in videos],
        "video_frames": frames,
        "skipped": len(skipped),
        "with_gps": sum(record.gps is not None for record in records),
    }


def _videos(folder: Path) -> list[dict[str, Any]]:
    path = folder / "videos.json"
    return list(read_json(path)["videos"]) if path.is_file() else []


def _keyframes(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Counts by reason and, for the strip, each candidate of each video; None without video."""
    of_video = [row for row in rows if row.get("frame") is not None]
    if not of_video:
        return None
    kept = [row for row in of_video if row["kept"]]
    sources = sorted({str(row["source"]) for row in of_video})
    return {
        "candidates": len(of_video),
        "kept": len(kept),
        "videos": [
            {
                "source": source,
                "frames": [[row["timestamp_s"], bool(row["kept"]), str(row["reason"])] for row in of_video if str(row["source"]) == source],
            }
            for source in sources
        ],
    }


def _cameras(model: pycolmap.Reconstruction, records: tuple[ImageRecord, ...]) -> list[dict[str, Any]]:
    by_name = {record.name: record for record in records}
    rows = []
    for camera_id, camera in sorted(model.cameras.items()):
        names = [image.name for image in model.images.values() if image.camera_id == camera_id and image.has_pose]
        known = [by_name[name] for name in sorted(names) if name in by_name]
        prior = known[0] if known else None
        rows.append(
            {
                "camera": prior.camera if prior else str(camera_id),
                "images": len(names),
                "model": camera.model.name,
                "width": camera.width,
                "height": camera.height,
                "params": [float(value) for value in camera.params],
                "params_info": camera.params_info,
                "focal_px": None if camera.is_spherical() else float(camera.mean_focal_length()),
                "prior_focal_px": prior.focal_px if prior else None,
                "prior_source": prior.focal_source if prior else "none",
            }
        )
    return rows


def _scale(georef: Mapping[str, Any]) -> dict[str, Any]:
    keys = (
        "metric",
        "source",
        "unit",
        "frame",
        "crs",
        "origin",
        "rms_m",
        "rms_east_north_up_m",
        "sigma_scale",
        "gps_used",
        "gps_rejected",
        "depth",
        "device",
        "up",
    )
    return {key: georef.get(key) for key in keys}


def _matching(inputs: Inputs) -> dict[str, Any]:
    (recovered,) = (folder / "matches.json" for folder in inputs["recover"])
    files = [recovered] if recovered.is_file() else [folder / "matches.json" for folder in inputs["matches"]]
    rows = [row for file in files for row in read_json(file)["pairs"]]
    edges = sorted(([row["name1"], row["name2"], row["inliers"]] for row in rows if row["inliers"]), key=lambda edge: (-edge[2], edge))
    return {
        "pairs": len(rows),
        "verified": len(edges),
        "sources": read_json(inputs["pairs"][0] / "pairs.json").get("sources", {}),
        "edges": edges,
    }


def _recovery(inputs: Inputs) -> dict[str, Any] | None:
    """The log of what was done about images that did not come together; None where that was not needed."""
    told = read_json(inputs["recover"][0] / "recovery.json")
    return {key: value for key, value in told.items() if key != "warnings"} if told["steps"] else None


def _per_image(model: pycolmap.Reconstruction, records: tuple[ImageRecord, ...], sfm: Mapping[str, Any]) -> list[dict[str, Any]]:
    placed = {image.name: image for image in model.images.values() if image.has_pose}
    rows = []
    for record in records:
        said = sfm.get("per_image", {}).get(record.name, {})
        image = placed.get(record.name)
        rows.append(
            {
                "name": record.name,
                "camera": record.camera,
                "registered": image is not None,
                "observations": image.num_points3D if image else 0,
                "residual_px": said.get("residual_px") if image else None,
                "position": [float(value) for value in image.projection_center()] if image else None,
                "timestamp_s": record.timestamp_s,
            }
        )
    return rows


def _total(rows: list[dict[str, Any]], key: str, combine: Any) -> float | None:
    values = [row[key] for row in rows if row[key] is not None]
    return round(float(combine(values)), 3) if values else None
