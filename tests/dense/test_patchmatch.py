"""What can be tested of the CUDA path without a device: what it is given, and how its answer is read."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "stages"))
from relief import Photo, hits, looking_down, pinhole, write_capture

from recon.capture.pixels import write_png
from recon.config import Config
from recon.dense.patchmatch import CONFIDENCE, depth_map, patchmatch_depths, read_array, write_workspace
from recon.dense.view import View, read_views
from recon.stage import Work
from recon.stages import undistort

Scene = tuple[pycolmap.Reconstruction, list[View]]
PHOTOS = [Photo(f"{i}.png", pinhole(640, 480, 640), looking_down(1.2 * i, 0)) for i in range(4)]


def test_arrays_are_read_as_colmap_writes_them(tmp_path: Path) -> None:
    values = np.arange(24, dtype="<f4").reshape(4, 3, 2)  # width, height, channels
    (tmp_path / "a.bin").write_bytes(b"4&3&2&" + values.tobytes(order="F"))
    read = read_array(tmp_path / "a.bin")
    assert read.shape == (3, 4, 2)
    assert read[2, 1, 1] == values[1, 2, 1]


@pytest.fixture
def scene(tmp_path: Path, rng: np.random.Generator) -> Scene:
    inputs, out = write_capture(tmp_path / "capture", PHOTOS, rng), tmp_path / "undistort"
    undistort.run(Config(), inputs, undistort.split(Config(), inputs)[0], out, Work())
    return pycolmap.Reconstruction(inputs["georef"][0] / "model"), read_views({"undistort": (out,)})


def test_the_workspace_holds_the_block_and_its_sources_only(tmp_path: Path, scene: Scene) -> None:
    model, views = scene
    folder = tmp_path / "workspace"
    write_workspace(folder, views, model, [0], [[1, 2], [0], [0], [0]])
    again = pycolmap.Reconstruction(folder / "sparse")
    posed = {image.name for image in again.images.values() if image.has_pose}
    assert posed == {f"{view.name}.jpg" for view in views[:3]}
    camera = next(iter(again.cameras.values()))
    assert camera.model_name == "PINHOLE"
    assert (camera.width, list(camera.params)) == (640, [640, 646.4, 323, 238])
    lines = (folder / "stereo" / "patch-match.cfg").read_text().splitlines()
    assert lines[:2] == [f"{views[0].name}.jpg", f"{views[1].name}.jpg, {views[2].name}.jpg"]
    for view in views[:3]:
        assert (folder / "images" / f"{view.name}.jpg").read_bytes() == view.path.read_bytes()


def test_masked_pixels_have_no_depth(tmp_path: Path, scene: Scene) -> None:
    mask = np.full((480, 640), 255, np.uint8)
    mask[:, 401:] = 0
    write_png(tmp_path / "mask.png", mask)
    found = depth_map(replace(scene[1][0], mask_path=tmp_path / "mask.png"), np.full((240, 320), 2, np.float32))
    assert not found.depth[:, 200:].any()  # a pixel that covers a masked one is masked
    assert (found.depth[:, :200] == 2).all()
    np.testing.assert_array_equal(found.confidence, np.where(found.depth > 0, np.float32(CONFIDENCE), 0))
    assert found.K[0, 0] == 320


def test_a_view_without_sources_has_an_empty_map(tmp_path: Path, scene: Scene) -> None:
    model, views = scene
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = patchmatch_depths(views, model, [0, 2], [[], [0], [], [0]], 320, 0, scratch)
    assert list(found) == [0, 2]
    assert all(each.depth.shape == (240, 320) and not each.depth.any() and not each.confidence.any() for each in found.values())
    assert not list(scratch.iterdir())


@pytest.mark.gpu
def test_the_device_gives_depth(tmp_path: Path, scene: Scene) -> None:
    if not (pycolmap.has_cuda and pycolmap.get_num_cuda_devices()):
        pytest.skip("no CUDA device")
    model, views = scene
    found = patchmatch_depths(views, model, [1, 2], [[1, 2], [0, 2, 3], [0, 1, 3], [1, 2]], 640, 0, tmp_path)
    for i in (1, 2):
        _, truth = hits(PHOTOS[i].camera, PHOTOS[i].cam_from_world)
        known = found[i].depth > 0
        assert known.mean() > 0.6
        assert 1e-5 < np.median(np.abs(found[i].depth[known] / truth[known] - 1)) < 0.004
