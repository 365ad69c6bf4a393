import cv2
import numpy as np
import pytest

from recon.simulate.degenerate import black, blurred, pure_rotation, textureless_wall, unrelated
from recon.simulate.views import synthetic_views

SIFT = cv2.SIFT_create(contrastThreshold=0.02)


def grey(path):
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def matches(first, second):
    (kp1, d1), (kp2, d2) = (SIFT.detectAndCompute(grey(path), None) for path in (first, second))
    good = [m for m, n in cv2.BFMatcher().knnMatch(d1, d2, k=2) if m.distance < 0.75 * n.distance]
    return np.array([kp1[m.queryIdx].pt for m in good]), np.array([kp2[m.trainIdx].pt for m in good])


def test_plain_wall_has_no_keypoints(tmp_path):
    paths = textureless_wall(tmp_path, 2)
    assert all(len(SIFT.detect(grey(p), None)) < 50 for p in paths)
    assert all(grey(p).mean() > 60 for p in paths)


def test_panorama_is_one_homography_apart(tmp_path):
    first, second = pure_rotation(tmp_path, 2)
    a, b = matches(first, second)
    _, inliers = cv2.findHomography(a, b, cv2.RANSAC, 2.0)
    assert inliers.sum() > 200
    assert inliers.mean() > 0.9


def test_unrelated_scenes_do_not_match_each_other(tmp_path):
    paths = unrelated(tmp_path, 2)
    assert [p.name for p in paths] == ["yard_0000.jpg", "yard_0001.jpg", "room_0000.jpg", "room_0001.jpg"]
    within = min(len(matches(paths[0], paths[1])[0]), len(matches(paths[2], paths[3])[0]))
    across = len(matches(paths[0], paths[2])[0])
    assert within > 200
    assert across < 0.1 * within


def test_black_and_blurred(tmp_path):
    assert all(grey(p).max() == 0 for p in black(tmp_path / "black", 2))
    paths = blurred(tmp_path / "blurred", 2)
    softened = [cv2.GaussianBlur(grey(p).astype(float), (0, 0), 2) for p in paths]
    assert all(cv2.Laplacian(image, cv2.CV_64F).std() < 0.3 for image in softened)
    assert all(grey(p).std() > 5 for p in paths)


@pytest.mark.parametrize("kind", ["drone", "object"])
def test_synthetic_views_come_with_an_exact_model(tmp_path, kind):
    model, plan = synthetic_views(4, tmp_path, kind, size=(160, 120), points=300)
    assert len(list(tmp_path.glob("*.png"))) == model.num_reg_images() == 4
    assert 50 < model.num_points3D() <= 304
    errors = []
    for point in model.points3D.values():
        assert point.track.length() >= 2
        for element in point.track.elements:
            image = model.images[element.image_id]
            projected = plan.camera.img_from_cam((image.cam_from_world() * point.xyz)[None])[0]
            errors.append(np.linalg.norm(projected - image.points2D[element.point2D_idx].xy))
    assert max(errors) < 1e-6
