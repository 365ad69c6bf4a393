from __future__ import annotations

import csv
import json

import numpy as np
import pycolmap
import pytest
from fake_run import HOSTILE, make_model, sample_points

from recon.geometry.geodesy import LocalFrame
from recon.products.camerafiles import COLUMNS, write_cameras_csv, write_transforms
from recon.simulate.write import truth_model


def files_of(model: pycolmap.Reconstruction) -> dict[str, str]:
    return {image.name: f"images/{image.name}" for image in model.images.values()}


def distort(meta: dict, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """OpenCV's model, written down again from its documentation."""
    k1, k2, p1, p2 = (meta.get(name, 0.0) for name in ("k1", "k2", "p1", "p2"))
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2 * r2
    return x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y


@pytest.mark.parametrize("model_name", ["SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV"])
def test_transforms_project_as_the_model_does(tmp_path, model_name):
    model = make_model(5, model_name)
    write_transforms(tmp_path / "t.json", model, files_of(model), "points.ply", {"unit": "m"})
    meta = json.loads((tmp_path / "t.json").read_text())
    assert (meta["camera_model"], meta["ply_file_path"], meta["w"], meta["h"]) == ("OPENCV", "points.ply", 640, 480)
    xyz = sample_points(50).xyz.astype(float)
    for frame in meta["frames"]:
        image = model.find_image_with_name(frame["file_path"].removeprefix("images/"))
        cam = (np.c_[xyz, np.ones(50)] @ np.linalg.inv(np.array(frame["transform_matrix"])).T)[:, :3]
        x, y = distort(meta, cam[:, 0] / -cam[:, 2], cam[:, 1] / cam[:, 2])  # OpenGL looks along -z, y up
        ours = np.stack([meta["fl_x"] * x + meta["cx"], meta["fl_y"] * y + meta["cy"]], axis=1)
        theirs = model.cameras[1].img_from_cam(image.cam_from_world() * xyz)
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(("model", "kind"), [("EQUIRECTANGULAR", "EQUIRECTANGULAR"), ("RAD_TAN_THIN_PRISM_FISHEYE", "FISHEYE624")])
def test_transforms_of_panoramas_and_glasses(tmp_path, model, kind):
    camera = pycolmap.Camera.create_from_model_name(1, model, 600.0, 1600, 800)
    found = truth_model(camera, ["a.jpg"], [pycolmap.Rigid3d()])
    write_transforms(tmp_path / "t.json", found, {"a.jpg": "a.jpg"}, "points.ply", {})
    meta = json.loads((tmp_path / "t.json").read_text())
    assert (meta["camera_model"], meta["w"], meta["h"]) == (kind, 1600, 800)
    assert len(meta.get("distortion_params", [])) == (12 if kind == "FISHEYE624" else 0)
    write_cameras_csv(tmp_path / "c.csv", found, {}, {}, None)
    row = next(csv.DictReader((tmp_path / "c.csv").read_text().splitlines()))
    assert row["focal_px"] == ("" if model == "EQUIRECTANGULAR" else "600.0000")


def test_transforms_of_a_fisheye(tmp_path):
    model = make_model(4, "OPENCV_FISHEYE")
    write_transforms(tmp_path / "t.json", model, files_of(model), "", {})
    meta = json.loads((tmp_path / "t.json").read_text())
    assert meta["camera_model"] == "OPENCV_FISHEYE"
    assert [meta[f"k{n}"] for n in (1, 2, 3, 4)] == pytest.approx([0.01, 0.02, 0.03, 0.04])


def test_transforms_of_two_cameras_state_each_frame_s_own(tmp_path):
    model = make_model(4)
    other = pycolmap.Camera.create_from_model_name(2, "PINHOLE", 700.0, 800, 600)
    model.add_camera_with_trivial_rig(other)
    model.add_image_with_trivial_frame(pycolmap.Image(name="z.jpg", camera_id=2, image_id=99), pycolmap.Rigid3d())
    write_transforms(tmp_path / "t.json", model, files_of(model), "", {})
    meta = json.loads((tmp_path / "t.json").read_text())
    assert "fl_x" not in meta
    by_file = {frame["file_path"]: frame for frame in meta["frames"]}
    assert by_file["images/z.jpg"]["fl_x"] == 700
    assert by_file["images/a/000.jpg"]["k1"] == pytest.approx(0.01)


def read_csv(path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["name"]: row for row in csv.DictReader(stream)}


def test_csv_has_a_row_an_image_with_position_and_angles(tmp_path):
    model = make_model(12)
    frame = LocalFrame(50.8225, -0.1372, 40.0, "EPSG:32630")
    residuals = {"a/000.jpg": {"residual_px": 0.5}}
    write_cameras_csv(tmp_path / "c.csv", model, {"a/000.jpg": "cam0"}, residuals, frame)
    rows = read_csv(tmp_path / "c.csv")
    assert len(rows) == 12
    assert HOSTILE in rows
    first = rows["a/000.jpg"]  # at (9, 0, 4), looking west and down at the origin
    assert tuple(first) == COLUMNS
    assert [float(first[key]) for key in "xyz"] == pytest.approx([9, 0, 4])
    pitch = -np.degrees(np.arctan2(4, 9))
    angles = [float(first[key]) for key in ("yaw_deg", "pitch_deg", "roll_deg")]
    assert angles == pytest.approx([270, pitch, 0], abs=1e-4)
    assert float(first["lat_deg"]) == pytest.approx(50.8225, abs=1e-7)
    assert float(first["lon_deg"]) > -0.1372
    assert float(first["alt_m"]) == pytest.approx(44, abs=1e-3)
    assert (first["camera"], first["residual_px"], float(first["focal_px"])) == ("cam0", "0.5000", 520)


def test_csv_without_a_frame_leaves_degrees_empty(tmp_path):
    write_cameras_csv(tmp_path / "c.csv", make_model(3), {}, {}, None)
    assert {row["lat_deg"] for row in read_csv(tmp_path / "c.csv").values()} == {""}
