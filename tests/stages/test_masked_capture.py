"""What a mask hides, a device's leg that hangs into every photo, is absent from keypoints, points and texture; without it, it is not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycolmap
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
from chain import run
from exact_flight import make_flight

from recon.capture.pixels import read_rgb, write_png
from recon.capture.source import open_source, write_source
from recon.config import Config, parse
from recon.dense.view import Points
from recon.features.store import FeatureStore
from recon.stage import Inputs
from recon.stages import depth, features, fuse, ingest, mesh, sample, select, surface, texture, undistort

CONFIG: Config = parse({"mesh": {"faces": 4000}, "texture": {"page_px": 1024}})
LEG = slice(90, 170), slice(140, 215)
"""Rows and columns, in the middle of 320 x 240."""


def magenta(rgb: NDArray[Any]) -> NDArray[np.bool_]:
    """The leg's colours, of which there are none on the ground."""
    r, g, b = np.moveaxis(np.asarray(rgb, np.int64), -1, 0)
    return np.asarray((r > g + 60) & (b > g + 60))


def photographed(folder: Path, masks: bool) -> tuple[Inputs, pycolmap.Reconstruction]:
    """Five photos of a flight with the leg in each, taken in, with their exact model."""
    flight = make_flight(folder / "flight", 5, (320, 240))
    leg = np.random.default_rng(5).integers(0, 80, (8, 8, 1)) * np.array([0, 1, 0]) + np.array([230, 0, 230])
    leg[::2, 1::2], leg[1::2, ::2] = (150, 0, 150), (255, 0, 200)
    shows = np.full((240, 320), 255, np.uint8)
    shows[LEG] = 0
    for path in sorted((folder / "flight/ingest/images").iterdir()):
        rgb = read_rgb(path).copy()
        rgb[LEG] = cv2.resize(leg.astype(np.uint8), (75, 80), interpolation=cv2.INTER_NEAREST)
        write_png(folder / "c/images" / path.name, rgb)
        if masks:
            write_png(folder / "c/masks" / path.name, shows)
    (folder / "source").mkdir()
    write_source(open_source(folder / "c", folder / "w"), folder / "source")
    inputs = run((ingest.stage, select.stage), {"source": (folder / "source",)}, folder, config=CONFIG)
    model = pycolmap.Reconstruction(flight.inputs["georef"][0] / "model")
    for image in model.images.values():
        image.name = f"images/{image.name}"
    (folder / "georef/model").mkdir(parents=True)
    model.write_binary(folder / "georef/model")
    return {**inputs, "recover": inputs["select"], "georef": (folder / "georef",)}, model


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """The whole way with masks, poses given."""
    folder = tmp_path_factory.mktemp("hidden")
    inputs, _ = photographed(folder, masks=True)
    stages = (features, undistort, depth, fuse, sample, surface, mesh, texture)
    return run(tuple(module.stage for module in stages), inputs, folder, threads=2, config=CONFIG)


@pytest.fixture(scope="module")
def shown(hidden: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """The same without masks; the surface is that of the run with them."""
    folder = tmp_path_factory.mktemp("shown")
    inputs, _ = photographed(folder, masks=False)
    inputs = run((features.stage, undistort.stage, depth.stage, fuse.stage), inputs, folder, threads=2, config=CONFIG)
    return run((texture.stage,), {**inputs, "mesh": hidden["mesh"]}, folder, threads=2, config=CONFIG)


def keypoints_in_leg(inputs: Inputs) -> int:
    found = FeatureStore(inputs["features"])
    xy = np.concatenate([found[name].keypoints for name in found])
    inside = (xy[:, 1] > LEG[0].start) & (xy[:, 1] < LEG[0].stop) & (xy[:, 0] > LEG[1].start) & (xy[:, 0] < LEG[1].stop)
    assert len(xy) > 300
    return int(inside.sum())


def magenta_points(inputs: Inputs) -> int:
    points = [Points.load(folder / "points.npz") for folder in inputs["fuse"]]
    assert sum(len(part.xyz) for part in points) > 10_000
    return sum(int(magenta(part.rgb).sum()) for part in points)


def magenta_texels(inputs: Inputs) -> int:
    (folder,) = inputs["texture"]
    return sum(int(magenta(read_rgb(path)).sum()) for path in folder.glob("page_*"))


def test_there_are_no_keypoints_in_it(hidden: Inputs, shown: Inputs) -> None:
    assert keypoints_in_leg(hidden) == 0
    assert keypoints_in_leg(shown) > 20


def test_there_are_no_points_of_it(hidden: Inputs, shown: Inputs) -> None:
    assert magenta_points(hidden) == 0
    assert magenta_points(shown) > 100


def test_it_lends_no_colour_to_the_texture(hidden: Inputs, shown: Inputs) -> None:
    assert magenta_texels(hidden) == 0
    assert magenta_texels(shown) > 20  # few: a colour that the other photos don't confirm is left out anyway
