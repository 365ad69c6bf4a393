"""Writes ``report.json`` and ``report.html`` of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.capture.records import read_json, write_json
from recon.config import Config
from recon.dense.view import Points, read_some_points
from recon.products.camerafiles import registered
from recon.products.report.charts import coverage_map, keyframe_strip, matching_graph, residual_bars
from recon.products.report.facts import gather
from recon.products.report.page import render_page
from recon.products.report.scene import make_scene
from recon.products.textured import TexturedMesh
from recon.products.viewpoint import orbit_of
from recon.stage import Inputs, Work

_MAP_POINTS = 2_000_000


def write_report(config: Config, inputs: Inputs, out: Path, work: Work) -> None:
    """Both files into out, from the folders of every stage before."""
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    facts = gather(config, inputs, model, _points_by_views(inputs))
    work.tell(0.2)
    write_json(out / "report.json", facts)
    centers = np.array([image.projection_center() for image in registered(model)])
    mesh = TexturedMesh.load(inputs["texture"][0])
    orbit = orbit_of(mesh, centers)
    points = read_some_points(inputs, max(_MAP_POINTS, config.report.max_points))
    residuals = read_json(inputs["recover"][0] / "sfm.json").get("per_image", {})
    scene = make_scene(config.report, points, mesh, model, residuals, orbit, work.threads)
    work.tell(0.8)
    page = render_page(facts, _charts(facts, points), scene, inputs["products"][0] / "preview.png")
    (out / "report.html").write_text(page, encoding="utf-8")


def _points_by_views(inputs: Inputs) -> NDArray[np.int64]:
    """(256,) how many points of the dense cloud that many images agree on."""
    counts = np.zeros(256, np.int64)
    for folder in inputs["fuse"]:
        with np.load(folder / "points.npz") as arrays:
            counts += np.bincount(arrays["views"], minlength=256)
    return counts


def _charts(facts: dict[str, Any], points: Points) -> dict[str, Any]:
    placed = [row for row in facts["per_image"] if row["position"] is not None]
    videos = facts["keyframes"]["videos"] if facts["keyframes"] else []
    return {
        "coverage": coverage_map(points.xyz, points.views, placed, facts["scale"]["unit"]),
        "residuals": residual_bars(facts["per_image"]),
        "matching": matching_graph(facts["per_image"], facts["matching"]["edges"]),
        "strips": [{"source": video["source"], "strip": keyframe_strip(video["frames"])} for video in videos],
    }
