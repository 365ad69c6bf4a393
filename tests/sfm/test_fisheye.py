"""A strong fisheye, taken for a pinhole at first, is mapped once more with the lens that was found."""

import numpy as np
import pycolmap
import pytest

from recon.capture.records import ImageRecord
from recon.config import Camera, Matches
from recon.evaluate.poses import pose_errors
from recon.features.store import Features
from recon.matchers.verify import verify
from recon.sfm.cameras import cameras_of
from recon.sfm.fisheye import found_lenses, likely_fisheye, matched_again
from recon.sfm.mapping import reconstruct
from recon.sfm.refine import Adjustment
from recon.simulate.write import truth_model

SIZE = (960, 720)
LENS = pycolmap.Camera(camera_id=1, model="OPENCV_FISHEYE", width=SIZE[0], height=SIZE[1], params=[320, 320, 480, 360, 0.02, -0.006, 0, 0])


@pytest.fixture(scope="module")
def walk():
    return taken(LENS)


def taken(lens):
    """Ten images on an arc in a cloud of points, matched as if the lens were a pinhole; every point has a descriptor of its own."""
    rng = np.random.default_rng(3)
    xyz = rng.normal(size=(1500, 3))
    xyz *= rng.uniform(3, 7, (1500, 1)) / np.linalg.norm(xyz, axis=1, keepdims=True)
    descriptors = rng.exponential(1, (1500, 128)) ** 2
    descriptors = np.round(512 * descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)).clip(0, 255).astype(np.uint8)
    poses, records, features = [], [], {}
    for n in range(10):
        turn = pycolmap.Rotation3d(np.array([0.05 * np.sin(2 * n), 0.12 * n, 0.03 * n]))
        center = np.array([1.2 * np.sin(0.25 * n), 0.1 * np.cos(n), 1.2 * np.cos(0.25 * n)])
        poses.append(pycolmap.Rigid3d(turn, -(turn.matrix() @ center)))
        pixels = lens.img_from_cam(poses[-1] * xyz) + rng.normal(0, 0.3, (1500, 2))
        inside = np.flatnonzero((pixels > 0).all(1) & (pixels < SIZE).all(1))
        name = f"{n}.jpg"
        keypoints = np.column_stack([pixels[inside], np.full(len(inside), 3.0), np.zeros(len(inside))]).astype(np.float32)
        features[name] = Features(keypoints, descriptors[inside], np.zeros((len(inside), 3), np.uint8))
        records.append(ImageRecord(name=name, file="x", source=name, sha256="", width=SIZE[0], height=SIZE[1], camera="a"))
    cameras = cameras_of(records, Camera())
    names = [record.name for record in records]
    raw = [pair for i, one in enumerate(names) for pair in _verified(one, names[i + 1 :], cameras["a"], features)]
    return records, cameras, features, raw, truth_model(lens, names, poses)


def _verified(one, others, camera, features):
    from recon.matchers.nearest import match

    for two in others:
        matches, ratios = match(features[one].descriptors, features[two].descriptors, 0.85)
        both = (features[one].keypoints, features[two].keypoints)
        found = verify((one, two), (camera, camera), both, matches, ratios, 4.0, 15, 0)
        if found:
            yield found


def test_matches_towards_the_rim_come_back_with_the_lens(walk):
    records, cameras, features, pairs, _ = walk
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(LENS)
    lenses = found_lenses(cameras, model)
    assert lenses is not None
    assert lenses["a"].has_prior_focal_length
    assert found_lenses(lenses, model) is None  # known already
    again = matched_again(records, lenses, features, pairs, Matches(), 0)
    count = sum(len(pair.matches) for pair in again)
    assert count > 1.1 * sum(len(pair.matches) for pair in pairs)
    strict = matched_again(records, lenses, features, pairs, Matches(max_error_px=0.5), 0)  # as the run's own options ask
    assert sum(len(pair.matches) for pair in strict) < 0.9 * count


def test_only_a_fisheye_is_likely_one(walk):
    records, cameras, features, pairs, _ = walk
    guess = likely_fisheye(records, cameras, features, pairs, Matches(), 0)
    assert guess is not None
    assert 0.8 < guess["a"].focal_length_x / 320 < 1.25
    pinhole = pycolmap.Camera(camera_id=1, model="SIMPLE_RADIAL", width=SIZE[0], height=SIZE[1], params=[480, 480, 360, -0.02])
    assert likely_fisheye(*taken(pinhole)[:4], Matches(), 0) is None


def test_a_strong_fisheye_without_calibration_gives_a_straight_model(walk):
    records, cameras, features, pairs, truth = walk
    outcome = reconstruct(records, cameras, features, pairs, "auto", Adjustment(2.0, 1.5, False, 0, 1), Matches())
    assert outcome is not None
    model = outcome.best.model
    assert model.cameras[1].model_name == "OPENCV_FISHEYE"
    assert model.num_reg_images() == 10
    errors = pose_errors(model, truth)
    assert 1e-5 < errors.position.max() < 0.005 * errors.path_length
    assert sum(candidate is outcome.best for candidate in outcome.compared) == 1
