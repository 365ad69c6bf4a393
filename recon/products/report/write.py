"""Writes ``report.json`` and ``report.html`` of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from recon.capture.records import read_json, write_json
from recon.config import Config
from recon.dense.view import Points, read_points
from recon.products.camerafiles import registered
from recon.products.pointcloud import thin
from recon.products.report.charts import coverage_map, keyframe_strip, matching_graph, residual_bars
from recon.products.report.facts import gather
from recon.products.report.page import render_page
from recon.products.report.scene import make_scene
from recon.products.textured import TexturedMesh
from recon.products.viewpoint import choose_orbit
from recon.stage import Inputs, Work

_MAP_POINTS = 2_000_000


def write_report(config: Config, inputs: Inputs, out: Path, work: Work) -> None:
    """Both files into out, from the folders of every stage before."""
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    points = read_points(inputs)
    facts = gather(config, inputs, model, points.views)
    work.tell(0.2)
    write_json(out / "report.json", facts)
    centers = np.array([image.projection_center() for image in registered(model)])
    orbit = choose_orbit(points.xyz, points.views, centers)
    mesh = TexturedMesh.load(inputs["texture"][0])
    residuals = read_json(inputs["sfm"][0] / "sfm.json").get("per_image", {})
    scene = make_scene(config.report, points, mesh, model, residuals, orbit)
    work.tell(0.8)
    page = render_page(facts, _charts(facts, points), scene, inputs["products"][0] / "preview.png")
    (out / "report.html").write_text(page, encoding="utf-8")


def _charts(facts: dict[str, Any], points: Points) -> dict[str, Any]:
    placed = [row for row in facts["per_image"] if row["position"] is not None]
    shown = thin(points, _MAP_POINTS)
    videos = facts["keyframes"]["videos"] if facts["keyframes"] else []
    return {
        "coverage": coverage_map(shown.xyz, shown.views, placed, facts["scale"]["unit"]),
        "residuals": residual_bars(facts["per_image"]),
        "matching": matching_graph(facts["per_image"], facts["matching"]["edges"]),
        "strips": [{"source": video["source"], "strip": keyframe_strip(video["frames"])} for video in videos],
    }
