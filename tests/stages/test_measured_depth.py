"""Photos with measured depth beside them: the scale in metres, and a wall that no photo can measure."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from chain import run

from recon.capture.records import read_json
from recon.capture.source import open_source, write_source
from recon.config import parse
from recon.dense.view import read_points, read_views
from recon.errors import NoSurface
from recon.evaluate.clouds import sample_mesh
from recon.geometry.similarity import fit_similarity
from recon.simulate.rgbd import RgbdTruth, bare_wall_with_depth
from recon.stage import Inputs
from recon.stages import depth, fuse, georef, ingest, mesh, sample, select, surface, undistort
from recon.surface import tsdf
from recon.surface.mesh import MESH_FILE, TriMesh
from recon.surface.tsdf import measured_surface

UNIT_M = 2.7
"""Metres a unit of the sparse model."""
Pixels = np.ndarray


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RgbdTruth]:
    folder = tmp_path_factory.mktemp("wall")
    return folder, bare_wall_with_depth(folder, (320, 240))


def reconstructed(capture: Path, truth: RgbdTruth, out: Path, until: str, **ingesting: bool) -> Inputs:
    """From the files to ``georef`` or ``fuse``, with the exact sparse model in a unit and a frame of its own."""
    config = parse({"ingest": ingesting, "depth": {"max_size_px": 320}})
    (out / "source").mkdir(parents=True)
    write_source(open_source(capture, out / "w"), out / "source")
    inputs = run((ingest.stage, select.stage), {"source": (out / "source",)}, out, config=config)
    model = truth.model()
    quaternion = np.array([0.1, 0.2, 0.3, 0.9])
    model.transform(pycolmap.Sim3d(1 / UNIT_M, pycolmap.Rotation3d(quaternion / np.linalg.norm(quaternion)), np.array([1.0, 2.0, 3.0])))
    (out / "recover/model").mkdir(parents=True)
    model.write_binary(out / "recover/model")
    shutil.copy(inputs["select"][0] / "images.json", out / "recover")
    stages = (georef.stage,) if until == "georef" else (georef.stage, undistort.stage, depth.stage, fuse.stage)
    return run(stages, {**inputs, "recover": (out / "recover",)}, out, config=config)


def true_from_world(inputs: Inputs, truth: RgbdTruth) -> pycolmap.Sim3d:
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    centers = np.array([image.projection_center() for image in sorted(model.images.values(), key=lambda image: image.name)])
    return fit_similarity(centers, np.array([pose.inverse().translation for pose in truth.poses]))


def on_the_wall(inputs: Inputs, truth: RgbdTruth) -> np.ndarray:
    """(N, 3) points near the middle of the wall, the plane y = 0, in the true frame."""
    xyz = true_from_world(inputs, truth) * read_points(inputs).xyz.astype(float)
    return xyz[(np.abs(xyz[:, 0]) < 1.3) & (xyz[:, 2] > 0.4) & (xyz[:, 2] < 1.9) & (np.abs(xyz[:, 1]) < 0.3)]


@pytest.fixture(scope="module")
def dense(wall: tuple[Path, RgbdTruth], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Inputs]:
    folder = tmp_path_factory.mktemp("with")
    return folder, reconstructed(*wall, folder, "fuse")


def test_a_wall_without_texture_is_there_in_metres(wall: tuple[Path, RgbdTruth], dense: tuple[Path, Inputs]) -> None:
    _, inputs = dense
    facts = read_json(inputs["georef"][0] / "georef.json")
    assert (facts["metric"], facts["source"], facts["unit"], facts["warnings"]) == (True, "depth", "m", [])
    off = abs(true_from_world(inputs, wall[1]).scale - 1)
    assert 1e-7 < off < 0.005
    assert off < 3 * facts["sigma_scale"]
    xyz = on_the_wall(inputs, wall[1])
    assert 1e-4 < np.sqrt((xyz[:, 1] ** 2).mean()) < 0.004
    cells = {(int(x), int(z)) for x, z in np.floor(xyz[:, [0, 2]] / 0.05)}
    assert len(cells) > 0.97 * (2.6 / 0.05) * (1.5 / 0.05)


def test_a_mesh_of_what_the_sensor_measured_has_the_wall(wall: tuple[Path, RgbdTruth], dense: tuple[Path, Inputs]) -> None:
    config = parse({"mesh": {"mode": "tsdf", "faces": 20_000}})
    inputs = run((sample.stage, surface.stage, mesh.stage), dense[1], dense[0], config=config)
    facts, made = read_json(inputs["mesh"][0] / "mesh.json"), TriMesh.load(inputs["mesh"][0] / MESH_FILE)
    assert (facts["mode"], facts["measured_views"], facts["watertight"]) == ("tsdf", 10, False)
    assert 0.01 < facts["cell"] < 0.03  # a pixel of the sensor, 4 m away
    assert 10_000 < facts["faces"] <= 20_000
    true_from_model = true_from_world(inputs, wall[1])
    spread, normals = sample_mesh(made.vertices, made.faces, 50_000)
    xyz, normals = true_from_model * spread, normals @ true_from_model.rotation.matrix().T
    near = (np.abs(xyz[:, 0]) < 1.3) & (xyz[:, 2] > 0.4) & (xyz[:, 2] < 1.9)
    assert near.sum() > 5000
    assert 1e-4 < np.sqrt((xyz[near, 1] ** 2).mean()) < 0.008  # ten images of 1 cm of noise
    assert (normals[near, 1] < -0.8).mean() > 0.98  # it looks at the cameras


def test_the_same_surface_each_time_and_larger_voxels_where_blocks_would_be_too_many(
    dense: tuple[Path, Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    views = read_views(dense[1])
    fine, again = measured_surface(views), measured_surface(views)
    assert np.array_equal(fine.vertices, again.vertices)  # whatever the threads do
    assert np.array_equal(fine.faces, again.faces)
    monkeypatch.setattr(tsdf, "MOST_BLOCKS", 500)
    coarse = measured_surface(views)
    assert coarse.voxel > 1.4 * fine.voxel
    assert len(coarse.faces) < 0.6 * len(fine.faces)


def test_without_measured_depth_there_is_nothing_to_mesh(dense: tuple[Path, Inputs]) -> None:
    with pytest.raises(NoSurface, match="no image has a measured depth"):
        measured_surface([replace(view, measured_path=None) for view in read_views(dense[1])])


def test_without_the_sensor_there_is_no_wall(wall: tuple[Path, RgbdTruth], tmp_path: Path) -> None:
    inputs = reconstructed(*wall, tmp_path / "without", "fuse", use_depth=False)
    assert not read_json(inputs["georef"][0] / "georef.json")["metric"]
    assert len(on_the_wall(inputs, wall[1])) < 100


def changed(source: Path, target: Path, change: Callable[[int, Pixels], Pixels]) -> Path:
    """The capture with other depth images."""
    from PIL import Image

    shutil.copytree(source, target)
    for number, file in enumerate(sorted((target / "depth").iterdir())):
        with Image.open(file) as image:
            pixels = np.asarray(image)
        Image.fromarray(change(number, pixels)).save(file)
    return target


def test_images_in_another_unit_are_left_out_and_named(wall: tuple[Path, RgbdTruth], tmp_path: Path) -> None:
    capture = changed(wall[0], tmp_path / "c", lambda number, mm: mm // 10 if number in (2, 5) else mm)
    inputs = reconstructed(capture, wall[1], tmp_path / "out", "georef")
    facts = read_json(inputs["georef"][0] / "georef.json")
    assert facts["depth"]["rejected"] == ["images/0002.jpg", "images/0005.jpg"]
    assert facts["warnings"] == [
        "the measured depth of 2 images does not fit the others' and is not used: images/0002.jpg, images/0005.jpg"
    ]
    assert abs(true_from_world(inputs, wall[1]).scale - 1) < 0.005


def test_depth_that_contradicts_itself_gives_no_metres(wall: tuple[Path, RgbdTruth], tmp_path: Path) -> None:
    capture = changed(wall[0], tmp_path / "c", lambda number, mm: (mm * (0.2 + 0.1 * number)).astype(np.uint16))
    facts = read_json(reconstructed(capture, wall[1], tmp_path / "out", "georef")["georef"][0] / "georef.json")
    assert not facts["metric"]
    assert facts["depth"] is None
    assert any(
        warning.startswith("measured depth is not used: the measured depths of 10 images contradict") for warning in facts["warnings"]
    )


def test_depth_of_too_few_photos_gives_no_metres(wall: tuple[Path, RgbdTruth], tmp_path: Path) -> None:
    capture = changed(wall[0], tmp_path / "c", lambda number, mm: mm if number < 2 else np.zeros_like(mm))
    facts = read_json(reconstructed(capture, wall[1], tmp_path / "out", "georef")["georef"][0] / "georef.json")
    assert not facts["metric"]
    assert any("2 images have 10 points with a measured depth; 3 are needed" in warning for warning in facts["warnings"])
