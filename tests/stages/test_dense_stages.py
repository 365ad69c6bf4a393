"""undistort, depth and fuse on a simulated flight whose depth is known exactly."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
from exact_flight import Flight, make_flight

from recon.config import Config
from recon.dense.view import DepthMap, Points, View, read_views
from recon.errors import MissingPart, NoSurface
from recon.simulate.render import render_depth
from recon.stage import Inputs, Stage, Work
from recon.stages import depth as depth_stage
from recon.stages.depth import stage as depth
from recon.stages.fuse import stage as fuse
from recon.stages.undistort import stage as undistort

CONFIG = Config()


def run(stage: Stage, inputs: Inputs, root: Path, threads: int = 1) -> Inputs:
    folders = []
    for number, shard in enumerate(stage.split(CONFIG, inputs)):
        folder = root / stage.name / str(number)
        folder.mkdir(parents=True)
        stage.run(CONFIG, inputs, shard, folder, Work(threads=threads))
        folders.append(folder)
    return {**inputs, stage.name: tuple(folders)}


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Flight:
    return make_flight(tmp_path_factory.mktemp("flight"))


@pytest.fixture(scope="module")
def dense(flight: Flight, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    root = tmp_path_factory.mktemp("dense")
    return run(fuse, run(depth, run(undistort, flight.inputs, root), root), root)


def true_depth(flight: Flight, name: str) -> NDArray[np.float32]:
    image = next(image for image in flight.model.images.values() if image.name == name)
    return render_depth(flight.plan.scene, flight.plan.camera, image.cam_from_world())


def maps(inputs: Inputs) -> dict[str, DepthMap]:
    return {
        file.relative_to(folder / "depth").as_posix()[:-4]: DepthMap.load(file)
        for folder in inputs["depth"]
        for file in sorted((folder / "depth").rglob("*.npz"))
    }


def test_undistorted_views_are_the_cameras_of_the_model(flight: Flight, dense: Inputs) -> None:
    views = {view.name: view for view in read_views(dense)}
    assert len(views) == 8
    for image in flight.model.images.values():
        view = views[image.name]
        np.testing.assert_allclose(view.center, image.projection_center(), atol=1e-9)
        xyz = np.array([point.xyz for point in flight.model.points3D.values()][:20])
        pixels = (xyz @ view.R.T + view.t) @ view.K.T
        expected = flight.plan.camera.img_from_cam(image.cam_from_world() * xyz)
        np.testing.assert_allclose(pixels[:, :2] / pixels[:, 2:], expected * [view.width / 400, view.height / 300], atol=0.6)


def test_depth_is_close_to_the_truth_and_covers_most_of_it(flight: Flight, dense: Inputs) -> None:
    errors, known = [], []
    for name, found in maps(dense).items():
        truth = true_depth(flight, name)
        assert found.depth.shape == truth.shape
        both = (found.depth > 0) & (truth > 0)
        known.append(both.sum() / (truth > 0).sum())
        errors.append(np.abs(found.depth - truth)[both] / truth[both])
    error = np.concatenate(errors)
    assert 1e-5 < np.median(error) < 0.004
    assert np.percentile(error, 90) < 0.02
    assert np.mean(known) > 0.6


def test_points_lie_on_the_surface_and_say_how_sure_they_are(flight: Flight, dense: Inputs) -> None:
    import open3d

    points = Points.concatenate([Points.load(folder / "points.npz") for folder in dense["fuse"]])
    assert len(points.xyz) > 20_000
    off = flight.plan.scene.raycaster.compute_distance(open3d.core.Tensor(points.xyz)).numpy()
    size = float(np.linalg.norm(np.ptp(points.xyz, axis=0)))
    assert np.percentile(off, 90) < 0.004 * size
    np.testing.assert_allclose(np.linalg.norm(points.normal, axis=1), 1, atol=1e-3)
    assert (points.normal[:, 2] > 0).mean() > 0.95  # a drone sees surfaces from above
    assert 2 <= points.views.min() <= CONFIG.fuse.min_views
    assert 0.1 < np.median(off) / np.median(points.sigma) < 10
    assert ((points.confidence > 0) & (points.confidence <= 1)).all()


def test_the_result_is_the_same_to_the_byte_on_one_thread_and_on_two(dense: Inputs, tmp_path: Path) -> None:
    again = run(fuse, run(depth, {k: dense[k] for k in ("ingest", "select", "georef", "undistort")}, tmp_path, 2), tmp_path, 2)
    for before, after in zip([*dense["depth"], *dense["fuse"]], [*again["depth"], *again["fuse"]], strict=True):
        files = sorted(path.relative_to(before) for path in before.rglob("*") if path.is_file())
        assert files
        for file in files:
            assert (before / file).read_bytes() == (after / file).read_bytes()


def test_views_from_one_spot_are_told_in_words(flight: Flight, dense: Inputs) -> None:
    wide = Config.model_validate({"depth": {"min_angle_deg": 89, "max_angle_deg": 90}})
    with pytest.raises(NoSurface, match=r"no two of the 8 views .* 89 to 90 degrees apart\. Move sideways"):
        depth.split(wide, dense)


def test_cuda_without_a_device_is_told_in_words(dense: Inputs, tmp_path: Path) -> None:
    cuda = Config.model_validate({"depth": {"method": "cuda"}})
    with pytest.raises(MissingPart, match="no CUDA device"):
        depth.run(cuda, dense, depth.split(cuda, dense)[0], tmp_path, Work())


def test_cuda_takes_its_sources_from_the_views_of_its_own_pairs(dense: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from recon.dense import patchmatch

    asked = []

    def no_device(views: list[View], model: object, block: list[int], sources: list[list[int]], *rest: object) -> dict[int, DepthMap]:
        asked.append((block, sources))
        return {i: DepthMap(np.ones((3, 4), np.float32), np.ones((3, 4), np.float32), views[i].K) for i in block}

    monkeypatch.setattr(patchmatch, "patchmatch_depths", no_device)
    monkeypatch.setattr(depth_stage, "SHARD_VIEWS", 2)
    for number, shard in enumerate(depth.split(CONFIG, dense)):
        depth.run(CONFIG, dense, shard, tmp_path / str(number), Work(device="cuda:0"))
        block, sources = asked[-1]
        near = {view for pair in shard["pairs"] for view in pair}
        assert block == shard["views"]
        assert all(len(sources[i]) >= 2 and set(sources[i]) <= near - {i} for i in block)
        assert not any(sources[i] for i in range(8) if i not in near)  # views elsewhere were not even read
