"""What can be tested of the CUDA path without a device: what it is given, and how its answer is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from recon.dense.patchmatch import patchmatch_depths, read_array, write_workspace
from recon.dense.view import View


def test_arrays_are_read_as_colmap_writes_them(tmp_path: Path) -> None:
    values = np.arange(24, dtype="<f4").reshape(4, 3, 2)  # width, height, channels
    (tmp_path / "a.bin").write_bytes(b"4&3&2&" + values.tobytes(order="F"))
    read = read_array(tmp_path / "a.bin")
    assert read.shape == (3, 4, 2)
    assert read[2, 1, 1] == values[1, 2, 1]


@pytest.fixture
def scene(tmp_path: Path) -> tuple[pycolmap.Reconstruction, list[View]]:
    options = pycolmap.SyntheticDatasetOptions(num_frames_per_rig=4, num_rigs=1, num_cameras_per_rig=1, num_points3D=40)
    model = pycolmap.synthesize_dataset(options)
    views = []
    for image in sorted(model.images.values(), key=lambda image: image.name):
        path = tmp_path / f"{image.image_id}.png"
        path.write_bytes(b"png")
        world = image.cam_from_world()
        K = np.array([[500, 0, 320], [0, 500, 240], [0, 0, 1.0]])
        views.append(View(image.name, path, None, 640, 480, K, world.rotation.matrix(), np.array(world.translation)))
    return model, views


def test_the_workspace_holds_the_block_and_its_sources_only(tmp_path: Path, scene: tuple[pycolmap.Reconstruction, list[View]]) -> None:
    model, views = scene
    folder = tmp_path / "workspace"
    write_workspace(folder, views, model, [0], [[1, 2], [0], [0], [0]])
    again = pycolmap.Reconstruction(folder / "sparse")
    posed = {image.name for image in again.images.values() if image.has_pose}
    assert posed == {f"{view.name}.png" for view in views[:3]}
    camera = next(iter(again.cameras.values()))
    assert camera.model_name == "PINHOLE"
    assert (camera.width, list(camera.params)) == (640, [500, 500, 320, 240])
    lines = (folder / "stereo" / "patch-match.cfg").read_text().splitlines()
    assert lines[:2] == [f"{views[0].name}.png", f"{views[1].name}.png, {views[2].name}.png"]
    for view in views[:3]:
        assert (folder / "images" / f"{view.name}.png").read_bytes() == b"png"


@pytest.mark.gpu
def test_the_device_gives_depth(scene: tuple[pycolmap.Reconstruction, list[View]]) -> None:
    if not pycolmap.has_cuda:
        pytest.skip("no CUDA device")
    model, views = scene
    assert patchmatch_depths(views, model, [0], [[1, 2], [0], [0], [0]], 640, 0)
