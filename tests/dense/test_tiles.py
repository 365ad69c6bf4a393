"""tiles: a large pair by parts says what the whole pair says, in memory that follows the part."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "stages"))
from relief import Photo, hits, looking_down, picture, pinhole, write_capture

from recon.config import parse
from recon.dense import tiles
from recon.dense.rectify import Pose
from recon.dense.stereo import Candidate, Frame, pair_depths
from recon.dense.sweep import sweep_depth
from recon.stage import Work
from recon.stages import depth, undistort

SIZE = (480, 360)


def frame(photo: Photo, rng: np.random.Generator) -> Frame:
    fx, fy, cx, cy = photo.camera.params
    K = np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1.0]])
    pose = Pose(K, photo.cam_from_world.rotation.matrix(), photo.cam_from_world.translation, photo.camera.width, photo.camera.height)
    grey = cv2.cvtColor(picture(photo, rng), cv2.COLOR_RGB2GRAY)
    return Frame(pose, grey, np.ones(grey.shape, bool))


def relative_error(photo: Photo, found: Candidate) -> np.ndarray:
    _, truth = hits(photo.camera, photo.cam_from_world)
    known = found.depth > 0
    return np.abs(found.depth[known] / truth[known] - 1)


def ladder(rng: np.random.Generator) -> np.ndarray:
    return np.column_stack([rng.uniform(-3, 3, (60, 2)), rng.uniform(-0.1, 1.6, 60)])


@pytest.mark.parametrize("direction", [(1.6, 0.0), (0.0, 1.6), (1.1, 1.1)], ids=["sideways", "upwards", "aslant"])
def test_a_pair_in_tiles_is_as_right_and_as_complete_as_the_whole(direction: tuple[float, float], rng: np.random.Generator) -> None:
    photos = [
        Photo("", pinhole(*SIZE, 480), looking_down(0, 0)),
        Photo("", pinhole(*SIZE, 500), looking_down(*direction, 10.5, tilt_deg=5)),
    ]
    a, b = (frame(photo, rng) for photo in photos)
    points = ladder(rng)
    whole, parts = pair_depths(a, b, points), tiles.pair_depths_in_tiles(a, b, points, most_px=40_000)
    assert whole is not None
    assert parts is not None
    for photo, one, other in zip(photos, whole, parts, strict=True):
        assert one.depth.shape == other.depth.shape
        assert 0.97 < (other.depth > 0).mean() / (one.depth > 0).mean() < 1.03
        assert 1e-4 < np.median(relative_error(photo, other)) < 1.1 * np.median(relative_error(photo, one)) + 1e-4
        assert 0.8 < other.focal_baseline / one.focal_baseline < 1.25


def test_tiles_see_no_more_than_they_may(rng: np.random.Generator) -> None:
    a, b = (frame(Photo("", pinhole(*SIZE, 480), looking_down(1.6 * i, 0)), rng) for i in range(2))
    sizes = []

    def match(left: Frame, right: Frame, xyz: np.ndarray) -> None:
        assert left.grey.shape == left.usable.shape == (left.pose.height, left.pose.width)
        sizes.append((left.grey.size, right.grey.size))

    assert tiles.pair_depths_in_tiles(a, b, ladder(rng), most_px=10_000, match=match) is None
    assert len(sizes) >= SIZE[0] * SIZE[1] // 10_000
    across = 10_000 / (np.sqrt(10_000 * tiles.ASPECT)) + 2 * tiles.MARGIN_PX + 2
    assert max(left for left, _ in sizes) <= across * (np.sqrt(10_000 * tiles.ASPECT) + 2 * tiles.MARGIN_PX + 2)
    assert max(right for _, right in sizes) <= (across + 2 * tiles.MARGIN_PX) * SIZE[0]  # as high as the tile, not as the image


@pytest.mark.parametrize(
    ("size", "most", "aspect"), [((480, 360), 40_000, 3.0), ((7, 5), 4, 1.0), ((1, 1), 10, 1.0), ((3, 9000), 100, 1 / 3)]
)
def test_tiles_part_the_image(size: tuple[int, int], most: int, aspect: float) -> None:
    times = np.zeros(size[::-1], int)
    for rect in tiles.tiles(*size, most, aspect):
        times[rect.y0 : rect.y1, rect.x0 : rect.x1] += 1
        assert (rect.x1 - rect.x0) * (rect.y1 - rect.y0) <= 2 * most
    assert (times == 1).all()


def test_a_sweep_in_tiles_is_as_right_as_the_whole(rng: np.random.Generator) -> None:
    photos = [Photo("", pinhole(320, 240, 320), looking_down(0.1 * i, 0, 10 - 1.5 * i)) for i in range(3)]
    reference, *sources = (frame(photo, rng) for photo in photos)
    points = ladder(rng)
    whole, parts = sweep_depth(reference, sources, points), tiles.sweep_depth_in_tiles(reference, sources, points, most_px=30_000)
    assert whole is not None
    assert parts is not None
    assert (parts.depth > 0).mean() > 0.95 * (whole.depth > 0).mean() > 0.2
    # a tile where pixels move less has fewer planes
    assert 1e-4 < np.median(relative_error(photos[0], parts)) < 2.5 * np.median(relative_error(photos[0], whole))


def test_large_candidates_agree_by_bands_as_they_would_at_once(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = (frame(Photo("", pinhole(*SIZE, 480), looking_down(1.2 * i, 0)), rng) for i in (0, 1, -1))
    points = ladder(rng)
    found = [tiles.pair_depths_in_tiles(a, other, points) for other in (b, c)]
    small, large = tiles.Candidates(tmp_path, "a"), tiles.Candidates(tmp_path, "a", most_px=200_000)
    for pair in found:
        assert pair is not None
        small.add(pair[0])
        large.add(pair[0])
    assert len(list(tmp_path.iterdir())) == 1  # one is held, the other waits on disk
    one = small.agreed(a.pose)
    monkeypatch.setattr(tiles, "BAND_PX", 10_000)
    other = large.agreed(a.pose)
    assert not list(tmp_path.iterdir())
    assert (one.depth > 0).mean() > 0.5
    for name in ("depth", "confidence", "K"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_what_a_pair_says_at_two_sizes_is_one_voice(tmp_path: Path) -> None:
    pose = Pose(np.diag([100.0, 100, 1]), np.eye(3), np.zeros(3), 40, 40)
    flat = Candidate(np.full((40, 40), 5.0, np.float32), 100.0)
    confidence = []
    for again in (True, False):
        candidates = tiles.Candidates(tmp_path, "a")
        candidates.add(flat)
        candidates.add(flat, again=again)
        found = candidates.agreed(pose)
        assert (found.depth == 5).all()
        confidence.append(found.confidence[0, 0])
    assert confidence == pytest.approx([1 / 2, 2 / 3])


@pytest.mark.parametrize("step", [(1.2, 0.0), (0.05, -1.5)], ids=["sideways", "forward"])
def test_tiles_sizes_and_sweeps_give_the_same_bytes_on_one_thread_and_on_two(
    step: tuple[float, float], tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles.pair_depths_in_tiles, "__defaults__", (20_000, pair_depths))
    monkeypatch.setattr(tiles.sweep_depth_in_tiles, "__defaults__", (20_000,))
    monkeypatch.setattr(tiles.Candidates.__init__, "__defaults__", (100_000,))
    config = parse({"depth": {"sizes": 2}})
    inputs = write_capture(tmp_path, [Photo(f"{i}.png", pinhole(), looking_down(step[0] * i, 0, 10 + step[1] * i)) for i in range(3)], rng)
    undistort.run(config, inputs, undistort.split(config, inputs)[0], tmp_path / "undistort", Work())
    inputs = {**inputs, "undistort": (tmp_path / "undistort",)}
    (shard,) = depth.split(config, inputs)
    assert shard["pairs"] if step[1] == 0 else shard["sweeps"]
    for threads in (1, 2):
        (tmp_path / str(threads)).mkdir()
        depth.run(config, inputs, shard, tmp_path / str(threads), Work(threads=threads))
    files = [path.relative_to(tmp_path / "1") for path in sorted((tmp_path / "1").rglob("*")) if path.is_file()]
    assert len(files) == 4
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()


def test_what_lies_behind_the_other_camera_is_not_reached() -> None:
    pose = Pose(np.diag([100.0, 100, 1]), np.eye(3), np.zeros(3), 100, 100)
    rect = tiles.Rect(0, 10, 0, 10)
    turned = Pose(pose.K, np.diag([-1.0, 1, -1]), np.array([0.0, 0, -1]), 100, 100)
    assert tiles.reached(pose, rect, turned, (0.1, 1.0)) is None
    assert tiles.reached(pose, rect, pose, (0.1, 1.0)) == rect._replace(x1=11, y1=11)
    ahead = Pose(pose.K, np.eye(3), np.array([0.0, 0, -5]), 100, 100)
    assert tiles.reached(pose, rect, ahead, (0.01, 1.0)) == tiles.Rect(0, 100, 0, 100)  # partly behind: all of it
