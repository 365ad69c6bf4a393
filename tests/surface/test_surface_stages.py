"""Stages mesh and texture on folders: what they write, and the same bytes each time."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from painted import CAMERA, grid, hill_cloud, look_at, mesh_of, take_photos

from recon.capture.records import ImageRecord, write_records
from recon.config import Config, Mesh, Texture
from recon.dense.view import Points
from recon.errors import NoSurface
from recon.products.textured import TexturedMesh
from recon.stage import Work
from recon.stages import mesh as mesh_stage
from recon.stages import sample as sample_stage
from recon.stages import surface as surface_stage
from recon.stages import texture as texture_stage

CONFIG = Config(mesh=Mesh(faces=3000), texture=Texture(page_px=1024, max_size_px=400))


@dataclass(frozen=True)
class Run:
    root: Path
    config: Config = CONFIG

    def inputs(self):
        parts = tuple(sorted((self.root / "fuse").iterdir()))
        return {"fuse": parts, "undistort": ()} | {
            name: (self.root / name,) for name in ("ingest", "select", "georef", "sample", "surface", "mesh")
        }

    def make(self, module, out, threads=1):
        out.mkdir(parents=True)
        told = []
        (shard,) = module.stage.split(self.config, self.inputs())
        module.run(self.config, self.inputs(), shard, out, Work(threads=threads, tell=told.append))
        assert told == sorted(told)
        return out


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(3)
    for number in range(3):
        (root / "fuse" / f"{number:04d}").mkdir(parents=True)
        hill_cloud(rng, 8000, 0.003).save(root / "fuse" / f"{number:04d}" / "points.npz")
    eyes = [np.array([x, -0.7, 2.3]) for x in (-0.4, 0.1, 0.5)]
    (root / "ingest" / "images").mkdir(parents=True)
    photos = take_photos(root / "ingest" / "images", mesh_of(*grid(60)), [(look_at(eye, np.zeros(3)), eye) for eye in eyes])
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(CAMERA)
    for number, photo in enumerate(photos[:2]):
        image = pycolmap.Image(name=photo.name, camera_id=1, image_id=number + 1)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pycolmap.Rotation3d(photo.R), photo.t))
    (root / "georef" / "model").mkdir(parents=True)
    model.write(root / "georef" / "model")
    (root / "select").mkdir()
    records = [
        ImageRecord(name=p.name, file=f"ingest/0/images/{p.name}", source=p.name, sha256="0", width=640, height=480, camera="c")
        for p in photos
    ]
    write_records(root / "select", records)
    made = Run(root)
    made.make(sample_stage, root / "sample")
    made.make(surface_stage, root / "surface")
    made.make(mesh_stage, root / "mesh")
    made.make(texture_stage, root / "texture")
    return made


def bytes_of(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_mesh_folder_is_as_documented(run):
    assert set(bytes_of(run.root / "mesh")) == {"mesh.npz", "mesh.json"}
    with np.load(run.root / "mesh" / "mesh.npz") as arrays:
        vertices, faces, normals, rgb = (arrays[name] for name in ("vertices", "faces", "normals", "rgb"))
    assert (vertices.dtype, faces.dtype, normals.dtype, rgb.dtype) == (np.float32, np.int32, np.float32, np.uint8)
    assert vertices.shape == normals.shape == rgb.shape
    assert normals[:, 2].min() > 0.5
    summary = json.loads((run.root / "mesh" / "mesh.json").read_text())
    assert summary["faces"] == len(faces) <= 3000
    assert summary["vertices"] == len(vertices)
    assert summary["points"] == 24_000
    assert summary["warnings"] == []


def test_texture_folder_is_as_documented(run):
    summary = json.loads((run.root / "texture" / "texture.json").read_text())
    pages = {f"page_{number}.jpg" for number in range(len(summary["pages"]))}
    assert set(bytes_of(run.root / "texture")) == {"textured.npz", "texture.json"} | pages
    with np.load(run.root / "texture" / "textured.npz") as arrays, np.load(run.root / "mesh" / "mesh.npz") as mesh:
        for name in ("vertices", "normals", "faces"):
            np.testing.assert_array_equal(arrays[name], mesh[name])
        uv, page = arrays["uv"], arrays["page"]
    assert (uv.dtype, page.dtype) == (np.float32, np.int32)
    assert uv.shape == (len(page), 3, 2)
    for number, size in enumerate(summary["pages"]):
        assert list(cv2.imread(str(run.root / "texture" / f"page_{number}.jpg")).shape[1::-1]) == size
    # the third photo has no pose in the model
    assert set(summary["photos"]) == {"00.png", "01.png"}
    assert summary["seen_share"] > 0.8
    assert summary["image_size_px"] == 400


@pytest.mark.parametrize("module", [sample_stage, surface_stage, mesh_stage, texture_stage])
def test_same_bytes_again_and_with_other_threads(run, tmp_path, module):
    first = bytes_of(run.root / module.stage.name)
    assert bytes_of(run.make(module, tmp_path / "again")) == first
    assert bytes_of(run.make(module, tmp_path / "threads", threads=2)) == first


def test_a_cloud_without_points_is_no_surface(run, tmp_path):
    (tmp_path / "fuse").mkdir()
    empty = np.zeros((0, 3), np.float32)
    none = np.zeros(0, np.float32)
    Points(empty, empty, empty.astype(np.uint8), none, none.astype(np.uint8), none).save(tmp_path / "fuse" / "points.npz")
    with pytest.raises(NoSurface, match="0 usable points"):
        sample_stage.run(CONFIG, {"fuse": (tmp_path / "fuse",)}, {}, tmp_path, Work())


def test_pages_as_png_hold_what_was_painted(run, tmp_path):
    options = CONFIG.model_copy(update={"texture": CONFIG.texture.model_copy(update={"page_format": "png"})})
    Run(run.root, options).make(texture_stage, tmp_path / "png")
    (name,) = (name for name in bytes_of(tmp_path / "png") if name.startswith("page_"))
    assert name == "page_0.png"
    exact = cv2.imread(str(tmp_path / "png" / name)).astype(int)
    jpeg = cv2.imread(str(run.root / "texture" / "page_0.jpg")).astype(int)
    assert 0.05 < np.abs(exact - jpeg).mean() < 3
    assert TexturedMesh.load(tmp_path / "png").pages == (tmp_path / "png" / "page_0.png",)
