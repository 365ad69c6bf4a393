"""The sides of a panorama look as pinhole cameras at its place would, and see the points that lie within them."""

import numpy as np
import pycolmap
import pytest

from recon.capture.panorama import nadir_mask
from recon.capture.records import ImageRecord, ImageSet
from recon.dense.covisibility import SparsePoints
from recon.dense.sides import FIELD_DEG, sides
from recon.dense.view import View
from recon.errors import InputError
from recon.simulate.cameras import look_at, pose
from recon.simulate.panorama import panorama_camera
from recon.simulate.render import render, sees
from recon.simulate.scenes import room_scene
from recon.simulate.write import truth_model
from recon.surface.photos import registered_photos

CAMERA = panorama_camera((640, 320))
CENTER = np.array([0.3, -0.4, 1.4])
AHEAD = CENTER + np.array([1.0, 0.4, -0.1])


def of_side(side, cam_from_world):
    return pycolmap.Rigid3d(pycolmap.Rotation3d(side.view_from_cam), np.zeros(3)) * cam_from_world


def test_each_side_is_the_picture_of_a_pinhole_camera():
    scene, cam_from_world = room_scene(0), pose(look_at(CENTER, AHEAD), CENTER)
    panorama, _ = render(scene, CAMERA, cam_from_world)
    for side in sides(CAMERA, 1000):
        expected = render(scene, side.camera, of_side(side, cam_from_world))[0].astype(float)
        found = side.image(panorama).astype(float)
        error, shifted = np.abs(found - expected).mean(), np.abs(found[:, 1:] - expected[:, :-1]).mean()
        assert 0.2 < error < 9.0, side.name  # the panorama is the coarser in its middle
        assert error < 0.75 * shifted, side.name


def test_sides_are_turns_of_one_camera_and_of_bounded_size():
    for side in sides(CAMERA, 100):
        np.testing.assert_allclose(side.view_from_cam @ side.view_from_cam.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(side.view_from_cam) == pytest.approx(1)
        assert (side.camera.width, side.camera.height) == (100, 100)
        assert 2 * np.degrees(np.arctan(50 / side.camera.params[0])) == pytest.approx(FIELD_DEG)


def test_what_is_straight_below_is_masked_in_the_lower_side_alone():
    masks = {side.name: side.mask(nadir_mask(640, 320, 30)) for side in sides(CAMERA, 1000)}
    assert {name for name, mask in masks.items() if mask is not None} == {"down"}
    away = np.hypot(*np.meshgrid(*[np.arange(len(masks["down"])) + 0.5 - len(masks["down"]) / 2] * 2))
    angle = np.degrees(np.arctan(away / sides(CAMERA, 1000)[0].camera.params[0]))
    assert (masks["down"][angle < 29.5] == 0).all()
    assert (masks["down"][angle > 31.5] == 255).all()
    with pytest.raises(InputError, match="320x160"):
        sides(CAMERA, 100)[0].image(np.zeros((160, 320, 3), np.uint8))


def test_a_side_sees_the_panoramas_points_that_lie_in_it(rng):
    scene, cam_from_world = room_scene(0), pose(look_at(CENTER, AHEAD), CENTER)
    xyz = CENTER + rng.normal(0, 1, (60, 3)) * 0.3
    uv, _ = sees(scene.raycaster, CAMERA, cam_from_world, xyz)
    assert np.isfinite(uv).all()  # behind, too
    model = truth_model(CAMERA, ["a", "b"], [cam_from_world] * 2, [uv, uv])
    for index, point in enumerate(xyz):
        track = pycolmap.Track()
        track.add_element(1, index)
        track.add_element(2, index)
        model.add_point3D(point, track)
    views = []
    for side in sides(CAMERA, 1000):
        at, camera = of_side(side, cam_from_world), side.camera
        K, R, t = camera.calibration_matrix(), at.rotation.matrix(), np.array(at.translation)
        views.append(View(f"a/{side.name}", None, None, camera.width, camera.height, K, R, t, part_of="a"))
    points = SparsePoints.read(model, views)
    for view, seen in zip(views, points.seen, strict=True):
        in_view = points.xyz @ view.R.T + view.t
        tangent = np.abs(in_view[:, :2] / in_view[:, 2:]).max(1)
        inside = (in_view[:, 2] > 0) & (tangent < np.tan(np.radians(FIELD_DEG / 2)))
        assert set(seen) == set(np.flatnonzero(inside))
    assert len(set(np.concatenate(points.seen))) == len(xyz)


def test_a_panorama_lends_its_colours_through_its_views(tmp_path):
    cam_from_world = pose(look_at(CENTER, AHEAD), CENTER)
    model = truth_model(CAMERA, ["a"], [cam_from_world])
    record = ImageRecord(
        name="a", file="select/0/a", source="a", sha256="", width=640, height=320, camera="c", projection="equirectangular", sharpness=0.7
    )
    views = []
    for side in sides(CAMERA, 100)[:2]:
        at = of_side(side, cam_from_world)
        K, R, t = side.camera.calibration_matrix(), at.rotation.matrix(), np.array(at.translation)
        views.append(View(f"a/{side.name}", tmp_path / side.name, None, 100, 100, K, R, t, part_of="a"))
    photos = registered_photos(model, ImageSet([record], {}), views)
    assert [photo.name for photo in photos] == ["a/front", "a/right"]
    assert [photo.camera.model_name for photo in photos] == ["PINHOLE", "PINHOLE"]
    seen = photos[0].project(np.array([AHEAD, CENTER - (AHEAD - CENTER)]), 100)
    np.testing.assert_allclose(seen[0], [50, 50], atol=1e-6)
    assert np.isnan(seen[1]).all()
    np.testing.assert_allclose([photo.center for photo in photos], [CENTER] * 2, atol=1e-12)
