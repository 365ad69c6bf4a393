"""Whether a capture will connect, on pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from capture.media import pan, save, texture, write_video
from numpy.typing import NDArray

from recon.capture.source import open_source
from recon.config import Config
from recon.inspect import Inspection, inspect
from recon.preflight.record import Preflight
from recon.simulate.degenerate import black, pure_rotation, unrelated


def told(capture: Path, workspace: Path) -> Preflight:
    found = inspect(open_source(capture, workspace, hashed=False), Config())
    assert Inspection.model_validate_json(found.model_dump_json()) == found
    assert found.preflight is not None
    return found.preflight


@pytest.fixture(scope="module")
def two_places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("places")
    unrelated(folder, 4)
    return folder


def test_two_places_connect_in_part_and_are_named(two_places: Path, tmp_path: Path) -> None:
    found = told(two_places, tmp_path)
    assert (found.verdict, found.predicted_share, found.images, found.looked_at) == ("partly", 0.5, 8, 8)
    assert sorted((part.images, part.first, part.last) for part in found.parts) == [
        (4, "room_0000.jpg", "room_0003.jpg"),
        (4, "yard_0000.jpg", "yard_0003.jpg"),
    ]
    assert "4 of 8 images hang together; 4 others only among themselves" in found.reason
    assert "connecting sweep" in found.remedy


def test_one_place_connects(two_places: Path, tmp_path: Path) -> None:
    (tmp_path / "yard").mkdir()
    for photo in two_places.glob("yard_*"):
        shutil.copy(photo, tmp_path / "yard")
    found = told(tmp_path / "yard", tmp_path / "w")
    assert (found.verdict, found.predicted_share, found.alone, found.weak_links, found.remedy) == ("yes", 1.0, 0, (), "")


def test_blurred_runs_and_jumps_of_exposure_are_named(two_places: Path, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    photos = sorted(two_places.glob("yard_*"))
    for number, photo in enumerate([*photos, *photos[:3]]):
        picture = cv2.imread(str(photo)) // (1 + number // 4 / 50)  # no file is the copy of another
        picture = picture.astype(np.uint8)
        picture = cv2.GaussianBlur(picture, (0, 0), 6) if number in (1, 2) else picture // 4 if number == 5 else picture
        cv2.imwrite(str(tmp_path / f"c/{number}.png"), picture)
    found = told(tmp_path / "c", tmp_path / "w")
    assert [(run.images, run.first, run.last) for run in found.blurred] == [(2, "1.png", "2.png")]
    assert [(run.first, run.last) for run in found.exposure_jumps] == [("4.png", "5.png"), ("5.png", "6.png")]


def test_a_turn_on_the_spot_is_no_capture(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    pure_rotation(tmp_path / "c", 6)
    found = told(tmp_path / "c", tmp_path / "w")
    assert (found.verdict, found.predicted_share) == ("no", 0.0)
    assert "only turned" in found.reason


def test_black_images_are_counted_and_connect_with_nothing(two_places: Path, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    black(tmp_path / "c", 3)
    dark = told(tmp_path / "c", tmp_path / "w")
    assert (dark.verdict, dark.looked_at, dark.empty, dark.pairs_tried) == ("no", 3, 3, 0)
    assert "3 of 3 images are black or of one colour" in dark.reason
    for photo in two_places.glob("yard_*"):
        shutil.copy(photo, tmp_path / "c")
    mixed = told(tmp_path / "c", tmp_path / "w2")
    assert (mixed.verdict, mixed.predicted_share, mixed.empty, mixed.looked_at) == ("yes", 1.0, 3, 7)


def test_images_of_a_few_keypoints_are_no_capture(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for number in range(4):
        picture = np.full((360, 480, 3), 128, np.uint8)
        cv2.circle(picture, (200 + 20 * number, 180), 40, (255, 255, 255), -1)
        cv2.imwrite(str(tmp_path / f"c/{number}.png"), cv2.GaussianBlur(picture, (0, 0), 3))
    found = told(tmp_path / "c", tmp_path / "w")
    assert (found.verdict, found.predicted_share, found.pairs_agreeing) == ("no", 0.0, 0)
    assert "fewer than 50 keypoints" in found.reason


def test_unrelated_photos_connect_with_nothing(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for number in range(5):
        save(tmp_path / f"c/{number}.jpg", texture(360, 480, number))
    found = told(tmp_path / "c", tmp_path / "w")
    assert (found.verdict, found.alone, found.pairs_agreeing) == ("no", 5, 0)
    assert "overlap by two thirds" in found.remedy


def walk_past(seed: int, frames: int) -> list[NDArray[np.uint8]]:
    """A camera that moves along a wall with blocks that stand before it, which pass by twice as fast."""
    far, near = texture(240, 900, seed), texture(240, 900, seed + 1)
    blocks = np.kron(np.indices((4, 15)).sum(0) % 2, np.ones((60, 60), np.int64)).astype(np.uint8)[..., None] * np.ones(3, np.uint8)
    shifts = [4.0 * n for n in range(frames)]
    views = zip(*(pan(layer, [k * x for x in shifts], 240, 320) for layer, k in ((far, 1), (near, 2), (blocks, 2))), strict=True)
    return [np.where(block > 0, before, behind) for behind, before, block in views]


def test_a_whip_pan_breaks_a_video_and_its_seconds_are_named(tmp_path: Path) -> None:
    between = [cv2.blur(frame, (121, 1)) for frame in pan(texture(240, 900, 7), range(0, 500, 100), 240, 320)]
    write_video(tmp_path / "pan.mp4", [*walk_past(1, 50), *between, *walk_past(3, 40)], options={"crf": "14", "preset": "ultrafast"})
    found = told(tmp_path / "pan.mp4", tmp_path / "w")
    assert found.verdict == "partly"
    assert 0.45 < found.predicted_share < 0.7
    first, second = found.parts[:2]
    assert (first.first, second.last) == ("pan.mp4 at 00:00.0", "pan.mp4 at 00:03.1")
    assert "pan.mp4 at 00:01." in second.first or "pan.mp4 at 00:02." in second.first
    assert "others only among themselves (pan.mp4 at" in found.reason


def test_a_quick_inspection_leaves_it_out(two_places: Path, tmp_path: Path) -> None:
    assert inspect(open_source(two_places, tmp_path, hashed=False), preflight=False).preflight is None
