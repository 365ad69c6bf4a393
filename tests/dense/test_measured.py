"""A sensor's depth beside stereo's: which one stays, and how it gets into an undistorted view."""

from __future__ import annotations

import numpy as np
import pycolmap
import pytest

from recon.capture.depthimage import DepthImage
from recon.dense.measured import MeasuredDepth, undistorted, with_measured
from recon.dense.undistort import Undistorter
from recon.dense.view import DepthMap

SIZE = (48, 64)
SMALL = (24, 32)


def full(value: float, shape: tuple[int, int] = SIZE) -> np.ndarray:
    return np.full(shape, value, np.float32)


def sensor(depth: float, sigma: float = 0.01, sure: float = 1.0) -> MeasuredDepth:
    return MeasuredDepth(full(depth, SMALL), full(sigma, SMALL), full(sure, SMALL))


@pytest.mark.parametrize(
    ("stereo", "confidence", "measured", "kept"),
    [
        (0.0, 0.0, 2.0, 2.0),  # nothing: the sensor's
        (2.004, 0.5, 2.0, 2.004),  # both agree: stereo is the sharper one
        (2.5, 0.5, 2.0, 2.0),  # one pair against the sensor
        (2.5, 0.8, 2.0, 2.5),  # several pairs against it
        (2.5, 0.5, 0.0, 2.5),  # the sensor saw nothing
    ],
)
def test_which_depth_stays(stereo: float, confidence: float, measured: float, kept: float) -> None:
    before = DepthMap(full(stereo), full(confidence), np.eye(3))
    after = with_measured(before, sensor(measured), np.ones(SIZE, bool))
    np.testing.assert_allclose(after.depth, kept, rtol=1e-6)
    assert (before.depth == np.float32(stereo)).all()  # is not written to


@pytest.mark.parametrize(("focal_baseline", "kept"), [(1e6, 2.02), (100.0, 2.01), (1.0, 2.0)])
def test_both_are_averaged_by_precision(focal_baseline: float, kept: float) -> None:
    """The sensor's deviation is 1 cm: stereo's is far less, 2 cm of one pair and 1 cm of four, or far more."""
    stereo = DepthMap(full(2.02), full(0.8), np.eye(3))
    after = with_measured(stereo, sensor(2.0), np.ones(SIZE, bool), focal_baseline)
    np.testing.assert_allclose(after.depth, kept, atol=3e-4)
    certain = with_measured(DepthMap(full(2.0), full(1.0), np.eye(3)), sensor(2.0), np.ones(SIZE, bool), focal_baseline)
    np.testing.assert_allclose(certain.depth, 2.0)


def test_confidence_grows_by_agreement_and_falls_by_contradiction() -> None:
    stereo, usable = DepthMap(full(2.0), full(0.5), np.eye(3)), np.ones(SIZE, bool)
    alone = with_measured(DepthMap(full(0), full(0), np.eye(3)), sensor(2.0), usable).confidence[0, 0]
    both = with_measured(stereo, sensor(2.0), usable).confidence[0, 0]
    against = with_measured(stereo, sensor(3.0), usable).confidence[0, 0]
    unsure = with_measured(DepthMap(full(0), full(0), np.eye(3)), sensor(2.0, sure=0.5), usable).confidence[0, 0]
    assert against < unsure + 1e-6 < alone < both < 1


def test_masked_pixels_and_edges_get_no_depth() -> None:
    usable = np.ones(SIZE, bool)
    usable[:, :10] = False
    step = sensor(1.0)
    step.depth[:, 16:] = 2.0
    after = with_measured(DepthMap(full(0), full(0), np.eye(3)), step, usable).depth
    assert (after[:, :10] == 0).all()
    assert set(np.unique(after)) == {0.0, 1.0, 2.0}  # nothing between both sides


@pytest.mark.parametrize("model", ["SIMPLE_PINHOLE", "SIMPLE_RADIAL"])
def test_a_slanted_plane_comes_through_undistortion(model: str, rng: np.random.Generator) -> None:
    params = [600, 320, 240, -0.1][: 3 if model == "SIMPLE_PINHOLE" else 4]
    camera = pycolmap.Camera(model=model, width=640, height=480, params=params)
    undistorter = Undistorter(camera, 640)

    def plane(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Depth along z = 2 + 0.5 X of rays (N, 2) at z = 1."""
        return 2 / (1 - 0.5 * columns)

    u, v = np.meshgrid((np.arange(128) + 0.5) * 5, (np.arange(96) + 0.5) * 5)
    rays = camera.cam_from_img(np.column_stack([u.ravel(), v.ravel()]))
    truth = plane(*rays.T).reshape(96, 128).astype(np.float32)
    noisy = truth + rng.normal(0, 0.01, truth.shape).astype(np.float32)
    found = undistorted(DepthImage(noisy, np.full(truth.shape, 255, np.uint8)), undistorter, 3.0, 1.0)
    target = undistorter.camera
    fx, fy, cx, cy = target.params
    height, width = found.depth.shape
    x, y = np.meshgrid((np.arange(width) + 0.5) * target.width / width, (np.arange(height) + 0.5) * target.height / height)
    expected = 3.0 * plane((x - cx) / fx, (y - cy) / fy)
    known = found.depth > 0
    assert known.mean() > 0.9
    error = (found.depth / expected - 1)[known]
    assert abs(error.mean()) < 5e-4
    assert 5e-4 < error.std() < 0.004  # the noise is 0.5 % and less after smoothing
    assert found.sigma[known].min() > 0.03  # 3 units a metre
