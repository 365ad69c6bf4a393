"""undistort: views are pinhole pictures of the same scene, in image order, with masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
import pytest
from relief import Photo, hits, looking_down, picture, pinhole, write_capture

from recon.capture.pixels import read_grey, read_rgb
from recon.capture.records import read_records, write_records
from recon.config import Config, parse
from recon.dense.undistort import Undistorter
from recon.dense.view import read_views
from recon.errors import InputError, NoOverlap
from recon.stage import Inputs, Work
from recon.stages.undistort import SHARD_VIEWS, stage


def run(config: Config, inputs: Inputs, out: Path) -> Inputs:
    folders = []
    for index, shard in enumerate(stage.split(config, inputs)):
        folder = out / str(index)
        folder.mkdir(parents=True)
        stage.run(config, inputs, shard, folder, Work())
        folders.append(folder)
    return {**inputs, "undistort": tuple(folders)}


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("SIMPLE_RADIAL", [300, 160, 120, -0.08]),
        ("OPENCV", [300, 305, 158, 123, 0.05, -0.02, 0.001, -0.001]),
        ("OPENCV_FISHEYE", [220, 220, 160, 120, 0.02, 0, 0, 0]),
    ],
)
def test_a_view_looks_as_a_pinhole_camera_would(model: str, params: list[float], tmp_path: Path, rng: np.random.Generator) -> None:
    photo = Photo("a.png", pycolmap.Camera(model=model, width=320, height=240, params=params), looking_down(0.2, 0.1))
    other = Photo("b.png", pycolmap.Camera(model=model, width=320, height=240, params=params), looking_down(1.5, 0.1))
    inputs = run(Config(), write_capture(tmp_path, [photo, other], rng), tmp_path / "undistort")
    view = read_views(inputs)[0]
    camera = pycolmap.Camera(
        model="PINHOLE", width=view.width, height=view.height, params=[view.K[0, 0], view.K[1, 1], view.K[0, 2], view.K[1, 2]]
    )
    expected = picture(Photo("", camera, photo.cam_from_world), rng, noise=0.0).astype(float)
    error = np.abs(read_rgb(view.path).astype(float) - expected)[4:-4, 4:-4]
    shifted = np.abs(read_rgb(view.path).astype(float)[:, 1:] - expected[:, :-1])[4:-4, 4:-4]
    assert 0.5 < error.mean() < 8.0  # the noise that was put in, and what interpolation blurs
    assert shifted.mean() > 2.0 * error.mean()  # a single pixel's shift would show


def test_shrinking_keeps_the_geometry(tmp_path: Path, rng: np.random.Generator) -> None:
    photo = Photo("a.png", pinhole(401, 299), looking_down(0, 0))
    other = Photo("b.png", pinhole(401, 299), looking_down(1, 0))
    inputs = run(parse({"undistort": {"max_size_px": 200}}), write_capture(tmp_path, [photo, other], rng), tmp_path / "undistort")
    view = read_views(inputs)[0]
    assert (view.width, view.height) == (200, 149)
    assert view.mask_path is None
    fx, fy, cx, cy = photo.camera.params
    expected = [[fx * 200 / 401, 0, cx * 200 / 401], [0, fy * 149 / 299, cy * 149 / 299], [0, 0, 1]]
    np.testing.assert_allclose(view.K, expected, rtol=1e-12)
    np.testing.assert_allclose(view.R, photo.cam_from_world.rotation.matrix())


@pytest.mark.parametrize(("width", "height"), [(301, 400), (400, 301), (333, 401), (200, 149)])
def test_a_plain_photo_of_odd_size_and_its_mask_are_as_large_as_its_camera(
    width: int, height: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    photos = [Photo(f"{n}.png", pinhole(width, height), looking_down(n, 0)) for n in range(2)]
    mask = np.full((height, width), 255, np.uint8)
    mask[: height // 2] = 0
    options = parse({"undistort": {"max_size_px": 160}})
    view = read_views(run(options, write_capture(tmp_path, photos, rng, {"0.png": mask}), tmp_path / "undistort"))[0]
    assert view.mask_path is not None
    assert read_rgb(view.path).shape[:2] == read_grey(view.mask_path).shape == (view.height, view.width)
    usable = read_grey(view.mask_path) > 0
    np.testing.assert_allclose(usable.mean(), 0.5, atol=1.5 / view.height)


def test_views_keep_image_order_and_leave_out_what_is_not_registered(tmp_path: Path, rng: np.random.Generator) -> None:
    photos = [Photo(f"deep/{i:02d}.png", pinhole(64, 48, 60), looking_down(0.3 * i, 0)) for i in range(SHARD_VIEWS + 3)]
    inputs = write_capture(tmp_path, photos, rng)
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    model.deregister_frame(4)
    model.write(inputs["georef"][0] / "model")
    done = run(Config(), inputs, tmp_path / "undistort")
    assert len(done["undistort"]) == 2
    assert [view.name for view in read_views(done)] == [photo.name for i, photo in enumerate(photos) if i != 3]


def test_a_mask_hides_the_same_part_of_the_view(tmp_path: Path, rng: np.random.Generator) -> None:
    camera = pycolmap.Camera(model="SIMPLE_RADIAL", width=320, height=240, params=[300, 160, 120, -0.08])
    photos = [Photo("a.png", camera, looking_down(0, 0)), Photo("b.png", pinhole(), looking_down(1, 0))]
    mask = np.full((240, 320), 255, np.uint8)
    mask[:, :100] = 0
    done = run(Config(), write_capture(tmp_path, photos, rng, {"a.png": mask}), tmp_path / "undistort")
    first, second = read_views(done)
    assert first.mask_path is not None
    assert second.mask_path is None
    usable = read_grey(first.mask_path) > 0
    _, width = usable.shape
    edge = first.K[0, 2] + first.K[0, 0] * (100 - 160) / 300  # distortion moves this column by less than three pixels
    assert not usable[:, : int(edge) - 4].any()
    assert usable[:, int(edge) + 6 : width].all()


def test_views_do_not_depend_on_the_bands(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = pycolmap.Camera(model="OPENCV", width=320, height=240, params=[300, 305, 158, 123, 0.05, -0.02, 0.001, -0.001])
    pixels = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
    whole = Undistorter(camera, 320)
    monkeypatch.setattr("recon.dense.undistort._BAND_ROWS", 40)
    banded = Undistorter(camera, 320)
    np.testing.assert_array_equal(whole.image(pixels), banded.image(pixels))
    np.testing.assert_array_equal(whole.mask(pixels[..., 0]), banded.mask(pixels[..., 0]))


def test_views_keep_image_order_whatever_that_of_the_cameras(tmp_path: Path, rng: np.random.Generator) -> None:
    photos = [Photo(f"{i}.png", pinhole(64 + i, 48, 60), looking_down(0.3 * i, 0)) for i in range(4)]
    inputs = write_capture(tmp_path, photos, rng)
    write_records(inputs["select"][0], read_records(inputs["select"][0])[::-1])
    views = read_views(run(Config(), inputs, tmp_path / "undistort"))
    assert [(view.name, view.width) for view in views] == [(photo.name, photo.camera.width) for photo in photos[::-1]]


def test_a_very_wide_lens_is_cropped(tmp_path: Path, rng: np.random.Generator) -> None:
    fisheye = pycolmap.Camera(model="OPENCV_FISHEYE", width=320, height=240, params=[80, 80, 160, 120, 0, 0, 0, 0])
    assert np.degrees(320 / 80) > 180
    small = [Photo(f"{i}.png", fisheye, looking_down(0.5 * i, 0)) for i in range(2)]
    inputs = write_capture(tmp_path, [Photo(p.name, pinhole(), p.cam_from_world) for p in small], rng)
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    for camera in model.cameras.values():
        camera.model, camera.params = fisheye.model, fisheye.params
    model.write(inputs["georef"][0] / "model")
    view = read_views(run(Config(), inputs, tmp_path / "undistort"))[0]
    assert 100 < np.degrees(2 * np.arctan(view.width / 2 / view.K[0, 0])) < 125


def test_what_cannot_be_undistorted_says_why(tmp_path: Path, rng: np.random.Generator) -> None:
    photos = [Photo(f"{i}.png", pinhole(), looking_down(0.5 * i, 0)) for i in range(2)]
    inputs = write_capture(tmp_path, photos, rng)
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    for camera in model.cameras.values():
        camera.width += 1
    model.write(inputs["georef"][0] / "model")
    with pytest.raises(InputError, match="320x240"):
        run(Config(), inputs, tmp_path / "wrong_size")
    for image in list(model.images.values()):
        model.deregister_frame(image.frame_id)
    model.write(inputs["georef"][0] / "model")
    with pytest.raises(NoOverlap):
        stage.split(Config(), inputs)


def test_the_scene_of_these_tests_has_two_levels() -> None:
    _, depth = hits(pinhole(), looking_down(0, 0))
    assert set(np.round(np.unique(depth), 6)) == {8.5, 10.0}
