from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from capture.media import exif, png_bomb, save, texture, write_video

from recon.capture.pixels import read_rgb
from recon.capture.records import ImageRecord, locate, read_json, read_records
from recon.capture.source import open_source, write_source
from recon.config import Config, Ingest
from recon.stage import Work
from recon.stages.ingest import BLOCK, stage

RGB = cv2.GaussianBlur(texture(90, 120), (0, 0), 2.0)


class Ingested:
    """The capture's ``ingest``, all shards."""

    def __init__(self, capture: Path, place: Path, config: Config | None = None, threads: int = 1) -> None:
        (place / "source").mkdir(parents=True)
        write_source(open_source(capture, place / "w"), place / "source")
        inputs = {"source": (place / "source",)}
        self.shards = stage.split(config or Config(), inputs)
        folders = []
        for index, shard in enumerate(self.shards):
            out = place / str(index)
            out.mkdir()
            stage.run(config or Config(), inputs, shard, out, Work(threads=threads))
            folders.append(out)
        self.inputs = {"ingest": tuple(folders)}
        self.records = {record.name: record for folder in folders for record in read_records(folder)}
        self.skipped = {row["source"]: row["reason"] for folder in folders for row in read_json(folder / "skipped.json")["skipped"]}
        self.videos: list[dict[str, Any]] = [row for folder in folders for row in read_json(folder / "videos.json")["videos"]]

    def path(self, record: ImageRecord) -> Path:
        return locate(record.file, self.inputs)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    (tmp_path / "c" / "sub").mkdir(parents=True)
    return tmp_path / "c"


def test_original_bytes_where_every_reader_understands_them(capture: Path, tmp_path: Path) -> None:
    kept = [
        save(capture / "a.JPG", RGB),
        save(capture / "turned.jpg", np.ascontiguousarray(np.rot90(RGB)), exif=exif({0x0112: 6})),
        save(capture / "grey.jpg", RGB[..., 0]),
        save(capture / "sub" / "b.png", RGB),
    ]
    found = Ingested(capture, tmp_path / "out")
    assert list(found.records) == ["a.JPG", "grey.jpg", "sub/b.png", "turned.jpg"]
    for path in kept:
        record = found.records[path.relative_to(capture).as_posix()]
        assert found.path(record).read_bytes() == path.read_bytes()
        assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (record.width, record.height) == (120, 90)
        assert read_rgb(found.path(record)).shape == (90, 120, 3)
        assert record.source == path.relative_to(capture).as_posix()


def test_one_conversion_where_they_do_not(capture: Path, tmp_path: Path) -> None:
    save(capture / "a.heic", RGB)
    save(capture / "b.webp", RGB)
    save(capture / "c.jpg", RGB, "CMYK")
    save(capture / "d.tif", RGB)
    cv2.imwrite(str(capture / "e.png"), cv2.cvtColor(RGB, cv2.COLOR_RGB2BGR).astype(np.uint16) * 257)
    found = Ingested(capture, tmp_path / "out")
    assert list(found.records) == ["a.heic.jpg", "b.webp.jpg", "c.jpg", "d.tif.png", "e.png"]
    for name, tolerance in {"a.heic.jpg": 4, "b.webp.jpg": 4, "c.jpg": 6, "d.tif.png": 0, "e.png": 0}.items():
        stored = read_rgb(found.path(found.records[name]))
        assert np.abs(stored.astype(int) - RGB).mean() <= tolerance
    assert not found.skipped


def test_transparency_becomes_a_mask(capture: Path, tmp_path: Path) -> None:
    alpha = np.full((90, 120), 255, np.uint8)
    alpha[:, :50] = 0
    save(capture / "a.png", np.dstack([RGB, alpha]))
    found = Ingested(capture, tmp_path / "out")
    record = found.records["a.png"]
    assert record.mask is not None
    assert np.array_equal(cv2.imread(str(locate(record.mask, found.inputs)), cv2.IMREAD_UNCHANGED), alpha)


def test_bad_files_are_skipped_by_name_with_the_reason(capture: Path, tmp_path: Path) -> None:
    save(capture / "good.jpg", RGB)
    save(capture / "tiny.jpg", RGB[:40])
    cut = save(capture / "cut.jpg", texture(300, 400))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (capture / "text.jpg").write_text("not a photo\n")
    png_bomb(capture / "bomb.png", 50_000)
    (capture / "broken.mp4").write_bytes(bytes(5000))
    found = Ingested(capture, tmp_path / "out")
    assert list(found.records) == ["good.jpg"]
    assert not found.videos
    assert {name: reason.split(":")[0].split("(")[0].strip() for name, reason in found.skipped.items()} == {
        "tiny.jpg": "120 x 40 pixels; the shorter side must have 64",
        "cut.jpg": "damaged",
        "text.jpg": "not an image, but text",
        "bomb.png": "50000 x 50000 pixels are more than the limit of 400,000,000",
        "broken.mp4": "broken.mp4 is no video that can be read",
    }
    assert len(list((tmp_path / "out").glob("*/images/*"))) == 1, "nothing is left of what was skipped"


def test_files_that_never_came_to_be_read_are_skipped_by_name_too(capture: Path, tmp_path: Path) -> None:
    save(capture / "good.jpg", RGB)
    write_video(capture / "good.mp4", [texture(96, 160, i) for i in range(3)])
    (capture / "empty.jpg").touch()
    (capture / "more.zip").write_bytes(b"x")
    (capture / "dangling.jpg").symlink_to("nowhere")
    (capture / "notes.txt").write_text("a side file")
    found = Ingested(capture, tmp_path / "out")
    assert found.skipped == {
        "empty.jpg": "an empty file",
        "more.zip": "an archive in the capture: unpack it, or pass a .zip alone",
        "dangling.jpg": "can't be read: No such file or directory",
    }


def test_a_video_of_larger_frames_than_allowed_is_skipped(capture: Path, tmp_path: Path) -> None:
    write_video(capture / "a.mp4", [texture(96, 160)] * 3)
    found = Ingested(capture, tmp_path / "out", Config(ingest=Ingest(max_pixels=15_000)))
    assert not found.videos
    assert "160 x 96 pixels are more than the limit of 15,000 (ingest.max_pixels)" in found.skipped["a.mp4"]


def test_the_same_content_is_taken_once(capture: Path, tmp_path: Path) -> None:
    for name in ("a.jpg", "copy of a.jpg", "sub/a.jpg"):
        save(capture / name, RGB)
    save(capture / "b.jpg", texture(90, 120, 1))
    found = Ingested(capture, tmp_path / "out")
    assert list(found.records) == ["a.jpg", "b.jpg"]
    assert found.skipped == {"copy of a.jpg": "the same content as a.jpg", "sub/a.jpg": "the same content as a.jpg"}


def test_shards_are_blocks_of_photos_then_videos(capture: Path, tmp_path: Path) -> None:
    for index in range(BLOCK + 1):
        save(capture / f"{index}.jpg", texture(64, 64, index))
    write_video(capture / "v w.mp4", [texture(96, 160, i) for i in range(3)])
    found = Ingested(capture, tmp_path / "out")
    assert [(shard["kind"], len(shard["files"])) for shard in found.shards] == [("photos", BLOCK), ("photos", 1), ("video", 1)]
    assert list(found.records) == [f"{index}.jpg" for index in range(BLOCK + 1)]
    thumbs = [np.load(folder / "thumbs.npy") for folder in found.inputs["ingest"]]
    assert [len(thumb) for thumb in thumbs] == [BLOCK, 1, 0]
    (video,) = found.videos
    assert (video["name"], video["source"], video["width"], video["frames"]) == ("v_w.mp4", "v w.mp4", 160, 3)
    assert (found.inputs["ingest"][2] / video["file"]).read_bytes() == (capture / "v w.mp4").read_bytes()


def test_names_of_any_kind_end_up_safe(capture: Path, tmp_path: Path) -> None:
    names = [os.fsdecode(b"caf\xe9.jpg"), "ü" * 125 + "x.jpg", "a b.jpg", "-rf.jpg", "写真.heic"]
    for index, name in enumerate(names):
        save(capture / f"{index}{Path(name).suffix}", texture(64, 64, index)).rename(capture / name)
    found = Ingested(capture, tmp_path / "out")
    assert len(found.records) == len(names)
    assert not found.skipped
    assert all(name.isascii() and len(name) < 120 for name in found.records)
    assert all(read_rgb(found.path(record)).shape == (64, 64, 3) for record in found.records.values())


def test_results_do_not_depend_on_threads_or_place(capture: Path, tmp_path: Path) -> None:
    save(capture / "a.heic", RGB)
    save(capture / "b.jpg", texture(300, 400))
    one = Ingested(capture, tmp_path / "one", threads=1)
    capture.rename(tmp_path / "moved")
    Ingested(tmp_path / "moved", tmp_path / "two", threads=2)
    for folder in one.inputs["ingest"]:
        for path in (path for path in folder.rglob("*") if path.is_file()):
            assert (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes() == path.read_bytes()


def test_limits_are_options(capture: Path, tmp_path: Path) -> None:
    save(capture / "a.jpg", RGB)
    save(capture / "b.jpg", texture(30, 40))
    found = Ingested(capture, tmp_path / "out", Config(ingest=Ingest(min_size_px=16, max_pixels=5000)))
    assert list(found.records) == ["b.jpg"]
    assert "more than the limit of 5,000" in found.skipped["a.jpg"]
