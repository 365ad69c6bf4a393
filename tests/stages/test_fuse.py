"""fuse: points on the surface, each once, with honest normals, colours and errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from relief import HEIGHT, Photo, hits, looking_down, pinhole, surface_distance, write_capture

from recon.capture.records import read_json
from recon.config import Config, parse
from recon.dense import fused, fusion
from recon.dense.view import DepthMap, Points, read_points, read_views
from recon.errors import NoSurface
from recon.stage import Inputs, Stage, Work
from recon.stages import depth, fuse, undistort


def run(stage: Stage, config: Config, inputs: Inputs, root: Path, work: Work | None = None) -> Inputs:
    folders = []
    for index, shard in enumerate(stage.split(config, inputs)):
        folder = root / stage.name / str(index)
        folder.mkdir(parents=True)
        stage.run(config, inputs, shard, folder, work or Work())
        folders.append(folder)
    return {**inputs, stage.name: tuple(folders)}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Depth of six views, three by two, over the relief."""
    root = tmp_path_factory.mktemp("grid")
    photos = [Photo(f"{i}.png", pinhole(), looking_down(1.5 * (i % 3 - 1), 1.5 * (i // 3) - 0.75)) for i in range(6)]
    inputs = run(undistort.stage, Config(), write_capture(root, photos, np.random.default_rng(3)), root)
    return run(depth.stage, Config(), inputs, root)


@pytest.fixture(scope="module")
def points(grid: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Points:
    return read_points(run(fuse.stage, Config(), grid, tmp_path_factory.mktemp("fused")))


def test_points_are_the_same_however_many_threads_make_them(grid: Inputs, points: Points, tmp_path: Path) -> None:
    changing = iter([1, 3, 2] * 1000)
    other = read_points(run(fuse.stage, Config(), grid, tmp_path, Work(cores_left=lambda: next(changing))))
    for name, values in vars(points).items():
        np.testing.assert_array_equal(getattr(other, name), values, err_msg=name)


def test_points_lie_on_the_surface(points: Points) -> None:
    away = np.abs(surface_distance(points.xyz))
    wall = np.abs(np.abs(points.xyz[:, :2]).max(1) - 2.0) < 0.15  # the plateau's walls are in no picture
    assert 1e-3 < np.median(away[~wall]) < 0.02  # a pixel of disparity between neighbours is 0.2
    assert np.percentile(away[~wall], 95) < 0.1


def test_normals_point_up(points: Points) -> None:
    np.testing.assert_allclose(np.linalg.norm(points.normal, axis=1), 1, atol=1e-5)
    assert np.median(points.normal[:, 2]) > 0.97
    assert (points.normal[:, 2] > 0).mean() > 0.99


def test_a_surface_point_is_made_once(points: Points) -> None:
    middle = (np.abs(points.xyz[:, :2]) < 1.5).all(1)  # on the plateau, seen by all six views
    pixel = (HEIGHT - 1.5) / 320
    expected = (3.0 / pixel) ** 2 / 1.01
    assert 0.75 * expected < middle.sum() < 1.35 * expected


def test_colours_are_those_of_the_pictures(points: Points) -> None:
    # the paint is red over green over blue, everywhere in the same ratio around 120
    assert 112 < points.rgb.mean() < 132
    red, blue = points.rgb[:, 0].astype(float) - 120, points.rgb[:, 2].astype(float) - 120
    assert 0.6 < (red @ blue) / (red @ red) < 0.8


def true_depth(view: int) -> NDArray[np.float64]:
    return hits(pinhole(), looking_down(1.5 * (view % 3 - 1), 1.5 * (view // 3) - 0.75))[1]


def test_the_stated_error_is_that_along_the_ray(grid: Inputs, tmp_path: Path) -> None:
    errors = []
    (shard,) = fuse.split(Config(), grid)
    for view, others in zip(shard["views"], shard["neighbours"], strict=True):
        out = tmp_path / str(view)
        out.mkdir()
        fuse.run(Config(), grid, {"views": [view], "neighbours": [others], "shards": 6}, out, Work())
        found, pose = Points.load(out / "points.npz"), read_views(grid)[view]
        in_cam = found.xyz @ pose.R.T + pose.t
        column, row = np.floor(in_cam[:, :2] / in_cam[:, 2:] @ pose.K[:2, :2].T + pose.K[:2, 2]).astype(int).T
        true = true_depth(view)[row, column]
        errors.append((in_cam[:, 2] / true - 1) * np.linalg.norm(in_cam, axis=1) / found.sigma)
    ratio = np.abs(np.concatenate(errors))
    assert 0.63 < (ratio < 1).mean() < 0.80
    assert 0.90 < (ratio < 2).mean() < 0.99


def test_confidence_is_the_chance_to_be_right(points: Points) -> None:
    right = np.abs(surface_distance(points.xyz)) < 2 * (HEIGHT - points.xyz[:, 2]) / 320
    doubtful, fair, sure = (
        right[(points.confidence >= low) & (points.confidence < high)] for low, high in ((0, 0.8), (0.8, 0.95), (0.95, 2))
    )
    assert min(len(doubtful), len(fair), len(sure)) > 300
    assert 0.7 < doubtful.mean() < fair.mean() <= sure.mean()
    assert sure.mean() > 0.995
    assert ((points.confidence > 0) & (points.confidence <= 1)).all()


def test_two_views_do_only_where_they_are_precise(grid: Inputs, points: Points, tmp_path: Path) -> None:
    pairs = points.views == 2
    assert 0 < pairs.mean() < 0.2
    assert points.confidence[pairs].min() >= 0.75
    strict = read_points(run(fuse.stage, parse({"fuse": {"pair_confidence": 1}}), grid, tmp_path))
    assert strict.views.min() == 3
    assert len(strict.xyz) < len(points.xyz)


def test_points_do_not_depend_on_the_bands(grid: Inputs, points: Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "BAND_PX", 5000)
    monkeypatch.setattr(fused, "BAND_PX", 3000)
    done = run(fuse.stage, Config(), grid, tmp_path)
    banded = read_points(done)
    for name, array in vars(points).items():
        np.testing.assert_array_equal(getattr(banded, name), array)
    assert sorted(file.name for file in done["fuse"][0].iterdir()) == ["fuse.json", "points.npz"]


def test_points_do_not_depend_on_the_blocks(grid: Inputs, points: Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuse, "SHARD_VIEWS", 2)
    parts = run(fuse.stage, Config(), grid, tmp_path)
    assert len(parts["fuse"]) == 4
    apart = {tuple(row) for row in read_points(parts).xyz}
    together = {tuple(row) for row in points.xyz}
    # all but a few that have too few neighbours of their own block
    assert len(apart - together) == 0
    assert len(together - apart) < 0.01 * len(together)


def test_a_lie_of_one_view_is_not_believed(grid: Inputs, points: Points, tmp_path: Path) -> None:
    folder = tmp_path / "depth" / "0"
    for file in sorted((grid["depth"][0] / "depth").iterdir()):
        found = DepthMap.load(file)
        if file.name == "1.png.npz":
            found.depth[100:140, 100:140] = 6.0
        found.save(folder / "depth" / file.name)
    lied = read_points(run(fuse.stage, Config(), {**grid, "depth": (folder,)}, tmp_path))
    assert lied.xyz[:, 2].max() < 2.5  # the lie hangs at 4
    assert len(lied.xyz) > 0.97 * len(points.xyz)


def test_two_views_are_enough_where_there_are_no_more(tmp_path: Path, rng: np.random.Generator) -> None:
    photos = [Photo(f"{i}.png", pinhole(), looking_down(1.6 * i, 0)) for i in range(2)]
    inputs = run(depth.stage, Config(), run(undistort.stage, Config(), write_capture(tmp_path, photos, rng), tmp_path), tmp_path)
    done = run(fuse.stage, Config(), inputs, tmp_path)
    assert (read_points(done).views == 2).all()
    told = read_json(done["fuse"][0] / "fuse.json")
    assert told["points"] > 30_000
    assert "2 views" in str(told["warnings"])


def test_no_agreement_is_told_in_words(grid: Inputs, tmp_path: Path) -> None:
    with pytest.raises(NoSurface, match="more photos"):
        run(fuse.stage, parse({"fuse": {"max_depth_error": 1e-12}}), grid, tmp_path)
