"""depth: metric truth on a relief, whatever the direction of the baselines, the sizes and the number of views."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from relief import Photo, hits, looking_down, pinhole, write_capture

from recon.capture.records import read_json
from recon.config import Config, parse
from recon.dense.view import DepthMap
from recon.errors import NoSurface
from recon.stage import Inputs, Stage, Work
from recon.stages import depth, fuse, undistort

Reconstruct = Callable[..., Inputs]


def run(stage: Stage, config: Config, inputs: Inputs, root: Path) -> Inputs:
    folders = []
    for index, shard in enumerate(stage.split(config, inputs)):
        folder = root / stage.name / str(index)
        folder.mkdir(parents=True)
        stage.run(config, inputs, shard, folder, Work())
        folders.append(folder)
    return {**inputs, stage.name: tuple(folders)}


def depths_of(photos: list[Photo], root: Path, rng: np.random.Generator, config: Config = Config()) -> dict[str, DepthMap]:  # noqa: B008
    done = run(depth.stage, config, run(undistort.stage, config, write_capture(root, photos, rng), root), root)
    return {
        photo.name: DepthMap.load(next(f for d in done["depth"] if (f := d / "depth" / f"{photo.name}.npz").is_file())) for photo in photos
    }


def errors(photo: Photo, found: DepthMap) -> np.ndarray:
    """Relative error of each known depth."""
    _, truth = hits(photo.camera, photo.cam_from_world)
    known = found.depth > 0
    return np.abs(found.depth[known] / truth[known] - 1)


@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.0, 1.0), (0.7, 0.7)], ids=["sideways", "upwards", "aslant"])
def test_depth_is_right_for_any_direction_of_the_baseline(direction: tuple[float, float], tmp_path: Path, rng: np.random.Generator) -> None:
    photos = [Photo(f"{i}.png", pinhole(), looking_down(1.6 * (i - 1) * direction[0], 1.6 * (i - 1) * direction[1])) for i in range(3)]
    found = depths_of(photos, tmp_path, rng)["1.png"]
    # a pixel of disparity is depth / (focal * baseline) = 2 % of the depth here
    error = errors(photos[1], found)
    assert 1e-4 < np.median(error) < 0.004
    assert np.percentile(error, 95) < 0.02
    assert (found.depth > 0).mean() > 0.8
    assert (found.confidence[found.depth > 0] > 0).all()
    assert not found.confidence[found.depth == 0].any()


def test_turned_tilted_and_unequal_cameras_agree(tmp_path: Path, rng: np.random.Generator) -> None:
    photos = [
        Photo("wide.png", pinhole(300, 260, 250), looking_down(-0.8, 0.2, 9.0, tilt_deg=6, turn_deg=90)),
        Photo("middle.png", pinhole(320, 240, 320), looking_down(0.5, -0.6, 10.0, tilt_deg=-4)),
        Photo("long.png", pinhole(400, 300, 420), looking_down(1.2, 1.0, 11.0, turn_deg=180)),
    ]
    for photo, found in zip(photos, depths_of(photos, tmp_path, rng).values(), strict=True):
        assert found.depth.shape == (photo.camera.height, photo.camera.width)
        assert 1e-4 < np.median(errors(photo, found)) < 0.005
        assert (found.depth > 0).mean() > 0.5  # the wide view shows what the others do not


def test_noise_shows_in_the_depth(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [Photo(f"{i}.png", pinhole(), looking_down(1.6 * i, 0)) for i in range(2)]
    clean = np.median(errors(photos[0], depths_of(photos, tmp_path / "clean", rng)["0.png"]))
    import relief

    exact = relief.picture
    monkeypatch.setattr(relief, "picture", lambda photo, generator: exact(photo, generator, noise=25.0))
    noisy = np.median(errors(photos[0], depths_of(photos, tmp_path / "noisy", rng)["0.png"]))
    assert 1.1 * clean < noisy < 8 * clean


def test_a_masked_part_has_no_depth_and_gives_none(tmp_path: Path, rng: np.random.Generator) -> None:
    photos = [Photo(f"{i}.png", pinhole(), looking_down(1.6 * i, 0)) for i in range(2)]
    mask = np.full((240, 320), 255, np.uint8)
    mask[:, 200:] = 0
    inputs = write_capture(tmp_path, photos, rng, {"0.png": mask})
    done = run(depth.stage, Config(), run(undistort.stage, Config(), inputs, tmp_path), tmp_path)
    first, second = (DepthMap.load(done["depth"][0] / "depth" / f"{i}.png.npz").depth for i in range(2))
    assert not first[:, 200:].any()
    assert (first[:, 60:195] > 0).mean() > 0.8
    points, _ = hits(photos[1].camera, photos[1].cam_from_world)
    in_first = photos[0].camera.img_from_cam(photos[0].cam_from_world * points.reshape(-1, 3))[:, 0].reshape(240, 320)
    assert (second[in_first > 206] > 0).mean() < 0.01
    assert (second[in_first < 195] > 0).mean() > 0.8


def test_the_depth_of_a_pair_does_not_depend_on_the_other_views_of_its_block(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [Photo(f"{i}.png", pinhole(160, 120, 160), looking_down(1.0 * i, 0)) for i in range(5)]
    inputs = run(undistort.stage, Config(), write_capture(tmp_path, photos, rng), tmp_path)
    whole = run(depth.stage, Config(), inputs, tmp_path / "whole")
    monkeypatch.setattr(depth, "SHARD_VIEWS", 2)
    parts = run(depth.stage, Config(), inputs, tmp_path / "parts")
    assert len(parts["depth"]) == 4
    for photo in photos:
        one = DepthMap.load(whole["depth"][0] / "depth" / f"{photo.name}.npz")
        (file,) = (file for folder in parts["depth"] if (file := folder / "depth" / f"{photo.name}.npz").exists())
        other = DepthMap.load(file)
        np.testing.assert_array_equal(one.depth, other.depth)
    rows = [row for folder in parts["depth"] for row in read_json(folder / "depth.json")["views"]]
    assert sorted(row["name"] for row in rows) == [photo.name for photo in photos]
    assert all(0.3 < row["coverage"] <= 1 for row in rows)


def test_tiny_images_do_no_harm(tmp_path: Path, rng: np.random.Generator) -> None:
    photos = [Photo(f"{i}.png", pinhole(24, 18, 24), looking_down(1.2 * i, 0)) for i in range(3)]
    assert all(found.depth.shape == (18, 24) for found in depths_of(photos, tmp_path, rng, parse({"depth": {"max_size_px": 64}})).values())


def test_an_enormous_range_of_depths_is_searched_in_bounded_memory(tmp_path: Path, rng: np.random.Generator) -> None:
    photos = [Photo(f"{i}.png", pinhole(), looking_down(1.6 * i, 0)) for i in range(2)]
    inputs = run(undistort.stage, Config(), write_capture(tmp_path, photos, rng), tmp_path)
    from recon.dense.stereo import load_frame, pair_depths
    from recon.dense.view import read_views

    frames = [load_frame(view, 1600) for view in read_views(inputs)]
    ladder = np.column_stack([np.zeros((60, 2)), 10 - np.geomspace(0.1, 1000, 60)])
    found = pair_depths(frames[0], frames[1], ladder)
    assert found is not None
    _, truth = hits(photos[0].camera, photos[0].cam_from_world)
    known = np.isfinite(found[0].depth)
    assert known.mean() > 0.3
    assert np.median(np.abs(found[0].depth[known] / truth[known] - 1)) < 0.01


def test_views_from_one_spot_have_no_surface(tmp_path: Path, rng: np.random.Generator) -> None:
    photos = [Photo(f"{i}.png", pinhole(), looking_down(0, 0, tilt_deg=4.0 * i)) for i in range(4)]
    with pytest.raises(NoSurface, match=r"no two of the 4 views.*Move sideways"):
        depths_of(photos, tmp_path, rng)


def test_pictures_without_any_texture_have_no_surface(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    import relief

    def noise_alone(photo: Photo, generator: np.random.Generator) -> np.ndarray:
        return generator.integers(0, 255, (photo.camera.height, photo.camera.width, 3), dtype=np.uint8)

    monkeypatch.setattr(relief, "picture", noise_alone)
    photos = [Photo(f"{i}.png", pinhole(), looking_down(1.6 * i, 0)) for i in range(2)]
    with pytest.raises(NoSurface):
        inputs = run(undistort.stage, Config(), write_capture(tmp_path, photos, rng), tmp_path)
        run(fuse.stage, Config(), run(depth.stage, Config(), inputs, tmp_path), tmp_path)
