"""Photos: where points lie in them, and which points don't."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from painted import CAMERA, grid, look_at, mesh_of, take_photos

from recon.capture.pixels import write_png
from recon.errors import InputError
from recon.surface.photos import Photo

EYE = np.array([0.5, -2.0, 1.5])


def photo(tmp_path, camera=CAMERA):
    R = look_at(EYE, np.zeros(3))
    return Photo("a.png", tmp_path / "a.png", None, camera, R, -R @ EYE, 1.0)


def test_projection_is_the_lens_model_at_any_size(tmp_path, rng):
    xyz = rng.uniform(-0.4, 0.4, (50, 3))
    one = photo(tmp_path)
    in_cam = xyz @ one.R.T + one.t
    expected = CAMERA.img_from_cam(in_cam)
    np.testing.assert_allclose(one.project(xyz, 10_000), expected, atol=1e-9)
    np.testing.assert_allclose(one.project(xyz, 320), expected / 2, atol=1e-9)
    np.testing.assert_allclose(one.center, EYE, atol=1e-12)


def test_points_behind_or_beside_are_not_seen(tmp_path):
    one = photo(tmp_path)
    behind, beside = 2 * EYE, np.array([4.0, 0.0, 0.0])
    at = one.project(np.array([behind, beside, np.zeros(3)]), 640)
    np.testing.assert_array_equal(np.isfinite(at).all(axis=1), [False, False, True])


def test_rays_that_strong_distortion_folds_into_the_picture_are_not_seen(tmp_path):
    barrel = pycolmap.Camera(model="SIMPLE_RADIAL", width=640, height=480, params=[300, 320, 240, -0.25], camera_id=1)
    far = np.array([[1.9, 0.0, 1.0]])
    inside = barrel.img_from_cam(far)[0]
    assert 0 < inside[0] < 640  # the model alone says it is in the picture
    one = Photo("a", tmp_path / "a", None, barrel, np.eye(3), np.zeros(3), 1.0)
    assert np.isnan(one.project(far, 640)).all()
    assert np.isfinite(one.project(np.array([[0.3, 0.1, 1.0]]), 640)).all()


def test_no_points_are_no_pixels(tmp_path):
    assert photo(tmp_path).project(np.zeros((0, 3)), 640).shape == (0, 2)


def test_pixels_of_another_size_than_the_camera_are_refused(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((100, 100, 3), np.uint8))
    with pytest.raises(InputError, match=r"100x100 pixels where its camera says 640x480"):
        photo(tmp_path).pixels(640)


def test_pixels_and_projection_agree_at_a_smaller_size(tmp_path):
    mesh = mesh_of(*grid(4))
    one = take_photos(tmp_path, mesh, [(look_at(EYE, np.zeros(3)), EYE)], samples=1)[0]
    for size in (640, 301, 100):
        height, width = one.pixels(size).shape[:2]
        assert (width, height) == one.size(size)
        assert max(width, height) == size
    assert replace(one, mask_path=None).mask(100) is None
