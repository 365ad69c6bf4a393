"""Mapping on synthetic matches of known truth: accuracy, merging, diagnosis, determinism."""

from __future__ import annotations

import numpy as np
import pycolmap
import pytest

from recon.capture.records import ImageRecord
from recon.config import Camera, Matches
from recon.errors import ConfigError, EmptyCapture, NoOverlap, NoParallax, ReconstructionError
from recon.evaluate.poses import pose_errors
from recon.features.store import Features
from recon.matchers.store import PairMatches
from recon.matchers.verify import verify
from recon.sfm.cameras import cameras_of, is_fixed, shared_params
from recon.sfm.diagnosis import check_pairs, partial_warnings
from recon.sfm.mapping import reconstruct
from recon.sfm.refine import Adjustment

SIZE = (640, 480)
CAMERA = pycolmap.Camera.create_from_model_name(1, "SIMPLE_RADIAL", 600.0, *SIZE)
World = tuple[list[ImageRecord], dict[str, Features], list[PairMatches], pycolmap.Reconstruction]


def world(poses: list[pycolmap.Rigid3d], xyz: np.ndarray, noise_px: float, rng: np.random.Generator, prefix: str = "") -> World:
    """Keypoints of one cloud of points in every pose, and verified matches of all pairs that share 30 of them."""
    names = [f"{prefix}{n:02d}.jpg" for n in range(len(poses))]
    truth, seen, features = pycolmap.Reconstruction(), {}, {}
    truth.add_camera_with_trivial_rig(CAMERA)
    for n, (name, at) in enumerate(zip(names, poses, strict=True)):
        in_cam = at * xyz
        pixels = CAMERA.img_from_cam(in_cam)
        inside = (in_cam[:, 2] > 0.1) & (pixels > 0).all(1) & (pixels < SIZE).all(1)
        seen[name] = np.flatnonzero(inside)
        noisy = pixels[inside] + rng.normal(0, noise_px, (int(inside.sum()), 2)) if noise_px else pixels[inside]
        keypoints = np.column_stack([noisy, np.full(len(noisy), 3.0), np.zeros(len(noisy))]).astype(np.float32)
        features[name] = Features(keypoints, np.zeros((len(noisy), 128), np.uint8), np.zeros((len(noisy), 3), np.uint8))
        image = pycolmap.Image(name=name, camera_id=1, image_id=n + 1)
        image.points2D = pycolmap.Point2DList()
        truth.add_image_with_trivial_frame(image, at)
    records = [
        ImageRecord(name=n, file="x", source=n, sha256="", width=SIZE[0], height=SIZE[1], camera="a", focal_px=600.0, focal_source="exif")
        for n in names
    ]
    pairs = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            _, a, b = np.intersect1d(seen[first], seen[second], return_indices=True)
            if len(a) < 30:
                continue
            matches = np.column_stack([a, b]).astype(np.uint32)
            xy = (features[first].keypoints, features[second].keypoints)
            found = verify((first, second), (CAMERA, CAMERA), xy, matches, np.full(len(matches), 0.5), 4.0, 15, 0)
            if found:
                pairs.append(found)
    return records, features, pairs, truth


def orbit(count: int, arc_deg: float = 120.0, radius: float = 5.0) -> list[pycolmap.Rigid3d]:
    from recon.simulate.cameras import look_at, pose

    angles = np.radians(np.linspace(0, arc_deg, count))
    centers = [np.array([radius * np.cos(a), radius * np.sin(a), 1.0 + 0.3 * np.sin(5 * a)]) for a in angles]
    return [pose(look_at(center, np.zeros(3)), center) for center in centers]


def mapped(given: World, mapper: str = "auto", threads: int = 1):  # type: ignore[no-untyped-def]
    records, features, pairs, _ = given
    cameras = cameras_of(records, Camera())
    return reconstruct(records, cameras, features, pairs, mapper, Adjustment(4.0, 1.5, False, 0, threads), Matches())


@pytest.fixture(scope="module")
def cloud() -> np.ndarray:
    return np.random.default_rng(3).uniform(-1.2, 1.2, (700, 3))


@pytest.mark.parametrize("mapper", ["global", "incremental"])
@pytest.mark.parametrize(("noise_px", "low", "high"), [(0.0, 0.0, 1e-3), (0.5, 1e-5, 0.02)])
def test_camera_error_follows_pixel_noise(cloud: np.ndarray, mapper: str, noise_px: float, low: float, high: float) -> None:
    given = world(orbit(10), cloud, noise_px, np.random.default_rng(1))
    outcome = mapped(given, mapper)
    assert outcome.best.mapper == mapper
    assert outcome.best.registered == 10
    error = pose_errors(outcome.best.model, given[3]).summary()["position"]["mean"]
    assert low <= error < high
    assert outcome.best.explained > 0.9


def test_the_model_is_the_same_to_the_last_bit_on_one_thread_and_on_two(cloud: np.ndarray) -> None:
    given = world(orbit(8), cloud, 0.3, np.random.default_rng(1))
    first, second = mapped(given).best.model, mapped(given, threads=2).best.model
    for image_id in first.reg_image_ids():
        np.testing.assert_array_equal(first.images[image_id].cam_from_world().matrix(), second.images[image_id].cam_from_world().matrix())


def test_two_images_are_enough(cloud: np.ndarray) -> None:
    outcome = mapped(world(orbit(2, 20.0), cloud, 0.2, np.random.default_rng(1)))
    assert outcome.best.registered == 2


def test_two_groups_that_do_not_connect_are_both_told(cloud: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    large, small = world(orbit(8), cloud, 0.2, rng), world(orbit(5), cloud[::-1] * 1.1, 0.2, rng, "b")
    given = (large[0] + small[0], large[1] | small[1], large[2] + small[2], large[3])
    outcome = mapped(given)
    assert outcome.best.registered == 8
    assert [other.num_reg_images() for other in outcome.others] == [5]
    told = " ".join(partial_warnings(given[0], outcome.best.model, outcome.others))
    assert "registered 8 of 13 images" in told
    assert "2 models: 8 + 5 images, which do not connect" in told


def test_a_turning_camera_has_no_parallax(cloud: np.ndarray) -> None:
    from recon.simulate.cameras import look_at, pose

    center = np.array([4.0, 0, 0])
    turns = [pose(look_at(center, np.array([0, y, 0.1])), center) for y in np.linspace(-0.8, 0.8, 6)]
    records, features, pairs, _ = world(turns, cloud, 0.3, np.random.default_rng(1))
    assert pairs
    with pytest.raises(NoParallax, match=r"the camera only turned.*walk around it"):
        check_pairs(records, cameras_of(records, Camera()), features, pairs)
    moved = world(orbit(6), cloud, 0.3, np.random.default_rng(1))
    check_pairs(moved[0], cameras_of(moved[0], Camera()), moved[1], moved[2])


def test_one_image_or_none_that_match_are_told(cloud: np.ndarray) -> None:
    records, features, _, _ = world(orbit(3), cloud, 0.3, np.random.default_rng(1))
    cameras = cameras_of(records, Camera())
    with pytest.raises(EmptyCapture, match="1 usable image"):
        check_pairs(records[:1], cameras, features, [])
    with pytest.raises(NoOverlap, match="no two of the 3 images share enough"):
        check_pairs(records, cameras, features, [])


def test_a_video_that_breaks_names_the_time(cloud: np.ndarray) -> None:
    records, _, _, truth = world(orbit(6), cloud, 0.3, np.random.default_rng(1))
    records = [record.model_copy(update={"sequence": "v", "timestamp_s": 7.0 * n}) for n, record in enumerate(records)]
    for image_id in sorted(truth.images)[3:]:
        truth.deregister_frame(truth.images[image_id].frame_id)
    (told,) = partial_warnings(records, truth, [])
    assert told.startswith("registered 3 of 6 images; the frames after 00:21 share too little with those before")


def test_given_intrinsics_are_checked_and_held(cloud: np.ndarray) -> None:
    records, *_ = world(orbit(2), cloud, 0.0, np.random.default_rng(1))
    given = Camera(model="PINHOLE", params=(600, 601, 320, 240))
    assert cameras_of(records, given)["a"].params.tolist() == [600, 601, 320, 240]
    assert is_fixed(given)
    assert not is_fixed(Camera())
    with pytest.raises(ConfigError, match="2 numbers"):
        cameras_of(records, Camera(model="PINHOLE", params=(600, 601)))
    with pytest.raises(ConfigError, match="do not fit an image of 640x480"):
        cameras_of(records, Camera(model="PINHOLE", params=(600, 601, 3200, 240)))


def test_parameters_that_hold_for_several_cameras_are_told() -> None:
    records = [
        ImageRecord(name=key, file="x", source=key, sha256="", width=640, height=480, camera=key) for key in ("wide", "zoomed", "wide")
    ]
    given = Camera(model="PINHOLE", params=(600, 600, 320, 240))
    (warning,) = shared_params(cameras_of(records, given), given)
    assert "all 2 cameras of the capture (wide, zoomed)" in warning
    assert shared_params(cameras_of(records[:1], given), given) == []
    assert shared_params(cameras_of(records, Camera()), Camera()) == []


def test_a_global_mapper_that_fails_says_so_unless_another_takes_over(cloud: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    given = world(orbit(6), cloud, 0.3, np.random.default_rng(1))

    def fails(*_: object) -> None:
        raise RuntimeError("no solution here")

    monkeypatch.setattr(pycolmap, "global_mapping", fails)
    with pytest.raises(ReconstructionError, match=r"global mapping failed: no solution here\. Set sfm\.mapper to auto"):
        mapped(given, "global")
    outcome = mapped(given, "auto")
    assert outcome is not None
    assert (outcome.best.mapper, outcome.best.registered) == ("incremental", 6)
