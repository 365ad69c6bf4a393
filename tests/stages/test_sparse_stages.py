"""features, pairs, matches, sfm and georef on a simulated flight whose cameras are known exactly."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pycolmap
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from chain import run
from exact_flight import Flight, make_flight

from recon.capture.pixels import write_png
from recon.capture.records import Gps, ImageRecord, read_records, write_records
from recon.config import Config, Georef
from recon.errors import EmptyCapture, NoOverlap, NoTexture
from recon.evaluate.poses import pose_errors
from recon.geometry.geodesy import LocalFrame
from recon.stage import Inputs
from recon.stages.features import stage as features
from recon.stages.georef import stage as georef
from recon.stages.matches import stage as matches
from recon.stages.pairs import stage as pairs
from recon.stages.recover import stage as recover
from recon.stages.sfm import stage as sfm

CHAIN = (features, pairs, matches, sfm, recover, georef)
GPS_NOISE_M = 0.3
HOME = LocalFrame.at(47.3, 8.5, 400.0)


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Flight:
    """Nine photos; their positions are known to GPS within GPS_NOISE_M, but for one that is far off."""
    made = make_flight(tmp_path_factory.mktemp("flight"), 9, (480, 360))
    rng = np.random.default_rng(2)
    centers = {image.name: image.projection_center() for image in made.model.images.values()}
    records = []
    for number, record in enumerate(read_records(made.inputs["select"][0])):
        noise_m = rng.normal(0, GPS_NOISE_M, 3) + (200.0 if number == 4 else 0.0)
        lat, lon, alt = HOME.to_geodetic((centers[record.name] + noise_m)[None])[0]
        records.append(record.model_copy(update={"gps": Gps(lat_deg=lat, lon_deg=lon, alt_m=alt, alt_datum="sea_level")}))
    write_records(made.inputs["select"][0], records)
    return made


@pytest.fixture(scope="module")
def sparse(flight: Flight, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return run(CHAIN, flight.inputs, tmp_path_factory.mktemp("sparse"))


def told(inputs: Inputs, stage: str) -> dict:  # type: ignore[type-arg]
    return json.loads((inputs[stage][0] / f"{stage}.json").read_text())


def test_all_images_are_registered_where_they_were_taken(flight: Flight, sparse: Inputs) -> None:
    facts = told(sparse, "sfm")
    assert facts["registered"] == facts["images"] == 9
    assert 0.02 < facts["reprojection_error_px"] < 0.8
    assert all(row["registered"] and 0 < row["residual_px"] < 1.5 for row in facts["per_image"].values())
    error = pose_errors(pycolmap.Reconstruction(sparse["sfm"][0] / "model"), flight.model).summary()["position"]["mean"]
    centers = np.array([image.projection_center() for image in flight.model.images.values()])
    length = np.linalg.norm(centers.max(axis=0) - centers.min(axis=0))
    assert 0 < error < 0.005 * length


def test_gps_gives_metres_and_a_wild_position_is_left_out(flight: Flight, sparse: Inputs) -> None:
    facts = told(sparse, "georef")
    assert facts["metric"]
    assert facts["frame"] == "enu"
    assert facts["crs"] == "EPSG:32632"
    assert (facts["gps_used"], facts["gps_rejected"]) == (8, 1)
    assert 0.3 * GPS_NOISE_M < facts["rms_m"] < 3 * GPS_NOISE_M
    origin = facts["origin"]
    frame = LocalFrame(origin["lat_deg"], origin["lon_deg"], origin["alt_m"], facts["crs"])
    model = pycolmap.Reconstruction(sparse["georef"][0] / "model")
    centers = {image.name: image.projection_center() for image in model.images.values()}
    for image in flight.model.images.values():
        there = HOME.from_geodetic(frame.to_geodetic(centers[image.name][None]))[0]
        assert np.linalg.norm(there - image.projection_center()) < 5 * GPS_NOISE_M


def test_points_have_the_colours_of_the_pictures(sparse: Inputs) -> None:
    model = pycolmap.Reconstruction(sparse["sfm"][0] / "model")
    colours = np.array([point.color for point in model.points3D.values()])
    assert len(np.unique(colours, axis=0)) > 0.5 * min(len(colours), 500)
    assert colours.std(0).min() > 3


def test_the_sparse_cloud_is_there_to_look_at(sparse: Inputs) -> None:
    import open3d

    cloud = open3d.io.read_point_cloud(str(sparse["georef"][0] / "sparse.ply"))
    model = pycolmap.Reconstruction(sparse["georef"][0] / "model")
    rows = np.hstack([np.asarray(cloud.points), np.asarray(cloud.colors) * 255])
    truth = np.array([[*point.xyz, *point.color] for point in model.points3D.values()])
    assert rows.shape == truth.shape
    np.testing.assert_allclose(rows[np.lexsort(rows.T)], truth[np.lexsort(truth.astype(np.float32).T)], atol=1e-3)


def test_without_gps_the_unit_is_arbitrary_and_z_is_up(sparse: Inputs, tmp_path: Path) -> None:
    config = Config(georef=Georef(use_gps=False))
    inputs = run((georef,), {name: sparse[name] for name in georef.needs}, tmp_path, config=config)
    facts = told(inputs, "georef")
    assert (facts["metric"], facts["frame"], facts["unit"], facts["origin"]) == (False, "plane", "arbitrary", None)
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    heights = [point.xyz[2] for point in model.points3D.values()]
    assert min(image.projection_center()[2] for image in model.images.values()) > np.percentile(heights, 95)


def test_files_are_the_same_to_the_byte_on_two_threads(flight: Flight, sparse: Inputs, tmp_path: Path) -> None:
    again = run(CHAIN, flight.inputs, tmp_path, threads=2)

    def hashes(inputs: Inputs) -> dict[str, str]:
        folders = {f"{stage.name}/{n}": folder for stage in CHAIN for n, folder in enumerate(inputs[stage.name])}
        return {
            f"{name}/{file.relative_to(folder)}": hashlib.sha256(file.read_bytes()).hexdigest()
            for name, folder in folders.items()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }

    assert hashes(again) == hashes(sparse)


def photos(folder: Path, pictures: list[np.ndarray]) -> Inputs:
    """Folders of ``ingest`` and ``select`` for these (H, W, 3) pictures."""
    (folder / "select").mkdir(parents=True)
    records = []
    for number, rgb in enumerate(pictures):
        write_png(folder / f"ingest/images/{number}.png", rgb)
        height, width = rgb.shape[:2]
        place = f"ingest/0/images/{number}.png"
        records.append(ImageRecord(name=f"{number}.png", file=place, source=place, sha256="", width=width, height=height, camera="a"))
    write_records(folder / "select", records)
    return {"ingest": (folder / "ingest",), "select": (folder / "select",)}


def texture(seed: int) -> np.ndarray:
    import cv2

    small = np.random.default_rng(seed).integers(0, 255, (120, 160, 3), np.uint8)
    return np.asarray(cv2.resize(small, (480, 360), interpolation=cv2.INTER_CUBIC))


def test_a_bare_wall_has_no_texture(tmp_path: Path) -> None:
    inputs = photos(tmp_path, [np.full((240, 320, 3), 128, np.uint8)] * 3)
    with pytest.raises(NoTexture, match="0 of 3 images have 50 keypoints or more"):
        run((features, pairs), inputs, tmp_path)


def test_one_image_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(EmptyCapture, match="1 usable image"):
        run((features, pairs), photos(tmp_path, [texture(1)]), tmp_path)


def test_two_unrelated_images_do_not_overlap(tmp_path: Path) -> None:
    with pytest.raises(NoOverlap, match="no two of the 2 images share enough"):
        run(CHAIN, photos(tmp_path, [texture(1), texture(2)]), tmp_path)
