import cv2
import numpy as np
import open3d
import pycolmap
import pytest

from recon.simulate.cameras import Trajectory, look_at, orbit, pose
from recon.simulate.kinds import unproject
from recon.simulate.render import render, render_depth, render_linear, render_moving, row_times, sees
from recon.simulate.scenes import object_scene
from recon.simulate.sensors import make_camera, to_srgb

SIZE = (160, 120)


@pytest.fixture(scope="module")
def scene():
    return object_scene(3)


@pytest.fixture(scope="module")
def cam_from_world():
    center = np.array([0.3, -1.6, 1.1])
    return pose(look_at(center, np.array([0, 0, 0.5]), roll_deg=7), center)


@pytest.mark.parametrize(
    ("distortion", "fisheye"), [((), False), ((-0.08,), False), ((-0.1, 0.02, 1e-3, -2e-3), False), ((0.03, -0.01, 0, 0), True)]
)
def test_depth_and_projection_agree(scene, cam_from_world, distortion, fisheye):
    camera = make_camera(SIZE, 0.6, distortion, fisheye)
    depth = render_depth(scene, camera, cam_from_world)
    xyz = unproject(camera, cam_from_world, depth)
    v, u = np.nonzero(depth)
    in_cam = cam_from_world * xyz
    assert np.abs(camera.img_from_cam(in_cam) - np.stack([u + 0.5, v + 0.5], 1)).max() < 1e-3
    assert np.abs(in_cam[:, 2] - depth[v, u]).max() < 1e-6
    assert len(xyz) > 0.9 * depth.size
    away = scene.raycaster.compute_distance(open3d.core.Tensor(xyz.astype(np.float32))).numpy()
    assert away.max() < 1e-3


def test_a_pixel_sees_what_is_projected_into_it(scene, cam_from_world):
    """The first pixel's centre is at (0.5, 0.5): half a pixel off, and a step in depth would be missed."""
    camera = make_camera(SIZE, 0.6)
    depth = render_depth(scene, camera, cam_from_world)
    doubled = pycolmap.Camera(camera.todict())
    doubled.rescale(2 * SIZE[0], 2 * SIZE[1])
    fine = render_depth(scene, doubled, cam_from_world)
    # the centre of a coarse pixel is the corner of four fine ones
    corners = np.sort(np.stack([fine[::2, ::2], fine[1::2, ::2], fine[::2, 1::2], fine[1::2, 1::2]]), axis=0)
    smooth = corners[3] - corners[0] < 0.05
    assert smooth.mean() > 0.8
    assert np.abs(depth - corners.mean(0))[smooth].mean() < 1e-3


def test_samples_converge_without_aliasing(scene, cam_from_world):
    camera = make_camera(SIZE, 0.75)
    few, many = (to_srgb(render_linear(scene, camera, cam_from_world, n)).astype(float) for n in (4, 64))
    error = np.abs(few - many).mean()
    assert 0.01 < error < 2.5
    assert many.std() > 20


def test_keypoints_repeat_between_views(scene):
    camera = make_camera((480, 360), 0.75)
    path = orbit(10, 1.65, 1.15, 60, np.array([0, 0, 0.5]))
    (first, depth), (second, _) = (render(scene, camera, path.pose(t)) for t in (4.8, 5.4))
    sift = cv2.SIFT_create(contrastThreshold=0.02)
    (kp1, d1), (kp2, d2) = (sift.detectAndCompute(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), None) for rgb in (first, second))
    assert len(kp1) > 1000
    pairs = [m for m, n in cv2.BFMatcher().knnMatch(d1, d2, k=2) if m.distance < 0.8 * n.distance]
    at = np.array([kp1[m.queryIdx].pt for m in pairs])
    found = np.array([kp2[m.trainIdx].pt for m in pairs]) + 0.5
    u, v = np.round(at).astype(int).clip(0, [479, 359]).T
    rays = np.concatenate([camera.cam_from_img(at + 0.5), np.ones((len(at), 1))], 1)
    xyz = path.pose(4.8).inverse() * (rays * depth[v, u, None])
    error = np.linalg.norm(camera.img_from_cam(path.pose(5.4) * xyz) - found, axis=1)
    assert (error < 2).sum() > 400
    assert 0.05 < np.median(error) < 0.5


def test_points_are_seen_unless_hidden(scene, cam_from_world):
    camera = make_camera(SIZE, 0.6)
    xyz = unproject(camera, cam_from_world, render_depth(scene, camera, cam_from_world))[::37]
    uv, mask = sees(scene.raycaster, camera, cam_from_world, xyz)
    assert mask.mean() > 0.995
    center = cam_from_world.inverse().translation
    _, behind = sees(scene.raycaster, camera, cam_from_world, center + 1.05 * (xyz - center))
    assert not behind.any()
    _, outside = sees(scene.raycaster, camera, cam_from_world, center - (xyz - center))
    assert not outside.any()
    assert np.isfinite(uv).all()


@pytest.fixture(scope="module")
def moving():
    """A sideways walk at 1 m/s."""
    times = np.linspace(-1, 1, 9)
    centers = np.stack([times, np.full(9, -1.6), np.full(9, 1.1)], 1)
    rotation = look_at(np.array([0, -1.6, 1.1]), np.array([0, 0, 0.5]))
    return Trajectory(times, np.tile(rotation, (9, 1, 1)), centers)


@pytest.fixture(scope="module")
def standing(moving):
    return Trajectory(moving.times_s, moving.rotations, np.tile(moving.centers[4], (9, 1)))


def test_rolling_shutter_rows_see_their_own_time(scene, moving):
    camera = make_camera(SIZE, 0.6)
    rolled = render_moving(scene, camera, moving, 0.1, readout_s=0.1)
    times = row_times(camera.height, 0.1, 0.1)
    assert times[-1] - times[0] == pytest.approx(0.1, rel=0.02)
    for row in (0, 60, 119):
        still = render_linear(scene, camera, moving.pose(times[row]))
        np.testing.assert_allclose(rolled[row], still[row], atol=2e-3)
    global_shutter = render_linear(scene, camera, moving.pose(0.1))
    difference = np.abs(rolled - global_shutter).mean((1, 2))
    assert difference[[0, -1]].min() > 0.02
    assert difference[59:61].max() < 0.3 * difference[[0, -1]].min()


def test_rolling_shutter_does_nothing_at_rest(scene, standing):
    camera = make_camera(SIZE, 0.6)
    np.testing.assert_allclose(
        render_moving(scene, camera, standing, 0.0, readout_s=0.1), render_linear(scene, camera, standing.pose(0.0)), atol=2e-3
    )


def test_only_motion_blurs(scene, moving, standing):
    camera = make_camera(SIZE, 0.6)
    sharp, blurred = (render_moving(scene, camera, path, 0.0, exposure_s=0.1) for path in (standing, moving))
    across, down = (np.abs(np.diff(image, axis=axis)).mean() for image, axis in ((blurred, 1), (blurred, 0)))
    sharp_across, sharp_down = np.abs(np.diff(sharp, axis=1)).mean(), np.abs(np.diff(sharp, axis=0)).mean()
    assert across < 0.6 * sharp_across
    assert down / sharp_down > 1.3 * across / sharp_across  # the walk is sideways


@pytest.mark.parametrize("sigma", [0.0, 2.0, 6.0])
def test_image_noise_is_as_asked(sigma):
    grey = to_srgb(np.full((120, 160, 3), 0.2, np.float32), noise=sigma, rng=np.random.default_rng(0))
    assert grey.std() == pytest.approx(sigma, rel=0.05)


def test_exposure_brightens_by_stops():
    linear = np.full((4, 4, 3), 0.1, np.float32)
    dark, bright = (to_srgb(linear, exposure_ev=ev)[0, 0, 0] / 255 for ev in (0.0, 1.0))
    assert (bright / dark) ** 2.2 == pytest.approx(2, rel=0.03)
