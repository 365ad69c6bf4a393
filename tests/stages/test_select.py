from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from capture.media import pan, save, texture, write_video
from stages.test_ingest import Ingested

from recon.capture.records import ImageRecord, ImageSet, read_json
from recon.config import Config, Select
from recon.errors import EmptyCapture
from recon.stage import Work
from recon.stages.select import stage

H, W, STEP = 240, 426, 6


class Selected:
    """``select`` of a capture, all shards."""

    def __init__(self, capture: Path, place: Path, config: Config | None = None, threads: int = 1) -> None:
        ingested = Ingested(capture, place / "ingest")
        self.shards = stage.split(config or Config(), ingested.inputs)
        folders = []
        for index, shard in enumerate(self.shards):
            out = place / "select" / str(index)
            out.mkdir(parents=True)
            stage.run(config or Config(), ingested.inputs, shard, out, Work(threads=threads))
            folders.append(out)
        self.folders = folders
        self.images = ImageSet.read({**ingested.inputs, "select": tuple(folders)})
        self.names = [record.name for record in self.images.records]
        self.rows: list[dict[str, Any]] = [row for folder in folders for row in read_json(folder / "keyframes.json")["frames"]]
        self.warnings: list[str] = [text for folder in folders for text in read_json(folder / "keyframes.json")["warnings"]]

    def record(self, name: str) -> ImageRecord:
        return self.images.records[self.names.index(name)]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    (tmp_path / "c").mkdir()
    return tmp_path / "c"


def views(count: int = 60, step: float = STEP) -> list[np.ndarray]:
    return pan(texture(H, W + round(step * count) + 10), [step * i for i in range(count)], H, W)


def test_keyframes_of_a_video(capture: Path, tmp_path: Path) -> None:
    truth = views()
    write_video(capture / "walk.mp4", truth, options={"crf": "10", "g": "12"})
    found = Selected(capture, tmp_path)
    assert 8 < len(found.names) < 40
    for record in found.images.records:
        assert record.name == f"walk.mp4/{record.frame:06d}.jpg"
        assert (record.sequence, record.source, record.width, record.height) == ("walk.mp4", "walk.mp4", W, H)
        assert record.timestamp_s == pytest.approx((record.frame or 0) / 30, abs=1e-3)
        pixels = cv2.cvtColor(cv2.imread(str(found.images.path(record))), cv2.COLOR_BGR2RGB)
        assert np.abs(pixels.astype(int) - truth[record.frame or 0]).mean() < 8, "the very frame, upright"
        assert record.sharpness > 0.3
    assert {record.camera for record in found.images.records} == {f"video walk.mp4 {W}x{H}"}
    assert [row["frame"] for row in found.rows if row["kept"]] == [record.frame for record in found.images.records]
    assert not found.warnings


def test_a_phone_video_is_upright(capture: Path, tmp_path: Path) -> None:
    truth = [np.ascontiguousarray(view[:, :200]) for view in views(20)]
    write_video(capture / "walk.mp4", [np.rot90(view, -1) for view in truth], rotation=90, options={"crf": "10"})
    found = Selected(capture, tmp_path)
    record = found.images.records[0]
    assert (record.width, record.height) == (200, H)
    pixels = cv2.cvtColor(cv2.imread(str(found.images.path(record))), cv2.COLOR_BGR2RGB)
    assert np.abs(pixels.astype(int) - truth[record.frame or 0]).mean() < 8


def test_keyframes_do_not_depend_on_threads(capture: Path, tmp_path: Path) -> None:
    write_video(capture / "walk.mp4", views(40))
    one, two = Selected(capture, tmp_path / "1", threads=1), Selected(capture, tmp_path / "2", threads=3)
    for path in (path for path in one.folders[0].rglob("*") if path.is_file()):
        assert (two.folders[0] / path.relative_to(one.folders[0])).read_bytes() == path.read_bytes()


def test_a_video_that_stands_still_keeps_what_there_is(capture: Path, tmp_path: Path) -> None:
    write_video(capture / "still.mp4", [views(1)[0]] * 45)
    found = Selected(capture, tmp_path)
    assert len(found.names) == 1
    assert found.warnings == ["still.mp4: 1 keyframe: nothing moves in 45 frames"]
    assert "nothing moves up to frame 44" in found.rows[-1]["reason"]


def test_a_damaged_video_says_what_is_lost(capture: Path, tmp_path: Path) -> None:
    path = write_video(capture / "cut.mp4", views(), container_options={"movflags": "faststart"}, options={"crf": "10", "g": "6"})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    found = Selected(capture, tmp_path)
    assert len(found.names) > 4
    assert len(found.warnings) == 1
    assert "cut.mp4: damaged; 3" in found.warnings[0]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (np.zeros((H, W, 3), np.uint8), r"all 10 frames are black or of one colour \(10 black\)"),
        (cv2.GaussianBlur(texture(H, W), (0, 0), 9), r"all 10 frames are blurred.*at most 0\.[01].* usable frames 0\.2"),
    ],
)
def test_a_video_that_shows_nothing_is_refused(capture: Path, tmp_path: Path, frame: np.ndarray, reason: str) -> None:
    write_video(capture / "dark.mp4", [frame] * 10, options={"crf": "23", "preset": "medium"})
    with pytest.raises(EmptyCapture, match=reason):
        Selected(capture, tmp_path)


def test_a_dark_video_beside_good_photos_is_left_out(capture: Path, tmp_path: Path) -> None:
    write_video(capture / "dark.mp4", [np.zeros((H, W, 3), np.uint8)] * 10)
    save(capture / "a.jpg", texture(90, 120))
    found = Selected(capture, tmp_path)
    assert found.names == ["a.jpg"]
    assert "dark.mp4: all 10 frames are black" in found.warnings[0]


def test_photos_pass_and_say_where_they_are(capture: Path, tmp_path: Path) -> None:
    for index in range(20):
        save(capture / f"{index}.jpg", texture(90, 120, index))
    found = Selected(capture, tmp_path)
    assert found.names == [f"{index}.jpg" for index in range(20)]
    assert {record.camera for record in found.images.records} == {"unknown camera 120x90"}
    assert all(found.images.path(record).is_file() for record in found.images.records)
    assert all(row["kept"] for row in found.rows)


def test_black_even_and_repeated_photos_are_dropped_with_the_reason(capture: Path, tmp_path: Path) -> None:
    save(capture / "1.jpg", texture(90, 120, 1))
    save(capture / "1 again.jpg", texture(90, 120, 1), quality=70)
    save(capture / "2.jpg", texture(90, 120, 2))
    save(capture / "black.jpg", np.zeros((90, 120, 3), np.uint8))
    save(capture / "white.jpg", np.full((90, 120, 3), 250, np.uint8))
    found = Selected(capture, tmp_path)
    reasons = {row["source"]: row["reason"] for row in found.rows if not row["kept"]}
    assert reasons.pop("black.jpg") == "the photo is black"
    assert reasons.pop("white.jpg") == "the photo is even"
    ((dropped, reason),) = reasons.items()
    assert {dropped, reason.removeprefix("shows the same as ")} == {"1.jpg", "1 again.jpg"}
    assert len(found.names) == 2


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.full((90, 120, 3), 10, np.uint8), "all 2 photos are black or of one colour"),
        (cv2.GaussianBlur(texture(360, 480), (0, 0), 9), r"all 2 photos are blurred.*usable photos 0\.08"),
    ],
)
def test_photos_that_show_nothing_are_refused(capture: Path, tmp_path: Path, image: np.ndarray, reason: str) -> None:
    save(capture / "a.png", image)
    save(capture / "b.png", image[:, ::-1].copy() // 2 + 40)
    with pytest.raises(EmptyCapture, match=reason):
        Selected(capture, tmp_path)


def test_no_usable_file_says_why(capture: Path, tmp_path: Path) -> None:
    (capture / "a.jpg").write_text("text")
    with pytest.raises(EmptyCapture, match=r"a\.jpg can't be used: not an image, but text"):
        Selected(capture, tmp_path / "1")
    (capture / "b.jpg").write_text("other text")
    (capture / "c.mp4").write_text("text too")
    with pytest.raises(EmptyCapture, match=r"none of the 3 photos and videos can be used: 2 x not an image, but text"):
        Selected(capture, tmp_path / "2")


def test_too_many_photos_are_spread(capture: Path, tmp_path: Path) -> None:
    for index in range(20):
        save(capture / f"{index}.jpg", texture(64, 64, index))
    found = Selected(capture, tmp_path, Config(select=Select(max_images=5)))
    assert found.names == ["0.jpg", "5.jpg", "10.jpg", "14.jpg", "19.jpg"]
    assert {row["reason"] for row in found.rows if not row["kept"]} == {"5 of 20 photos are used (select.max_images)"}


def test_too_many_keyframes_are_spread_and_removed(capture: Path, tmp_path: Path) -> None:
    write_video(capture / "walk.mp4", views(90))
    whole, few = Selected(capture, tmp_path / "1"), Selected(capture, tmp_path / "2", Config(select=Select(max_images=4)))
    assert len(whole.names) > 8
    assert len(few.names) == 4
    assert set(few.names) < set(whole.names)
    assert (few.names[0], few.images.records[-1].frame) == (whole.names[0], whole.images.records[-1].frame)
    files = sorted(path.name for path in (few.folders[0] / "images").rglob("*.jpg"))
    assert files == [name.split("/")[1] for name in few.names]
    assert "4 of" in few.warnings[0]
    assert sum(row["kept"] for row in few.rows) == 4


def test_photos_and_videos_share_the_limit(capture: Path, tmp_path: Path) -> None:
    for index in range(30):
        save(capture / f"{index}.jpg", texture(64, 64, index))
    write_video(capture / "walk.mp4", views(60))
    found = Selected(capture, tmp_path, Config(select=Select(max_images=19)))
    assert [shard["kind"] for shard in found.shards] == ["photos", "video"]
    assert sum(shard["limit"] for shard in found.shards) <= 19
    assert found.record("0.jpg").sequence is None
    assert sum(name.startswith("walk.mp4/") for name in found.names) == found.shards[1]["limit"]


def test_photos_from_everywhere_get_a_camera_each(capture: Path, tmp_path: Path) -> None:
    sizes = [(90, 120), (90, 120), (100, 120), (110, 120), (80, 120), (120, 90)]
    for index, (height, width) in enumerate(sizes):
        save(capture / f"{index}.jpg", texture(height, width, index))
    found = Selected(capture, tmp_path)
    assert len({record.camera for record in found.images.records}) == 6


def test_a_fast_recording_is_looked_at_thirty_times_a_second(capture: Path, tmp_path: Path) -> None:
    write_video(capture / "fast.mp4", views(120, STEP / 4), rate=120)
    found = Selected(capture, tmp_path)
    assert found.images.records
    assert all((record.frame or 0) % 4 == 0 for record in found.images.records)
    assert json.dumps(found.rows)
