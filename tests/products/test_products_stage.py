from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import trimesh
from fake_run import FOCAL_PX, make_run
from PIL import Image

from recon.config import Config
from recon.stage import Work
from recon.stages.products import stage

FILES = {
    *("points.ply", "points.laz", "mesh.glb", "mesh.obj", "mesh.mtl", "mesh_0.jpg", "mesh_1.jpg", "transforms.json", "cameras.csv"),
    *("preview.png", "thumbnail.jpg", "photos.zip", "photos.json", "turntable.mp4", "products.json"),
    *(f"cameras/{name}.bin" for name in ("cameras", "images", "points3D", "frames", "rigs")),
}


def run(root: Path, threads: int, **products: object) -> Path:
    inputs = make_run(root)
    out = root / "out"
    out.mkdir()
    stage.run(Config.model_validate({"products": products}), inputs, {}, out, Work(threads=threads))
    return out


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("run"), threads=1, turntable_s=0.5)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_lies_flat_and_is_listed(out):
    written = files(out)
    assert set(written) == FILES
    listed = json.loads(written["products.json"])
    assert (listed["unit"], listed["frame"], listed["crs"], listed["metric"]) == ("m", "enu", "EPSG:32630", True)
    assert {row["name"] for row in listed["files"]} == FILES - {"products.json"}
    for row in listed["files"]:
        assert row["bytes"] == len(written[row["name"]])
        assert row["sha256"] == hashlib.sha256(written[row["name"]]).hexdigest()


def test_the_subjects_box_lies_about_the_mesh(out):
    low, high = np.array(json.loads((out / "products.json").read_text())["subject"])
    mesh_low, mesh_high = trimesh.load(out / "mesh.obj").bounds
    assert (low < high).all()
    assert ((low > mesh_low - 1e-3) & (high < mesh_high + 1e-3)).all()
    assert (high - low).prod() > 0.3 * (mesh_high - mesh_low).prod()


def test_all_products_share_one_frame(out):
    model = pycolmap.Reconstruction(out / "cameras")
    glb, obj = trimesh.load(out / "mesh.glb"), trimesh.load(out / "mesh.obj")
    points = np.array([point.xyz for point in model.points3D.values()])
    low, high = obj.bounds
    assert (points > low - 0.01).all()
    assert (points < high + 0.01).all()
    np.testing.assert_allclose(glb.extents[[0, 2, 1]], obj.extents, atol=1e-5)
    frames = json.loads((out / "transforms.json").read_text())["frames"]
    centers = {frame["file_path"].split("/images/")[1]: np.array(frame["transform_matrix"])[:3, 3] for frame in frames}
    for image in model.images.values():
        np.testing.assert_allclose(centers[image.name], image.projection_center(), atol=1e-9)


def test_transforms_find_the_images_from_the_output_folder(out):
    for frame in json.loads((out / "transforms.json").read_text())["frames"]:
        assert (out.parent / frame["file_path"]).is_file()


def test_photos_lie_where_the_index_says_and_fit_their_cameras(out):
    index = json.loads((out / "photos.json").read_text())
    model = pycolmap.Reconstruction(out / "cameras")
    archive = (out / "photos.zip").read_bytes()
    with zipfile.ZipFile(out / "photos.zip") as zipped:
        assert zipped.testzip() is None
        members = {row["file"]: zipped.read(row["file"]) for row in index["photos"]}
    assert (index["unit"], index["frame"], len(index["photos"])) == ("m", "enu", model.num_reg_images())
    for row in index["photos"]:
        jpeg = archive[row["offset"] : row["offset"] + row["bytes"]]
        assert jpeg == members[row["file"]]
        with Image.open(io.BytesIO(jpeg)) as photo:
            assert photo.size == (row["width"], row["height"])
        pose = model.find_image_with_name(row["name"]).cam_from_world().matrix()
        np.testing.assert_allclose(row["cam_from_world"], pose, atol=1e-9)
        assert row["k"] == pytest.approx([FOCAL_PX, FOCAL_PX, 320, 240])


def test_bytes_do_not_depend_on_threads(out, tmp_path):
    other = run(tmp_path, threads=2, turntable_s=0.5)
    assert files(out) == files(other)


def test_options_are_heeded(tmp_path):
    out = run(tmp_path, threads=1, points_format=["ply"], turntable_s=0, max_points=1000)
    names = set(files(out))
    assert FILES - names == {"points.laz", "turntable.mp4"}
    assert b"element vertex 1000\n" in (out / "points.ply").read_bytes()
