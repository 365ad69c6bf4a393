"""The scenes that are hard for dense matching, and how holes in a cloud are measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from recon.capture.pixels import read_rgb
from recon.config import Config
from recon.dense.view import View
from recon.evaluate.clouds import Surface
from recon.evaluate.holes import gsd, hole_width
from recon.simulate.trials import TRIALS, WALL, material_at, write_trial
from recon.stage import Inputs, Work
from recon.stages import undistort

SIZE = (160, 120)


@pytest.fixture(scope="module")
def plain_wall(tmp_path_factory: pytest.TempPathFactory) -> tuple[Inputs, pycolmap.Reconstruction]:
    inputs = write_trial(TRIALS["plain wall"](), tmp_path_factory.mktemp("trial"), SIZE)
    return inputs, pycolmap.Reconstruction(inputs["georef"][0] / "model")


def views_of_model(model: pycolmap.Reconstruction) -> list[View]:
    K = model.cameras[1].calibration_matrix()
    poses = [image.cam_from_world() for image in model.images.values()]
    return [View("", Path(), None, *SIZE, K, pose.rotation.matrix(), np.array(pose.translation)) for pose in poses]


def test_stages_read_a_trial_and_no_sparse_point_lies_where_nothing_is_seen(
    plain_wall: tuple[Inputs, pycolmap.Reconstruction], tmp_path: Path
) -> None:
    inputs, model = plain_wall
    undistort.stage.run(Config(), inputs, undistort.stage.split(Config(), inputs)[0], tmp_path, Work())
    assert len(list((tmp_path / "images").iterdir())) == 5  # of ten views, in two blocks
    assert model.num_reg_images() == 10
    xyz = np.array([point.xyz for point in model.points3D.values()])
    trial = TRIALS["plain wall"]()
    assert len(xyz) > 500
    assert not np.isin(material_at(trial.scene, xyz), trial.plain).any()
    assert set(material_at(trial.scene, xyz)) == {0, 2, 3, 4, 5}


def test_the_ground_sampling_distance_is_that_of_the_nearest_camera(plain_wall: tuple[Inputs, pycolmap.Reconstruction]) -> None:
    views = views_of_model(plain_wall[1])
    xyz = np.array([[0.0, 0.0, 1.0], [0.0, -2.0, 1.0]])
    nearest = [min(np.linalg.norm(view.center - point) for view in views) for point in xyz]
    np.testing.assert_allclose(gsd(xyz, views), np.array(nearest) / (0.9 * SIZE[0]))


@pytest.mark.parametrize("side_m", [0.0, 0.4, 0.8])
def test_the_width_of_a_hole_is_measured(side_m: float, plain_wall: tuple[Inputs, pycolmap.Reconstruction]) -> None:
    _, model = plain_wall
    trial = TRIALS["plain wall"]()
    truth = Surface(trial.scene.vertices, trial.scene.faces, np.zeros((1, 3)))
    a, b = np.meshgrid(np.linspace(-3, 3, 600), np.linspace(0, 2.6, 260))
    xyz = np.column_stack([a.ravel(), np.zeros(a.size), b.ravel()])
    hole = (np.abs(xyz[:, 0]) < side_m / 2) & (np.abs(xyz[:, 2] - 1.0) < side_m / 2)
    views = views_of_model(model)
    # centres of discs are tried on a grid of 6 cm, two pixels
    assert side_m - 0.06 <= hole_width(WALL, xyz[~hole], truth, views, model) <= side_m + 0.03


def test_a_highlight_moves_over_a_polished_slab(tmp_path: Path) -> None:
    trial = TRIALS["specular"]()
    inputs = write_trial(trial, tmp_path, SIZE)
    files = sorted((inputs["ingest"][0] / "images").iterdir())
    white = [np.argwhere(read_rgb(file).min(2) > 245) for file in files]
    seen = [pixels.mean(0) for pixels in white if len(pixels) > 5]
    assert len(seen) >= 2
    assert np.ptp(np.array(seen), axis=0).max() > 3
