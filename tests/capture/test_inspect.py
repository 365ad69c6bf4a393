from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from capture.media import exif, pan, png_bomb, rational, save, texture, write_video

from recon.capture.source import open_source
from recon.inspect import Inspection, inspect


def look(capture: Path, workspace: Path) -> Inspection:
    found = inspect(open_source(capture, workspace, hashed=False))
    assert Inspection.model_validate_json(found.model_dump_json()) == found
    return found


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    (tmp_path / "c").mkdir()
    return tmp_path / "c"


def drone_photo(path: Path, index: int) -> Path:
    """Each ten metres north of the one before."""
    seconds = rational(30.0 + index * 10 / 30.87)
    gps = {
        1: "N",
        2: (rational(46), rational(50), seconds),
        3: "W",
        4: (rational(91), rational(59), rational(40)),
        5: b"\0",
        6: rational(100 + index),
    }
    tags = exif({0x010F: "DJI", 0x0110: "FC300S"}, {0x9003: f"2024:05:17 09:00:{index:02d}", 0x920A: rational(3.61), 0xA405: 20}, gps)
    return save(path, texture(300, 400, index), exif=tags)


def test_a_drone_flight(capture: Path, tmp_path: Path) -> None:
    for index in range(12):
        drone_photo(capture / f"DJI_{index}.JPG", index)
    (capture / "flight.txt").write_text("log")
    found = look(capture, tmp_path / "w")
    assert (found.photos, found.files, found.images_estimated, found.frames) == (12, 13, 12, 0)
    (camera,) = found.cameras
    assert (camera.camera, camera.images, camera.focal_source) == ("DJI FC300S 3.6mm 35mm=20 400x300", 12, "exif_35mm")
    assert camera.focal_px == pytest.approx(20 / 43.267 * 500, rel=1e-3)
    assert found.gps is not None
    assert found.gps.north_south_m == pytest.approx(110, abs=1)
    assert (found.gps.east_west_m, found.gps.alt_min_m, found.gps.alt_max_m, found.gps.alt_datums) == (0, 100, 111, ("sea_level",))
    assert (found.first, found.last) == ("2024-05-17T09:00:00", "2024-05-17T09:00:11")
    assert [(row.source, row.reason) for row in found.ignored] == [("flight.txt", "neither photo nor video (.txt)")]
    assert found.sample is not None
    assert (found.sample.images, found.sample.blurred, found.sample.near_duplicates) == (12, 0, 0)
    assert not found.warnings


def test_what_will_be_ignored_and_why(capture: Path, tmp_path: Path) -> None:
    save(capture / "a.jpg", texture(90, 120))
    save(capture / "b.jpg", texture(90, 120))
    save(capture / "tiny.jpg", texture(20, 30))
    (capture / "text.jpg").write_text("text")
    png_bomb(capture / "bomb.png", 50_000)
    found = look(capture, tmp_path / "w")
    reasons = {row.source: row.reason for row in found.ignored}
    assert reasons["b.jpg"] == "the same content as a.jpg"
    assert "too small" in reasons["tiny.jpg"]
    assert "text" in reasons["text.jpg"]
    assert "50000 x 50000" in reasons["bomb.png"]
    assert (found.photos, found.exact_duplicates) == (1, 1)
    assert any("needs three" in warning for warning in found.warnings)


def test_blur_light_and_repetition_of_the_sample(capture: Path, tmp_path: Path) -> None:
    for index in range(10):
        sharp, blurred = texture(480, 640, index), cv2.GaussianBlur(texture(480, 640, 50 + index), (0, 0), 3)
        save(capture / f"{index:02d}a.jpg", sharp // 5 if index >= 6 else sharp)
        save(capture / f"{index:02d}b.jpg", blurred if index < 5 else sharp // 5, quality=80)
    found = look(capture, tmp_path / "w")
    assert found.sample is not None
    assert found.sample.images == 20
    assert found.sample.blurred == pytest.approx(0.25, abs=0.01)
    assert all("b.jpg" in name and int(name[:2]) < 5 for name in found.sample.least_sharp)
    assert found.sample.dark == pytest.approx(0.45, abs=0.01)
    assert found.sample.near_duplicates == pytest.approx(0.4, abs=0.01)
    assert any("blurred" in warning for warning in found.warnings)
    assert any("very dark" in warning for warning in found.warnings)


def test_a_large_folder_is_sampled(capture: Path, tmp_path: Path) -> None:
    for index in range(150):
        save(capture / f"{index}.jpg", texture(64, 64, index))
    found = look(capture, tmp_path / "w")
    assert found.photos == 150
    assert found.sample is not None
    assert found.sample.images == 40


def test_a_video(capture: Path, tmp_path: Path) -> None:
    views = pan(texture(96, 400), range(0, 180, 3), 96, 160)
    write_video(capture / "walk.mp4", views)
    found = look(capture / "walk.mp4", tmp_path / "w")
    (video,) = found.videos
    assert (video.source, video.width, video.height, video.codec, video.frames) == ("walk.mp4", 160, 96, "h264", 60)
    assert video.duration_s == pytest.approx(2.0, abs=0.05)
    assert 2 <= video.keyframes_estimated <= 60
    assert (found.frames, found.images_estimated, found.photos) == (60, video.keyframes_estimated, 0)


def test_blur_light_and_standstill_of_a_video(capture: Path, tmp_path: Path) -> None:
    sharp = pan(texture(240, 900), range(0, 440, 2), 240, 426)
    blurred = [cv2.GaussianBlur(view, (0, 0), 4) for view in sharp[140:]]
    write_video(capture / "good.mp4", sharp, options={"crf": "12", "preset": "ultrafast"})
    write_video(capture / "in part.mp4", sharp[:140] + blurred, options={"crf": "12", "preset": "ultrafast"})
    write_video(capture / "still.mp4", [view // 6 for view in [sharp[0]] * 140 + sharp[140:]], options={"crf": "12", "preset": "ultrafast"})
    found = look(capture, tmp_path / "w")
    good, in_part, still = (video.sample for video in found.videos)
    assert good is not None
    assert in_part is not None
    assert still is not None
    assert 18 <= good.images <= 22
    assert (good.blurred, good.dark, good.near_duplicates) == (0, 0, 0)
    assert in_part.blurred == pytest.approx(80 / 220, abs=0.1)
    assert in_part.least_sharp[0].startswith("in part.mp4 at ")
    assert (still.dark, still.near_duplicates) == (1, pytest.approx(140 / 220, abs=0.1))
    said = [text.split("sampled ")[1] for text in found.warnings if "frames of" in text]
    assert said == [
        "frames of in part.mp4 are blurred",
        "frames of still.mp4 are very dark",
        "frames of still.mp4 show the same as the one before",
    ]


def test_files_that_are_lost_are_named(capture: Path, tmp_path: Path) -> None:
    drone_photo(capture / "a.jpg", 0)
    for n in range(7):
        (capture / f"{n}.jpg").touch()
    assert "7 files can't be used: 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 2 more" in look(capture, tmp_path / "w").warnings


def test_costs_grow_with_the_preset_and_the_images(capture: Path, tmp_path: Path) -> None:
    def costs(count: int) -> dict[str, tuple[float, int, int]]:
        for index in range(count):
            save(capture / f"{index}.jpg", texture(600, 800, index), quality=40)
        return {cost.preset: (cost.minutes, cost.memory_mb, cost.disk_mb) for cost in look(capture, tmp_path / "w").costs}

    few, many = costs(4), costs(30)
    assert list(few) == ["fast", "default", "high"]
    for preset in few:
        assert all(large > small for small, large in zip(few[preset], many[preset], strict=True))
    assert many["fast"][0] <= many["default"][0] <= many["high"][0]
    assert many["fast"][1] < many["high"][1]


def test_nothing_usable_is_a_finding_not_a_crash(capture: Path, tmp_path: Path) -> None:
    (capture / "a.jpg").write_text("text")
    (capture / "b.mp4").write_text("text")
    found = look(capture, tmp_path / "w")
    assert (found.photos, found.images_estimated, found.sample, found.gps) == (0, 0, None, None)
    assert "nothing here can be used" in found.warnings[0]
