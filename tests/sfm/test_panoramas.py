"""Panoramas are mapped whole: points all around, behind the camera too."""

import numpy as np
import pycolmap
import pytest

from recon.capture.records import ImageRecord
from recon.config import Camera, Matches
from recon.errors import NoParallax
from recon.evaluate.poses import pose_errors
from recon.features.store import Features
from recon.matchers.store import PairMatches
from recon.matchers.verify import verify
from recon.sfm.cameras import cameras_of
from recon.sfm.diagnosis import check_pairs
from recon.sfm.mapping import reconstruct
from recon.sfm.refine import Adjustment
from recon.simulate.write import truth_model

SIZE = (1600, 800)


def walk(count, step_m, noise_px, rng):
    """Records, cameras, features and verified pairs of panoramas that see 400 points in a shell around their path; and the truth."""
    directions = rng.normal(size=(400, 3))
    xyz = directions / np.linalg.norm(directions, axis=1, keepdims=True) * rng.uniform(3, 8, (400, 1))
    poses = []
    for n in range(count):
        turn = pycolmap.Rotation3d(np.array([0.05 * np.sin(n), 0.6 * n, 0.0]))
        poses.append(pycolmap.Rigid3d(turn, -(turn.matrix() @ (step_m * np.array([n, 0.1 * n * n, 0.0])))))
    names = [f"{n}.jpg" for n in range(count)]
    records = [
        ImageRecord(name=n, file="x", source=n, sha256="", width=SIZE[0], height=SIZE[1], camera="a", projection="equirectangular")
        for n in names
    ]
    cameras = cameras_of(records, Camera(model="OPENCV"))
    features = {}
    for name, at in zip(names, poses, strict=True):
        xy = cameras["a"].img_from_cam(at * xyz) + rng.normal(0, noise_px, (len(xyz), 2))
        keypoints = np.column_stack([xy, np.full(len(xy), 3.0), np.zeros(len(xy))]).astype(np.float32)
        features[name] = Features(keypoints, np.zeros((len(xy), 128), np.uint8), np.zeros((len(xy), 3), np.uint8))
    matches = np.column_stack([np.arange(len(xyz))] * 2).astype(np.uint32)
    pairs = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            both = (features[first].keypoints, features[second].keypoints)
            found = verify((first, second), (cameras["a"],) * 2, both, matches, np.full(len(matches), 0.5), 4.0, 15, 0)
            pairs += [found] if found else []
    return records, cameras, features, pairs, truth_model(cameras["a"], names, poses)


@pytest.mark.parametrize("mapper", ["global", "incremental"])
def test_a_walk_with_panoramas_becomes_a_model(mapper, rng):
    records, cameras, features, pairs, truth = walk(6, 0.4, 0.5, rng)
    check_pairs(records, cameras, features, pairs)
    outcome = reconstruct(records, cameras, features, pairs, mapper, Adjustment(2.0, 1.5, False, 0, 1), Matches())
    assert outcome is not None
    model = outcome.best.model
    assert model.num_reg_images() == 6
    assert model.cameras[1].model_name == "EQUIRECTANGULAR"
    assert model.num_points3D() > 350
    assert 1e-5 < pose_errors(model, truth).position.max() < 0.01


def test_panoramas_from_one_spot_have_no_parallax(rng):
    records, cameras, features, pairs, _ = walk(5, 0.0, 0.5, rng)
    with pytest.raises(NoParallax, match="only turned"):
        check_pairs(records, cameras, features, pairs)


@pytest.mark.parametrize("focal", [330.0, 420.0, 600.0])
@pytest.mark.parametrize("step_m", [0.0, 0.3])
def test_a_fisheye_that_only_turned_is_told_from_one_that_moved(focal, step_m, rng):
    """Of an unknown lens: its images are taken for a pinhole's at first."""
    lens = pycolmap.Camera(model="OPENCV_FISHEYE", width=900, height=1200, params=[focal, focal, 450, 600, 0.02, -0.01, 0, 0])
    directions = rng.normal(size=(3000, 3))
    xyz = directions / np.linalg.norm(directions, axis=1, keepdims=True) * rng.uniform(2, 6, (3000, 1))
    seen, records, features = {}, [], {}
    for n in range(5):
        turn = pycolmap.Rotation3d(np.array([0.03 * n, 0.2 * n, 0.0]))
        pixels = lens.img_from_cam(pycolmap.Rigid3d(turn, -(turn.matrix() @ np.array([step_m * n, 0.0, 0.0]))) * xyz)
        pixels += rng.normal(0, 0.4, pixels.shape)
        inside = np.flatnonzero((pixels > 0).all(1) & (pixels < (900, 1200)).all(1))
        seen[n], name = inside, f"{n}"
        keypoints = np.column_stack([pixels[inside], np.full((len(inside), 1), 3.0), np.zeros(len(inside))]).astype(np.float32)
        features[name] = Features(keypoints, np.zeros((len(inside), 128), np.uint8), np.zeros((len(inside), 3), np.uint8))
        records.append(ImageRecord(name=name, file="x", source=name, sha256="", width=900, height=1200, camera="a"))
    pairs = []
    for n in range(4):
        _, a, b = np.intersect1d(seen[n], seen[n + 1], return_indices=True)
        nothing = np.zeros((3, 3))
        matches = np.column_stack([a, b]).astype(np.uint32)
        pairs.append(PairMatches(f"{n}", f"{n + 1}", matches, len(a), 2, nothing, nothing, nothing, np.full((3, 4), np.nan), 5.0))
    cameras = cameras_of(records, Camera())
    if step_m:
        check_pairs(records, cameras, features, pairs)
    else:
        with pytest.raises(NoParallax, match="only turned"):
            check_pairs(records, cameras, features, pairs)
