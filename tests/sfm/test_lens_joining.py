"""Lens models by what the residuals say; models joined through the points that they share."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from recon.features.store import Features
from recon.matchers.store import PairMatches
from recon.sfm.colours import colour_points
from recon.sfm.joining import NO_POINT, join_models, point_ids, register_left_over
from recon.sfm.lens import choose_lens
from recon.sfm.refine import Adjustment, adjust, refine

ADJUSTMENT = Adjustment(4.0, 1.5, False, 0, 1)
FIXED = Adjustment(4.0, 1.5, True, 0, 1)


def scene(database: Path, images: int, model: str, params: list[float], noise_px: float) -> pycolmap.Reconstruction:
    """A synthetic model and its database; the seed is fixed."""
    pycolmap.set_random_seed(4)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, images, 400
    options.camera_model_id, options.camera_params = getattr(pycolmap.CameraModelId, model), params
    noise = pycolmap.SyntheticNoiseOptions()
    noise.point2D_stddev = noise_px
    with pycolmap.Database.open(database) as opened:
        truth = pycolmap.synthesize_dataset(options, opened)
        if noise_px:
            pycolmap.synthesize_noise(noise, truth, opened)
    return truth


def cache_of(database: Path) -> pycolmap.DatabaseCache:
    with pycolmap.Database.open(database) as opened:
        return pycolmap.DatabaseCache.create(opened, pycolmap.DatabaseCacheOptions())


def ground(images: int, model: str, params: list[float], noise_px: float) -> pycolmap.Reconstruction:
    """A model whose points fill the images to their corners, seen from above at places a step apart."""
    rng = np.random.default_rng(8)
    found = pycolmap.Reconstruction()
    camera = pycolmap.Camera(camera_id=1, model=model, width=1024, height=768, params=params)
    found.add_camera_with_trivial_rig(camera)
    xyz = np.column_stack([rng.uniform(-9, 9, (600, 2)), rng.uniform(0, 2, 600)])
    tracks = [pycolmap.Track() for _ in xyz]
    for number in range(images):
        turn = pycolmap.Rotation3d(np.array([np.pi, 0.0, 0.0])) * pycolmap.Rotation3d(rng.uniform(-0.1, 0.1, 3))
        center = np.array([1.2 * (number % 3) - 1.2, 1.2 * (number // 3) - 1.2, 8 + 0.5 * (number % 2)])
        pose = pycolmap.Rigid3d(turn, -(turn.matrix() @ center))
        pixels = camera.img_from_cam(pose * xyz)
        inside = np.flatnonzero((pixels > 0).all(1) & (pixels < (1024, 768)).all(1))
        noisy = pixels[inside] + rng.normal(0, noise_px, (len(inside), 2))
        image = pycolmap.Image(name=f"{number}", camera_id=1, image_id=number + 1)
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D(xy) for xy in noisy])
        found.add_image_with_trivial_frame(image, pose)
        for index, point in enumerate(inside):
            tracks[point].add_element(number + 1, index)
    for point, track in zip(xyz, tracks, strict=True):
        if track.length() >= 2:
            found.add_point3D(point, track)
    return found


def simplified(truth: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """The model after adjustment with a lens of one distortion parameter."""
    model = copy.deepcopy(truth)
    camera = model.camera(1)
    camera.model, camera.params = pycolmap.CameraModelId.SIMPLE_RADIAL, [camera.mean_focal_length(), 512, 384, 0.0]
    adjust(model, ADJUSTMENT, last=True)
    model.update_point_3d_errors()
    return model


@pytest.mark.parametrize("noise_px", [0.2, 0.5])
def test_a_lens_that_needs_two_parameters_gets_them(noise_px: float) -> None:
    model = simplified(ground(8, "RADIAL", [800, 512, 384, -0.2, 0.15], noise_px))
    before = model.compute_mean_reprojection_error()
    assert choose_lens(model, ADJUSTMENT)
    camera = model.camera(1)
    assert camera.model_name == "RADIAL"
    assert abs(camera.params[3] + 0.2) < 0.03
    assert abs(camera.params[4] - 0.15) < 0.05
    assert 0.5 * noise_px < model.compute_mean_reprojection_error() < 0.98 * before


def test_a_simple_lens_stays_simple() -> None:
    model = simplified(ground(8, "SIMPLE_RADIAL", [800, 512, 384, -0.1], 0.5))
    kept = list(model.camera(1).params)
    assert not choose_lens(model, ADJUSTMENT)
    assert model.camera(1).model_name == "SIMPLE_RADIAL"
    assert list(model.camera(1).params) == kept


def test_an_axis_beside_the_middle_is_found() -> None:
    """Else the focal length bends, and with it the heights of what is seen from above."""
    truth = ground(8, "SIMPLE_RADIAL", [800, 530, 372, -0.1], 0.1)
    model = simplified(truth)
    camera = model.camera(1)
    camera.params = [800, 512, 384, -0.1]
    assert choose_lens(model, ADJUSTMENT)
    np.testing.assert_allclose(camera.params[:3], truth.camera(1).params[:3], atol=1.0)


def test_a_stated_axis_stays() -> None:
    model = simplified(ground(8, "SIMPLE_RADIAL", [800, 530, 372, -0.1], 0.1))
    model.camera(1).params = [800, 513, 384, -0.1]
    choose_lens(model, ADJUSTMENT)
    assert (model.camera(1).principal_point_x, model.camera(1).principal_point_y) == (513, 384)


@pytest.mark.parametrize("params", [[380, 512, 384, 0.0], [420, 512, 384, -0.02]])
def test_a_wide_lens_without_a_fisheyes_distortion_is_no_fisheye(params: list[float]) -> None:
    model = simplified(ground(9, "SIMPLE_RADIAL", params, 0.5))
    assert not choose_lens(model, ADJUSTMENT)


@pytest.mark.parametrize("k1", [0.0, 0.04])
def test_a_fisheye_is_found_from_a_model_that_hardly_fits(k1: float) -> None:
    truth = ground(9, "OPENCV_FISHEYE", [400, 400, 512, 384, k1, -0.01, 0.0, 0.0], 0.5)
    model = simplified(truth)
    before = model.compute_mean_reprojection_error()
    assert choose_lens(model, ADJUSTMENT)
    camera = model.camera(1)
    assert camera.model_name == "OPENCV_FISHEYE"
    rays = truth.camera(1).cam_from_img(np.array([[60.0, 384.0], [512.0, 40.0], [900.0, 700.0]]))
    seen = camera.img_from_cam(np.column_stack([rays, np.ones(3)]))
    expected = truth.camera(1).img_from_cam(np.column_stack([rays, np.ones(3)]))
    assert 1e-3 < np.abs(seen - expected).max() < 4.0  # the scale of the focal length is known to about a per cent
    assert 0.25 < model.compute_mean_reprojection_error() < 0.9 * before


def test_a_camera_of_few_images_keeps_its_lens() -> None:
    assert not choose_lens(simplified(ground(4, "RADIAL", [800, 512, 384, -0.2, 0.15], 0.2)), ADJUSTMENT)


def part(truth: pycolmap.Reconstruction, keep: range, transform: pycolmap.Sim3d | None = None) -> pycolmap.Reconstruction:
    """The model of some of the images alone, in a frame of its own."""
    model = copy.deepcopy(truth)
    for image in truth.images.values():
        if image.image_id not in keep:
            model.deregister_frame(image.frame_id)
    if transform:
        model.transform(transform)
    return model


def true_matches(truth: pycolmap.Reconstruction) -> list[PairMatches]:
    """Keypoints of each two images that see one point."""
    ids = point_ids(truth)
    nothing = np.zeros((3, 3))
    pairs = []
    names = sorted(ids)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            common, a, b = np.intersect1d(ids[first], ids[second], return_indices=True)
            matches = np.column_stack([a, b])[common != NO_POINT].astype(np.uint32)
            pairs.append(PairMatches(first, second, matches, len(matches), 2, nothing, nothing, nothing, np.full((3, 4), np.nan), 5.0))
    return pairs


ELSEWHERE = pycolmap.Sim3d(3.0, pycolmap.Rotation3d(np.array([0.3, -0.8, 0.2])), np.array([5.0, -2.0, 7.0]))


@pytest.mark.parametrize("second", [range(5, 11), range(7, 11)], ids=["common images", "matches alone"])
@pytest.mark.parametrize(("noise_px", "low", "high"), [(0.0, 0.0, 1e-6), (0.5, 1e-6, 0.02)])
def test_models_that_see_the_same_points_become_one(tmp_path: Path, second: range, noise_px: float, low: float, high: float) -> None:
    truth = scene(tmp_path / "a.db", 10, "SIMPLE_RADIAL", [900, 512, 384, 0.0], noise_px)
    best, other, cache = part(truth, range(1, 7)), part(truth, second, ELSEWHERE), cache_of(tmp_path / "a.db")
    assert join_models(best, [other], cache, true_matches(truth), FIXED)
    assert best.num_reg_images() == 10
    refine(best, cache, FIXED)
    assert best.num_reg_images() == 10
    common = pycolmap.compare_reconstructions(best, truth, alignment_error="proj_center")
    errors = [error.proj_center_error for error in common["errors"]]
    assert low <= max(errors) < high


def test_models_that_share_nothing_stay_apart(tmp_path: Path) -> None:
    truth = scene(tmp_path / "a.db", 10, "SIMPLE_RADIAL", [900, 512, 384, 0.0], 0.0)
    best, other = part(truth, range(1, 7)), part(truth, range(7, 11), ELSEWHERE)
    assert not join_models(best, [other], cache_of(tmp_path / "a.db"), [], FIXED)
    chance = [
        PairMatches(
            *(p.name1, p.name2, np.column_stack([p.matches[:, 0], p.matches[::-1, 1]]), p.raw, 2, p.F, p.E, p.H, p.cam2_from_cam1, 5.0)
        )
        for p in true_matches(truth)
    ]
    assert not join_models(best, [other], cache_of(tmp_path / "a.db"), chance, FIXED)
    assert best.num_reg_images() == 6


def test_images_left_over_are_registered(tmp_path: Path) -> None:
    truth = scene(tmp_path / "a.db", 8, "SIMPLE_RADIAL", [900, 512, 384, 0.0], 0.3)
    model = part(truth, range(1, 7))
    assert register_left_over(model, cache_of(tmp_path / "a.db"), FIXED)
    assert model.num_reg_images() == 8
    assert not register_left_over(model, cache_of(tmp_path / "a.db"), FIXED)


def test_points_get_the_mean_colour_of_their_observations(tmp_path: Path) -> None:
    truth = scene(tmp_path / "a.db", 4, "SIMPLE_RADIAL", [900, 512, 384, 0.0], 0.0)
    features = {}
    for image in truth.images.values():
        count = image.num_points2D()
        grey = np.full((count, 3), 10 * image.image_id, np.uint8)
        features[image.name] = Features(np.zeros((count, 4), np.float32), np.zeros((count, 128), np.uint8), grey)
    colour_points(truth, features)
    for point in truth.points3D.values():
        expected = np.mean([10 * element.image_id for element in point.track.elements])
        assert abs(float(point.color[0]) - expected) <= 0.5
