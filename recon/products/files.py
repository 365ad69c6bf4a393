"""Everything a user takes away, written into one folder in one frame."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from recon.capture.records import ImageSet, read_json, write_json
from recon.config import Config, Products
from recon.dense.view import read_some_points, read_views
from recon.geometry.geodesy import LocalFrame
from recon.products.camerafiles import registered, write_cameras_csv, write_transforms
from recon.products.gltf import write_glb
from recon.products.obj import write_obj
from recon.products.photos import write_photos, write_thumbnail
from recon.products.pictures import write_preview, write_turntable
from recon.products.pointcloud import world_from_laz, write_laz, write_ply
from recon.products.render import MeshRenderer
from recon.products.textured import TexturedMesh
from recon.products.trajectoryfiles import write_trajectories
from recon.products.viewpoint import Orbit, orbit_of
from recon.stage import Inputs, Work
from recon.storage import sha256_of

log = logging.getLogger(__name__)


def write_products(config: Config, inputs: Inputs, out: Path, work: Work) -> None:
    """Write all products and ``products.json``, which lists them with size, SHA-256, unit, frame and CRS."""
    options, georef = config.products, read_json(inputs["georef"][0] / "georef.json")
    place = {key: georef.get(key) for key in ("frame", "unit", "metric", "crs", "origin")}
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    points = read_some_points(inputs, options.max_points)
    frame = LocalFrame.from_georef(georef)
    mesh = TexturedMesh.load(inputs["texture"][0])
    videos = [read_json(folder / "trajectory.json") for folder in inputs.get("trajectory", ())]
    orbit = orbit_of(mesh, np.array([image.projection_center() for image in registered(model)]))

    def write_cloud() -> None:
        if "ply" in options.points_format:
            write_ply(out / "points.ply", points)
        if "laz" in options.points_format:
            write_laz(out / "points.laz", points, frame)

    with ThreadPoolExecutor(1) as beside:
        cloud = beside.submit(write_cloud)
        if work.threads == 1:
            cloud.result()
        _write_cameras(inputs, out, model, frame, place, "points.ply" if "ply" in options.points_format else "")
        if videos:
            write_trajectories(out, videos, model, frame, place)
        write_glb(out / "mesh.glb", mesh, place)
        write_obj(out, mesh, f"z up, unit: {place['unit']}, frame: {place['frame']}")
        work.tell(0.2, "mesh")
        write_photos(out, read_views(inputs), place)
        _write_pictures(out, mesh, orbit, options, work)
        cloud.result()
    subject = [[round(float(value), 6) for value in corner] for corner in (orbit.subject.min(axis=0), orbit.subject.max(axis=0))]
    facts = {
        "world_from_laz": world_from_laz(points, frame),
        "subject": subject,
        "files": list_files(out),
        "warnings": _without_path(config, videos),
    }
    write_json(out / "products.json", {**place, **facts})


def _write_pictures(out: Path, mesh: TexturedMesh, orbit: Orbit, options: Products, work: Work) -> None:
    renderer = MeshRenderer(mesh)
    write_preview(out / "preview.png", renderer, orbit, work.threads)
    write_thumbnail(out / "preview.png", out / "thumbnail.jpg")
    if options.turntable_s > 0:
        write_turntable(out / "turntable.mp4", renderer, orbit, options.turntable_s, work)


def _without_path(config: Config, videos: list[dict[str, Any]]) -> list[str]:
    if not config.trajectory.all_frames:
        return []
    if not videos:
        return ["a pose for every frame was asked for, but no video has two keyframes in the model"]
    guessed, frames = (
        sum(sum(v["counts"][key] for key in keys) for v in videos) for keys in (("spline",), ("keyframe", "image", "spline"))
    )
    return [f"{guessed} of {frames} frames have a pose by the spline alone: too few points were found in them"] if guessed else []


def list_files(folder: Path) -> list[dict[str, Any]]:
    """Name, size and SHA-256 of every file below a folder, by name."""
    return [
        {"name": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


def _write_cameras(
    inputs: Inputs, out: Path, model: pycolmap.Reconstruction, frame: LocalFrame | None, place: Mapping[str, Any], points: str
) -> None:
    (out / "cameras").mkdir()
    for file in sorted((inputs["georef"][0] / "model").glob("*.bin")):
        shutil.copyfile(file, out / "cameras" / file.name)
    images = ImageSet.read(inputs).records
    sfm = read_json(inputs["recover"][0] / "sfm.json")
    write_cameras_csv(out / "cameras.csv", model, {record.name: record.camera for record in images}, sfm.get("per_image", {}), frame)
    write_transforms(out / "transforms.json", model, {record.name: _where(record.file, inputs) for record in images}, points, place)


def _where(locator: str, inputs: Inputs) -> str:
    """An image's path as seen from the output folder: it stays where its stage wrote it."""
    stage, shard, path = locator.split("/", 2)
    folder = inputs[stage][int(shard)]
    return f".recon/{folder.parent.name}/{folder.name}/{path}"
