"""What phones leave in a folder: HEIC, Live Photos, raw files, bursts, lenses and zoom, exposures of one view."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
from capture.media import exif, pan, rational, save, texture, write_dng, write_video
from PIL import Image, TiffImagePlugin

from recon.capture import quality, raw
from recon.capture.brackets import brackets
from recon.capture.photos import orientation, read_header, read_pixels
from recon.capture.records import ImageRecord
from recon.capture.selection import select_photos
from recon.capture.source import open_source
from recon.config import Select
from recon.errors import InputError
from recon.inspect import inspect

LIMIT = 10**9
SCENE = texture(480, 900)
VIEW = pan(SCENE, [0], 480, 640)[0]


def phone(seconds: float = 0.0, focal_mm: float = 6.86, film_mm: int = 24, zoom: float = 1.0, make: str = "Apple", lens: str = "") -> Any:
    sub = {
        0x9003: f"2024:05:17 09:00:{int(seconds):02d}",
        0x9291: f"{round(seconds % 1 * 1000):03d}",
        0x920A: rational(focal_mm),
        0xA405: film_mm,
        0xA404: rational(zoom),
    }
    return exif({0x010F: make, 0x0110: "Phone"}, {**sub, **({0xA434: lens} if lens else {})})


def heic(path: Path, rgb: np.ndarray[Any, Any], tags: Any = None) -> Path:
    return save(path, rgb, exif=tags.tobytes()) if tags is not None else save(path, rgb)


def test_a_live_photos_clip_is_not_a_video(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    frames = pan(SCENE, range(0, 60, 10), 96, 128)
    for number in range(3):
        heic(folder / f"IMG_{number}.HEIC", pan(SCENE, [80 * number], 240, 320)[0], phone(10 * number))
        write_video(folder / f"IMG_{number}.{'MOV' if number else 'MP4'}", frames)
    write_video(folder / "IMG_7.MOV", frames)
    found = inspect(open_source(folder, tmp_path / "w", hashed=False), preflight=False)
    assert (found.photos, [video.source for video in found.videos]) == (3, ["IMG_7.MOV"])
    reasons = {row.source: row.reason for row in found.ignored}
    assert reasons == {f"IMG_{n}.{'MOV' if n else 'MP4'}": f"the Live Photo clip of IMG_{n}.HEIC" for n in range(3)}
    assert found.kind == "photos (Apple Phone), video"


def test_other_pictures_in_a_heic_are_not_read(tmp_path: Path) -> None:
    container = pillow_heif.from_pillow(Image.fromarray(VIEW))
    container.add_from_pillow(Image.fromarray(texture(120, 160, 9)))
    container.add_from_pillow(Image.fromarray(texture(480, 640, 8)))
    container.save(tmp_path / "portrait.heic", quality=95, primary_index=0)
    header = read_header(tmp_path / "portrait.heic", LIMIT)
    assert (header.width, header.height) == (640, 480)
    pixels, _ = read_pixels(tmp_path / "portrait.heic", LIMIT)
    assert np.abs(pixels.astype(int) - VIEW).mean() < 6


def test_a_heic_of_ten_bits_is_the_same_picture(tmp_path: Path) -> None:
    wide = cv2.GaussianBlur(VIEW, (0, 0), 2.0).astype(np.uint16) * 257
    pillow_heif.from_bytes("RGB;16", (640, 480), wide.tobytes()).save(tmp_path / "night.heic", quality=95)
    assert pillow_heif.open_heif(tmp_path / "night.heic", convert_hdr_to_8bit=False).info["bit_depth"] == 10
    pixels, _ = read_pixels(tmp_path / "night.heic", LIMIT)
    assert np.abs(pixels.astype(int) - wide // 257).mean() < 4


def test_each_lens_and_each_zoom_is_a_camera_of_its_own(tmp_path: Path) -> None:
    lenses = {"0.5x": (2.22, 13, 1.0), "1x": (6.86, 24, 1.0), "2x": (6.86, 48, 2.0), "3x": (9.0, 77, 1.0)}
    folder = tmp_path / "c"
    folder.mkdir()
    for number, (name, (focal_mm, film_mm, zoom)) in enumerate(lenses.items()):
        for shot in range(2):
            view = pan(SCENE, [40 * number + 20 * shot], 240, 320)[0]
            heic(
                folder / f"{name} {shot}.heic",
                view,
                phone(10 * number + 5 * shot, focal_mm, film_mm, zoom, lens=f"back camera {focal_mm}mm"),
            )
    found = inspect(open_source(folder, tmp_path / "w", hashed=False), preflight=False)
    assert [camera.images for camera in found.cameras] == [2, 2, 2, 2]
    focal = sorted(camera.focal_px or 0.0 for camera in found.cameras)
    assert focal == pytest.approx([film / 43.267 * 400 for film in (13, 24, 48, 77)], rel=1e-3)


def test_digital_zoom_scales_the_focal_length(tmp_path: Path) -> None:
    for name, make, zoom in (("a", "Google", 1.0), ("b", "Google", 2.0), ("c", "Apple", 2.0)):
        save(tmp_path / f"{name}.jpg", VIEW, exif=phone(make=make, zoom=zoom))
    a, b, c = (read_header(tmp_path / f"{name}.jpg", LIMIT) for name in "abc")
    assert a.focal_px == pytest.approx(24 / 43.267 * 800, rel=1e-3)
    assert b.focal_px == pytest.approx(2 * 24 / 43.267 * 800, rel=1e-3)
    assert c.focal_px == a.focal_px  # Apple's 35 mm equivalent is that of the zoomed photo
    assert a.camera != b.camera


def test_two_lenses_of_one_focal_length_are_two_cameras(tmp_path: Path) -> None:
    for name, lens in (("a", "back camera"), ("b", "front camera")):
        save(tmp_path / f"{name}.jpg", VIEW, exif=phone(lens=lens))
    assert read_header(tmp_path / "a.jpg", LIMIT).camera != read_header(tmp_path / "b.jpg", LIMIT).camera


def exposed(rgb: np.ndarray[Any, Any], stops: float) -> np.ndarray[Any, Any]:
    return (np.clip((rgb / 255.0) ** 2.2 * 2.0**stops, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


def taken(images: list[np.ndarray[Any, Any]], seconds: list[float]) -> tuple[list[ImageRecord], np.ndarray[Any, Any]]:
    measured = [quality.measure(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in images]
    records = [
        ImageRecord(
            name=f"{i}.jpg", file=f"{i}.jpg", source=f"{i}.jpg", sha256="", width=640, height=480, camera="c", sharpness=row.sharpness,
            brightness=row.brightness, captured_at=f"2024-05-17T09:00:{second:06.3f}",
        )
        for i, (row, second) in enumerate(zip(measured, seconds, strict=True))
    ]  # fmt: skip
    return records, np.array([row.thumb for row in measured])


def test_of_a_bracket_the_well_exposed_photo_stays() -> None:
    views = pan(SCENE, [0, 1, 2, 120], 480, 640)
    images = [exposed(views[0], -2), exposed(views[1], 2), views[2], exposed(views[3], -1)]
    records, thumbs = taken(images, [1.0, 1.3, 1.6, 3.0])
    assert brackets(records, thumbs) == {0: 2, 1: 2}
    selection = select_photos(records, thumbs, Select(), 100)
    assert [record.name for record in selection.records] == ["2.jpg", "3.jpg"]
    assert selection.rows[0]["reason"] == "another exposure of 2.jpg, taken within moments"


@pytest.mark.parametrize("step", [6, 12, 40])
def test_neighbours_of_another_exposure_are_no_bracket(step: int) -> None:
    views = pan(SCENE, [0, step], 480, 640)
    records, thumbs = taken([views[0], exposed(views[1], -1)], [1.0, 1.5])
    assert brackets(records, thumbs) == {}


def test_a_bracket_is_taken_at_once_by_one_camera() -> None:
    images = [VIEW, exposed(VIEW, -1)]
    records, thumbs = taken(images, [1.0, 21.0])
    assert brackets(records, thumbs) == {}
    records, thumbs = taken(images, [1.0, 1.2])
    assert brackets(records, thumbs) == {1: 0}
    other = [records[0], records[1].model_copy(update={"camera": "d"})]
    assert brackets(other, thumbs) == {}
    assert brackets([record.model_copy(update={"captured_at": None}) for record in records], thumbs) == {}


def test_night_photos_are_used() -> None:
    views = [exposed(view, -4) for view in pan(SCENE, range(0, 250, 50), 480, 640)]
    records, thumbs = taken(views, [float(n) for n in range(len(views))])
    assert max(record.brightness for record in records) < 0.15
    assert len(select_photos(records, thumbs, Select(), 100).records) == len(views)


def with_preview(path: Path, rgb: np.ndarray[Any, Any], turn: int) -> Path:
    """A DNG as phones write it: a thumbnail's directory, below it a JPEG of full size."""
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=95)
    jpeg = stream.getvalue()
    main, below = TiffImagePlugin.ImageFileDirectory_v2(), TiffImagePlugin.ImageFileDirectory_v2()
    main.update({254: 1, 256: 8, 257: 8, 259: 1, 271: "Apple", 272: "iPhone 15 Pro", 274: turn})
    main.tagtype[330], main[330] = 4, 0
    below.update({254: 1, 256: rgb.shape[1], 257: rgb.shape[0], 259: 7, 262: 6})
    for tag, value in ((273, 0), (279, len(jpeg))):
        below.tagtype[tag], below[tag] = 4, value
    second = 8 + len(main.tobytes(8))
    main[330] = second
    path.write_bytes(b"II*\0\x08\0\0\0" + main.tobytes(8) + below.tobytes(second) + jpeg)
    return path


@pytest.mark.parametrize(("turn", "turns"), [(1, 0), (6, 1), (3, 2), (8, 3)])
def test_a_raw_photo_without_libraw_is_its_preview(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: int, turns: int) -> None:
    monkeypatch.setattr(raw, "rawpy", None)
    rgb = cv2.GaussianBlur(texture(750, 1000), (0, 0), 2.0)
    path = with_preview(tmp_path / "IMG_1.DNG", np.ascontiguousarray(np.rot90(rgb, turns)), turn)
    header = read_header(path, LIMIT)
    assert (header.width, header.height, header.format, header.device) == (1000, 750, "RAW", "Apple iPhone 15 Pro")
    pixels, mask = read_pixels(path, LIMIT)
    assert mask is None
    assert np.abs(pixels.astype(int) - rgb).mean() < 3
    assert orientation(path, LIMIT) == 1


def test_a_raw_photo_without_libraw_and_preview_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "rawpy", None)
    small = with_preview(tmp_path / "small.dng", texture(90, 120), 1)
    with pytest.raises(InputError, match=r"need LibRaw, and this one has a preview of 120 x 90 pixels.*pip install 'recon\[raw\]'"):
        read_header(small, LIMIT)
    with pytest.raises(InputError, match="has no preview to use instead"):
        read_header(write_dng(tmp_path / "none.dng", texture(90, 120)), LIMIT)
    small.write_bytes(small.read_bytes()[:200])
    with pytest.raises(InputError, match="raw"):
        read_header(small, LIMIT)
