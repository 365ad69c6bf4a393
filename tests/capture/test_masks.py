"""Masks beside photos and videos: recognised, matched with what they belong to, turned and sized as it is, refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from capture.media import exif, pan, save, texture, write_video
from PIL import Image, ImageOps

from recon.capture.pixels import read_grey, read_rgb
from recon.capture.records import ImageRecord, locate, read_json, read_records
from recon.capture.source import Source, open_source, write_source
from recon.config import Config
from recon.inspect import inspect
from recon.simulate.panorama import spherical
from recon.stage import Work
from recon.stages import ingest, select

SIZE = (120, 90)
SHOWS = np.ones((SIZE[1], SIZE[0]), bool)
SHOWS[:30, 60:] = False
"""The upper right corner is hidden: no two turns of it are alike."""
HIDES = np.where(SHOWS, 255, 0).astype(np.uint8)


def photo(path: Path, seed: int = 0, turn: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, cv2.GaussianBlur(texture(SIZE[1], SIZE[0], seed), (0, 0), 1.0), exif=exif({0x0112: turn}))


def mask(path: Path, pixels: np.ndarray[Any, Any] = HIDES, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, pixels, mode)


def opened(capture: Path, tmp_path: Path) -> Source:
    return open_source(capture, tmp_path / "w")


def belongs(source: Source) -> dict[str, str]:
    return {file.relative: file.belongs_to for file in source.files if file.kind == "mask"}


class Taken:
    """A capture after ``ingest``, of photos alone or of one video, and then ``select``."""

    def __init__(self, capture: Path, place: Path) -> None:
        (place / "source").mkdir(parents=True)
        write_source(opened(capture, place), place / "source")
        self.inputs: dict[str, tuple[Path, ...]] = {"source": (place / "source",)}
        for stage in (ingest.stage, select.stage):
            (shard,) = stage.split(Config(), self.inputs)
            out = place / stage.name
            out.mkdir()
            stage.run(Config(), self.inputs, shard, out, Work())
            self.inputs[stage.name] = (out,)
        self.records = read_records(self.inputs["select"][0])
        told = self.inputs["ingest"][0] / "masks.json"
        self.told = read_json(told) if told.is_file() else {"used": 0, "ignored": [], "warnings": []}
        self.warnings = read_json(self.inputs["select"][0] / "keyframes.json")["warnings"]

    def mask(self, record: ImageRecord) -> np.ndarray[Any, Any] | None:
        return read_grey(locate(record.mask, self.inputs)) if record.mask else None


@pytest.mark.parametrize(
    "name",
    [
        "masks/a.png", "mask/a.png", "Masks/a.jpg.png", "masks/a_mask.png", "masks/images/a.png", "images_masks/a.png",
        "images/masks/a.png",         "images/a_mask.png", "images/a.mask.png", "images/a-mask.png", "images/a.jpg.mask.png", "masks/a.jpg",
    ],
)  # fmt: skip
def test_ways_to_name_a_mask(name: str, tmp_path: Path) -> None:
    photo(tmp_path / "c/images/a.jpg")
    photo(tmp_path / "c/images/b.jpg", 1)
    mask(tmp_path / "c" / name)
    source = opened(tmp_path / "c", tmp_path)
    assert belongs(source) == {name: "images/a.jpg"}
    assert [file.relative for file in source.photos] == ["images/a.jpg", "images/b.jpg"]


def test_masks_beside_folders_of_two_cameras_and_by_number(tmp_path: Path) -> None:
    for folder in ("left", "right"):
        for number in range(3):
            photo(tmp_path / "c" / folder / f"img_{number:03d}.jpg", number + 10 * (folder == "left"))
            mask(tmp_path / "c/masks" / folder / f"seg-{number}.png")
    assert belongs(opened(tmp_path / "c", tmp_path)) == {
        f"masks/{folder}/seg-{number}.png": f"{folder}/img_{number:03d}.jpg" for folder in ("left", "right") for number in range(3)
    }


def test_what_is_called_a_mask_and_is_none_stays_a_photo(tmp_path: Path) -> None:
    photo(tmp_path / "c/masks/venice.jpg")
    photo(tmp_path / "c/carnival_mask.jpg", 1)
    photo(tmp_path / "c/venice.jpg", 2)
    photo(tmp_path / "c/venice_mask.jpg", 3)
    source = opened(tmp_path / "c", tmp_path)
    assert not belongs(source)
    assert len(source.photos) == 4


def test_masks_of_nothing_and_second_ones_are_named(tmp_path: Path) -> None:
    photo(tmp_path / "c/a.jpg")
    for name in ("masks/a.png", "masks/z.png", "masks/a.jpg.png"):
        mask(tmp_path / "c" / name)
    source = opened(tmp_path / "c", tmp_path)
    assert belongs(source) == {"masks/a.jpg.png": "a.jpg"}
    reasons = {file.relative: file.reason for file in source.lost}
    assert reasons == {"masks/z.png": "a mask that fits no photo or video: none has its name", "masks/a.png": "a second mask of a.jpg"}


@pytest.mark.parametrize(
    ("turn", "upright"), [(1, False), (2, False), (3, False), (5, False), (6, False), (8, False), (5, True), (6, True)]
)
def test_a_mask_stands_as_its_photo(turn: int, upright: bool, tmp_path: Path) -> None:
    photo(tmp_path / "c/a.jpg", turn=turn)
    stored = Image.fromarray(HIDES)
    stored.getexif()[0x0112] = turn
    wanted = np.asarray(ImageOps.exif_transpose(stored))
    mask(tmp_path / "c/masks/a.png", wanted if upright else HIDES)
    taken = Taken(tmp_path / "c", tmp_path / "t")
    (record,) = taken.records
    found = taken.mask(record)
    assert found is not None
    assert read_rgb(locate(record.file, taken.inputs)).shape[:2] == found.shape
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("form", ["zeros and ones", "RGB", "palette", "1 bit", "16 bits", "transparent", "soft", "JPEG"])
def test_ways_to_store_a_mask(form: str, tmp_path: Path) -> None:
    photo(tmp_path / "c/a.jpg")
    if form == "zeros and ones":
        mask(tmp_path / "c/a_mask.png", HIDES // 255)
    elif form == "16 bits":
        mask(tmp_path / "c/masks/a.png", HIDES.astype(np.uint16) * 257)
    elif form == "transparent":
        mask(tmp_path / "c/a_mask.png", np.dstack([texture(SIZE[1], SIZE[0]), HIDES]))
    elif form == "soft":
        mask(tmp_path / "c/a_mask.png", np.where(SHOWS, 140, 110).astype(np.uint8))
    elif form == "JPEG":
        mask(tmp_path / "c/a_mask.jpg")
    else:
        mask(tmp_path / "c/a_mask.png", HIDES, {"RGB": "RGB", "palette": "P", "1 bit": "1"}[form])
    taken = Taken(tmp_path / "c", tmp_path / "t")
    found = taken.mask(taken.records[0])
    if form in ("16 bits", "soft"):  # 16 bits are depth, perhaps, and greys a picture
        assert found is None
        return
    assert found is not None
    assert np.mean((found > 0) != SHOWS) < 0.005


def test_another_size_is_fitted_where_the_shape_is_the_same_and_else_refused(tmp_path: Path) -> None:
    for number in range(4):
        photo(tmp_path / f"c/{number}.jpg", number)
    mask(tmp_path / "c/masks/0.png", cv2.resize(HIDES, (60, 45), interpolation=cv2.INTER_NEAREST))
    mask(tmp_path / "c/masks/1.png", cv2.resize(HIDES, (90, 90), interpolation=cv2.INTER_NEAREST))
    mask(tmp_path / "c/masks/2.png", np.zeros_like(HIDES))
    mask(tmp_path / "c/masks/3.png", np.full_like(HIDES, 255))
    look = inspect(opened(tmp_path / "c", tmp_path), preflight=False)
    assert (look.photos, look.masks) == (4, 3)
    assert {row.source: row.reason for row in look.ignored} == {
        "masks/1.png": "not used as a mask: 90 x 90 pixels are of another shape than its photo's 120 x 90"
    }
    taken = Taken(tmp_path / "c", tmp_path / "t")
    found = taken.mask(taken.records[0])
    assert found is not None
    assert found.shape == SHOWS.shape
    assert not (found[~SHOWS] > 0).any()  # the rim of what is hidden stays hidden
    assert np.mean((found > 0) != SHOWS) < 0.02
    assert [taken.mask(record) for record in taken.records[1:]] == [None, None, None]
    assert taken.told["used"] == 2
    (warning,) = taken.told["warnings"]
    assert "masks/1.png: 90 x 90 pixels are of another shape" in warning
    assert "masks/2.png: it hides all of its image" in warning


def test_transparency_and_a_mask_hide_together(tmp_path: Path) -> None:
    rgba = np.dstack([texture(SIZE[1], SIZE[0]), np.full((SIZE[1], SIZE[0]), 255, np.uint8)])
    rgba[60:, :, 3] = 0
    save(tmp_path / "a.png", rgba)
    (tmp_path / "c").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "c/a.png")
    mask(tmp_path / "c/masks/a.png")
    taken = Taken(tmp_path / "c", tmp_path / "t")
    found = taken.mask(taken.records[0])
    assert found is not None
    assert np.array_equal(found > 0, SHOWS & (rgba[..., 3] > 0))


@pytest.mark.parametrize("folder", ["masks", "walk_masks", "masks/walk"])
@pytest.mark.parametrize("first", [0, 1])
def test_masks_of_a_videos_frames_by_number(folder: str, first: int, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    frames = pan(texture(96, 500), np.arange(0, 240, 12), 96, 128)
    write_video(tmp_path / "c/walk.mp4", frames)
    for number in range(len(frames) - 4):
        moving = np.full((96, 128), 255, np.uint8)
        moving[:, 4 * number : 4 * number + 20] = 0
        mask(tmp_path / "c" / folder / f"frame_{number + first:05d}.png", moving)
    taken = Taken(tmp_path / "c", tmp_path / "t")
    assert len(taken.records) > 5
    for record in taken.records:
        found, frame = taken.mask(record), int(record.frame or 0)
        if frame >= len(frames) - 4:
            assert found is None
            continue
        assert found is not None
        hidden = np.flatnonzero(found[0] == 0)
        assert (hidden[0], hidden[-1]) == (4 * frame, 4 * frame + 19)
    assert any("keyframes have no mask: they are used whole" in warning for warning in taken.warnings)


def test_one_mask_for_all_frames_of_a_video(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    write_video(tmp_path / "c/walk.mp4", pan(texture(96, 500), np.arange(0, 240, 12), 96, 128), rotation=90)
    mask(tmp_path / "c/walk_mask.png", cv2.resize(HIDES, (128, 96), interpolation=cv2.INTER_NEAREST))
    taken = Taken(tmp_path / "c", tmp_path / "t")
    masks = [taken.mask(record) for record in taken.records]
    assert all(found is not None and found.shape == (128, 96) for found in masks)
    assert masks[0] is not None
    assert not masks[0][:64, :32].any()  # turned a quarter to the left, as its frames are
    assert masks[0][64:].all()


def test_a_panoramas_own_mask_hides_with_the_one_of_its_operator(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    write_video(tmp_path / "c/walk.mp4", pan(texture(96, 700), np.arange(0, 240, 12), 96, 192), container_options={"movflags": "faststart"})
    spherical(tmp_path / "c/walk.mp4")
    sky = np.full((96, 192), 255, np.uint8)
    sky[:20] = 0
    mask(tmp_path / "c/masks/0.png", sky)
    taken = Taken(tmp_path / "c", tmp_path / "t")
    by_frame = {record.frame: taken.mask(record) for record in taken.records}
    own, others = by_frame.pop(0), list(by_frame.values())
    assert own is not None
    assert others[0] is not None
    assert (others[0][0].all(), others[0][-1].any()) == (True, False)  # 30 degrees about straight down
    assert np.array_equal(own, np.minimum(others[0], sky))
