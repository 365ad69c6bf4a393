"""undistort, depth and fuse on captures that are hard or hopeless: right where there is something, a clear word where not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "stages"))
import relief
from relief import Photo, hits, looking_down, pinhole, surface_distance, write_capture

from recon.config import Config, parse
from recon.dense.coverage import coverage_warnings, depth_rows, unseen_share
from recon.dense.view import DepthMap, Points
from recon.errors import NoSurface
from recon.stage import Inputs, Stage, Work
from recon.stages import depth, fuse, undistort

Picture = Callable[[Photo, np.random.Generator], np.ndarray]
EXACT = relief.picture


def run(stage: Stage, config: Config, inputs: Inputs, root: Path) -> Inputs:
    folders = []
    for index, shard in enumerate(stage.split(config, inputs)):
        folder = root / stage.name / str(index)
        folder.mkdir(parents=True)
        stage.run(config, inputs, shard, folder, Work())
        folders.append(folder)
    return {**inputs, stage.name: tuple(folders)}


def dense(photos: list[Photo], root: Path, rng: np.random.Generator, config: Config = Config(), last: Stage = fuse.stage) -> Inputs:  # noqa: B008
    done = write_capture(root, photos, rng)
    for stage in (undistort.stage, depth.stage, fuse.stage):
        done = run(stage, config, done, root)
        if stage is last:
            break
    return done


def depth_of(done: Inputs, name: str) -> DepthMap:
    return DepthMap.load(next(file for folder in done["depth"] if (file := folder / "depth" / f"{name}.npz").is_file()))


def cloud(done: Inputs) -> Points:
    return Points.concatenate([Points.load(folder / "points.npz") for folder in done["fuse"]])


def warnings(done: Inputs) -> dict[str, str]:
    return {row["code"]: f"{row['message']}. {row['remedy']}" for row in coverage_warnings(depth_rows(done))}


def error(photo: Photo, found: DepthMap) -> np.ndarray:
    """(h, w) relative error of each depth, NaN where unknown."""
    _, truth = hits(photo.camera, photo.cam_from_world)
    return np.where(found.depth > 0, np.abs(found.depth / truth - 1), np.nan)


def test_two_views_give_a_cloud(tmp_path: Path, rng: np.random.Generator) -> None:
    points = cloud(dense([Photo(f"{i}.png", pinhole(), looking_down(1.6 * i, 0)) for i in range(2)], tmp_path, rng))
    assert len(points.xyz) > 30_000
    assert (points.views == 2).all()
    assert 1e-3 < np.median(np.abs(surface_distance(points.xyz))) < 0.05  # a pixel of disparity is 0.2 here


@pytest.mark.parametrize(("gain", "gamma"), [(0.35, 1.0), (1.0, 2.2), (1.3, 0.8)], ids=["dark", "steep", "bright"])
def test_photos_of_different_exposure_match(
    gain: float, gamma: float, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exposed(photo: Photo, generator: np.random.Generator) -> np.ndarray:
        pixels = EXACT(photo, generator)
        return pixels if photo.name == "1.png" else np.clip(255 * gain * (pixels / 255.0) ** gamma, 0, 255).astype(np.uint8)

    monkeypatch.setattr(relief, "picture", exposed)
    photos = [Photo(f"{i}.png", pinhole(), looking_down(1.6 * i, 0)) for i in range(2)]
    off = error(photos[0], depth_of(dense(photos, tmp_path, rng, last=depth.stage), "0.png"))
    assert np.isfinite(off[:, 80:]).mean() > 0.6
    assert 1e-4 < np.nanmedian(off) < 0.006


def test_water_is_left_open_and_told_of(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    def wet(photo: Photo, generator: np.random.Generator) -> np.ndarray:
        pixels = EXACT(photo, generator)
        water = (
            generator.normal(0, 1, (pixels.shape[0] // 4, pixels.shape[1] // 4)).repeat(4, 0).repeat(4, 1)
        )  # waves: other ones each time
        place, _ = hits(photo.camera, photo.cam_from_world)
        return np.where((place[..., 1] < 1.5)[..., None], np.clip(120 + 40 * water, 0, 255)[..., None], pixels).astype(np.uint8)

    monkeypatch.setattr(relief, "picture", wet)
    photos = [Photo(f"{i}.png", pinhole(), looking_down(1.2 * i, 0)) for i in range(4)]
    done = dense(photos, tmp_path, rng)
    in_water = hits(photos[1].camera, photos[1].cam_from_world)[0][..., 1] < 1.4
    found = depth_of(done, "1.png").depth > 0
    assert found[in_water].mean() < 0.1
    assert found[~in_water].mean() > 0.6
    points = cloud(done)
    assert (points.xyz[:, 1] < 1.3).mean() < 0.02
    told = warnings(done)["views_mostly_unseen"]
    assert "of 4 of 4 views less than 30% could be measured" in told
    assert "water" in told
    assert "Mask" in told


@pytest.mark.parametrize("ripple_px", [0.0, 12.0], ids=["still", "rippled"])
def test_a_mirror_shows_no_surface_of_its_own(
    ripple_px: float, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    clouds = np.random.default_rng(3).normal(0, 40, (512, 512)).astype(np.float32)

    def mirrored(photo: Photo, generator: np.random.Generator) -> np.ndarray:
        """What lies at y < 1.5 mirrors clouds so far off that only the direction counts, bent by ripples that no other photo sees."""
        pixels = EXACT(photo, generator)
        place, _ = hits(photo.camera, photo.cam_from_world)
        ray = place - photo.cam_from_world.inverse().translation
        bent = [cv2.GaussianBlur(generator.normal(0, 1, pixels.shape[:2]), (0, 0), 6) * 6 * 2 * np.pi**0.5 * ripple_px for _ in range(2)]
        u, v = ((320 * ray[..., axis] / -ray[..., 2] + bent[axis]) / 4 + 256 for axis in range(2))
        sky = cv2.remap(clouds, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR) + generator.normal(0, 2, pixels.shape[:2])
        return np.where((place[..., 1] < 1.5)[..., None], np.clip(120 + sky, 0, 255)[..., None], pixels).astype(np.uint8)

    monkeypatch.setattr(relief, "picture", mirrored)
    photos = [Photo(f"{i}.png", pinhole(), looking_down(1.2 * i, 0)) for i in range(4)]
    done = dense(photos, tmp_path, rng)
    in_mirror = hits(photos[1].camera, photos[1].cam_from_world)[0][..., 1] < 1.4
    found = depth_of(done, "1.png").depth > 0
    assert found[in_mirror].mean() < 0.1
    assert found[~in_mirror].mean() > 0.6
    assert (cloud(done).xyz[:, 1] < 1.3).mean() < 0.02
    unseen = unseen_share(depth_rows(done))
    assert unseen is not None
    assert 0.4 < unseen < 0.9


def test_sky_and_far_background_get_no_depth(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    paint = np.random.default_rng(3).normal(0, 1, (240 // 4, 320 // 4)).repeat(4, 0).repeat(4, 1)

    def under_clouds(photo: Photo, generator: np.random.Generator) -> np.ndarray:
        pixels = EXACT(photo, generator)
        pixels[:90] = np.clip(170 + 25 * paint[:90, :, None] + generator.normal(0, 2, (90, 320, 1)), 0, 255)  # the same from everywhere
        return pixels

    monkeypatch.setattr(relief, "picture", under_clouds)
    photos = [Photo(f"{i}.png", pinhole(), looking_down(1.2 * i, 0)) for i in range(3)]
    done = dense(photos, tmp_path, rng)
    found = depth_of(done, "1.png").depth > 0
    assert found[:85].mean() < 0.03
    assert found[95:].mean() > 0.7
    assert (np.abs(surface_distance(cloud(done).xyz)) < 0.3).mean() > 0.98


def test_a_camera_inside_the_object_spoils_nothing(tmp_path: Path, rng: np.random.Generator) -> None:
    photos = [Photo(f"{i}.png", pinhole(), looking_down(1.2 * (i - 1), 0)) for i in range(3)]
    photos.append(Photo("inside.png", pinhole(), looking_down(0.2, 0.1, relief.PLATEAU / 2)))
    points = cloud(dense(photos, tmp_path, rng))
    assert len(points.xyz) > 30_000
    assert (np.abs(surface_distance(points.xyz)) < 0.3).mean() > 0.98


def test_motion_along_the_view_is_measured(tmp_path: Path, rng: np.random.Generator) -> None:
    photos = [Photo(f"{i}.png", pinhole(), looking_down(0.05 * i, 0, 10 - 1.5 * i)) for i in range(3)]
    done = dense(photos, tmp_path, rng, last=depth.stage)
    assert depth.stage.split(Config(), done)[0]["sweeps"]
    off = error(photos[0], depth_of(done, "0.png"))
    assert np.isfinite(off).mean() > 0.2
    assert 1e-4 < np.nanmedian(off) < 0.02


def test_one_pixel_images_have_no_surface(tmp_path: Path, rng: np.random.Generator) -> None:
    photos = [Photo(f"{i}.png", pinhole(1, 1, 1), looking_down(1.6 * i, 0)) for i in range(3)]
    with pytest.raises(NoSurface, match=r"0 points|none of the 3 views|no two of the 3 views"):
        dense(photos, tmp_path, rng)


def test_a_depth_range_of_one_to_ten_thousand(tmp_path: Path, rng: np.random.Generator) -> None:
    import pycolmap

    photos = [Photo(f"{i}.png", pinhole(), looking_down(1.6 * i, 0)) for i in range(3)]
    done = run(undistort.stage, Config(), write_capture(tmp_path, photos, rng), tmp_path)
    model = pycolmap.Reconstruction(done["georef"][0] / "model")
    for number, point in enumerate(model.points3D.values()):
        if number % 12 == 0:  # stray points: from the camera's hood to the horizon
            point.xyz = np.array([0.0, 0.0, relief.HEIGHT]) - np.array([0, 0, 1.0]) * 10 ** rng.uniform(-1, 3)
    model.write(done["georef"][0] / "model")
    off = error(photos[1], depth_of(run(depth.stage, Config(), done, tmp_path), "1.png"))
    assert np.isfinite(off).mean() > 0.5
    assert 1e-4 < np.nanmedian(off) < 0.006


def test_gaps_are_filled_from_a_smaller_size(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relief, "picture", lambda photo, generator: EXACT(photo, generator, noise=60.0))
    photos = [Photo(f"{i}.png", pinhole(), looking_down(1.0 * (i - 1), 0)) for i in range(3)]
    one, two = (
        depth_of(dense(photos, tmp_path / str(sizes), np.random.default_rng(1), parse({"depth": {"sizes": sizes}}), depth.stage), "1.png")
        for sizes in (1, 2)
    )
    assert (two.depth > 0).mean() > 1.1 * (one.depth > 0).mean()
    filled = np.where(one.depth > 0, np.nan, error(photos[1], two))
    assert 1e-4 < np.nanmedian(filled) < 0.02
    assert np.nanmedian(error(photos[1], two)) < 1.2 * np.nanmedian(error(photos[1], one))
