from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from capture.media import exif, png_bomb, rational, save, texture, write_dng
from PIL import Image

from recon.capture import raw
from recon.capture.photos import read_header, read_pixels, read_preview
from recon.errors import InputError, TooLarge

LIMIT = 400_000_000
H, W = 90, 120
RGB = cv2.GaussianBlur(texture(H, W), (0, 0), 2.0)  # smooth, so that lossy formats keep it


def difference(path: Path, expected: Any = RGB) -> float:
    pixels, _ = read_pixels(path, LIMIT)
    assert pixels.shape == expected.shape
    assert pixels.dtype == np.uint8
    return float(np.abs(pixels.astype(int) - expected).mean())


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_lossless_formats_are_exact(tmp_path: Path, suffix: str) -> None:
    assert difference(save(tmp_path / f"a.{suffix}", RGB)) == 0


@pytest.mark.parametrize("suffix", ["jpg", "heic", "webp"])
def test_lossy_formats_are_close(tmp_path: Path, suffix: str) -> None:
    assert 0 < difference(save(tmp_path / f"a.{suffix}", RGB)) < 3


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_cut_to_8(tmp_path: Path, suffix: str) -> None:
    grey = RGB[..., 1].astype(np.uint16) * 256 + 77
    path = save(tmp_path / f"a.{suffix}", grey)
    assert not read_header(path, LIMIT).verbatim
    assert difference(path, np.repeat(RGB[..., 1:2], 3, axis=2)) == 0


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_colour_is_cut_to_8(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), cv2.cvtColor(RGB, cv2.COLOR_RGB2BGR).astype(np.uint16) * 256 + 77)
    assert not read_header(path, LIMIT).verbatim
    assert difference(path) <= 1


def test_modes_with_fewer_colours(tmp_path: Path) -> None:
    grey = np.repeat(RGB[..., 1:2], 3, axis=2)
    assert difference(save(tmp_path / "grey.png", RGB[..., 1]), grey) == 0
    assert difference(save(tmp_path / "one.png", RGB[..., 1] > 128), np.repeat((RGB[..., 1:2] > 128) * 255, 3, axis=2)) == 0
    palette = Image.fromarray(RGB).quantize(64)
    palette.save(tmp_path / "palette.png")
    assert difference(tmp_path / "palette.png", np.asarray(palette.convert("RGB"))) == 0


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", RGB, "CMYK")
    header = read_header(path, LIMIT)
    assert (header.format, header.verbatim, header.stored_suffix("a.jpg")) == ("JPEG", False, "")
    assert difference(path) < 6


def test_transparent_pixels_become_a_mask(tmp_path: Path) -> None:
    alpha = np.full((H, W), 255, np.uint8)
    alpha[:30], alpha[30:40] = 0, 200
    path = save(tmp_path / "a.png", np.dstack([RGB, alpha]))
    pixels, mask = read_pixels(path, LIMIT)
    assert mask is not None
    assert (mask[:30] == 0).all()
    assert (mask[30:] == 255).all()
    assert np.array_equal(pixels[30:], RGB[30:])
    _, none = read_pixels(save(tmp_path / "b.png", np.dstack([RGB, np.full((H, W), 200, np.uint8)])), LIMIT)
    assert none is None


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    """The stored pixels are turned so that undoing the orientation gives the upright picture back."""
    undo = {1: RGB, 2: RGB[:, ::-1], 3: RGB[::-1, ::-1], 4: RGB[::-1]}
    undo |= {5: RGB.swapaxes(0, 1), 6: np.rot90(RGB), 7: np.rot90(RGB, 2).swapaxes(0, 1), 8: np.rot90(RGB, -1)}
    path = save(tmp_path / f"a.{suffix}", np.ascontiguousarray(undo[orientation]), exif=exif({0x0112: orientation}))
    assert difference(path) < 3
    header = read_header(path, LIMIT)
    assert (header.width, header.height) == (W, H)


def test_orientation_of_heic(tmp_path: Path) -> None:
    image = Image.fromarray(np.ascontiguousarray(np.rot90(RGB)))
    image.info["exif"] = exif({0x0112: 6}).tobytes()  # from here the encoder makes the file's own rotation, as phones do
    path = tmp_path / "a.heic"
    image.save(path, quality=95)
    header = read_header(path, LIMIT)
    pixels, _ = read_pixels(path, LIMIT)
    assert (header.width, header.height) == (pixels.shape[1], pixels.shape[0]) == (W, H)
    assert np.abs(pixels.astype(int) - RGB).mean() < 3


def test_header_of_a_phone_photo(tmp_path: Path) -> None:
    gps = {
        1: "N",
        2: (rational(48), rational(12), rational(30)),
        3: "E",
        4: (rational(16), rational(22), rational(0)),
        5: b"\0",
        6: rational(171),
    }
    tags = exif({0x010F: "Apple", 0x0110: "iPhone 15"}, {0x9003: "2024:05:17 09:01:02", 0x920A: rational(6.86), 0xA405: 24}, gps)
    for name in ("a.jpg", "a.heic"):
        header = read_header(save(tmp_path / name, RGB, exif=tags), LIMIT)
        assert header.camera == f"Apple iPhone 15 6.9mm 35mm=24 {W}x{H}"
        assert header.focal_px == pytest.approx(24 / 43.267 * 150, rel=1e-3)
        assert header.captured_at == "2024-05-17T09:01:02"
        assert header.gps is not None
        assert (header.gps.lat_deg, header.gps.alt_m) == (pytest.approx(48 + 12.5 / 60), 171)


def test_header_of_a_drone_photo(tmp_path: Path) -> None:
    xmp = b'<x drone-dji:GimbalYawDegree="+45" drone-dji:GimbalPitchDegree="-90" drone-dji:GimbalRollDegree="0"/>'
    header = read_header(save(tmp_path / "a.jpg", RGB, xmp=xmp), LIMIT)
    assert header.gimbal_deg == (45.0, -90.0, 0.0)


@pytest.mark.parametrize(
    ("name", "form", "stored"), [("a.JPG", "JPEG", "a.JPG"), ("a.heic", "HEIF", "a.heic.jpg"), ("a.tif", "TIFF", "a.tif.png")]
)
def test_names_end_as_what_is_stored(tmp_path: Path, name: str, form: str, stored: str) -> None:
    header = read_header(save(tmp_path / name, RGB), LIMIT)
    assert header.format == form
    assert name + header.stored_suffix(name) == stored


def test_the_format_is_told_by_content(tmp_path: Path) -> None:
    save(tmp_path / "a.heic", RGB).rename(tmp_path / "a.jpg")
    header = read_header(tmp_path / "a.jpg", LIMIT)
    assert (header.format, header.verbatim) == ("HEIF", False)


@pytest.mark.parametrize("form", ["EPS", "GIF", "PPM"])
def test_other_formats_are_not_opened_whatever_they_are_called(tmp_path: Path, form: str) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.jpg", format=form)
    with pytest.raises(InputError, match="not an image"):
        read_header(tmp_path / "a.jpg", LIMIT)


def test_a_photo_with_a_second_picture_is_a_jpeg(tmp_path: Path) -> None:
    first, second = Image.fromarray(RGB), Image.fromarray(np.ascontiguousarray(RGB[::2, ::2]))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second], quality=95)
    header = read_header(tmp_path / "a.jpg", LIMIT)
    assert (header.format, header.width, header.height) == ("JPEG", W, H)
    assert difference(tmp_path / "a.jpg") < 3


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    bomb = png_bomb(tmp_path / "bomb.png", 50_000)
    assert bomb.stat().st_size < 10_000
    for read in (read_header, read_pixels):
        with pytest.raises(TooLarge, match=r"50000 x 50000 .* 400,000,000"):
            read(bomb, LIMIT)


@pytest.mark.parametrize("kept", [0.3, 0.9])
@pytest.mark.parametrize("suffix", ["jpg", "png", "heic", "webp", "tif"])
def test_truncated_files_are_damaged(tmp_path: Path, suffix: str, kept: float) -> None:
    path = save(tmp_path / f"a.{suffix}", texture(300, 400))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(InputError, match=r"damaged|not an image"):
        read_pixels(path, LIMIT)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"hello, I am a text\n", "not an image, but text"), (bytes(999), "but zeros"), (b"\x01\x02\x00" * 99, "known format")],
)
def test_files_that_are_no_images(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_header(tmp_path / "a.jpg", LIMIT)


def test_broken_exif_does_not_cost_the_photo(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", RGB, exif=exif({0x010F: "Maker"}, {0x920A: rational(5)}))
    content = bytearray(path.read_bytes())
    at = content.find(b"Exif\0\0") + 6
    content[at + 8 : at + 60] = b"\xff" * 52
    path.write_bytes(content)
    header = read_header(path, LIMIT)
    assert (header.width, header.focal_px, header.gps) == (W, None, None)


def test_float_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="32-bit float"):
        read_pixels(save(tmp_path / "a.tif", RGB[..., 0].astype(np.float32)), LIMIT)


def test_preview_is_small_and_the_same_picture(tmp_path: Path) -> None:
    large = cv2.resize(RGB, (1600, 1200), interpolation=cv2.INTER_CUBIC)
    preview = read_preview(save(tmp_path / "a.jpg", large), 640, LIMIT)
    assert 640 <= preview.shape[1] <= 1280
    small = cv2.resize(cv2.cvtColor(large, cv2.COLOR_RGB2GRAY), preview.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(preview.astype(int) - small).mean() < 2


def test_raw_photos_name_what_is_missing_or_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.dng").write_bytes(b"no raw photo")
    reason = "LibRaw reads" if raw.available() else r"pip install 'recon\[raw\]' for LibRaw"
    with pytest.raises(InputError, match=reason):
        read_header(tmp_path / "a.dng", LIMIT)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, 1), (3, 2), (8, 3)])
def test_raw_photos_are_developed_upright(tmp_path: Path, orientation: int, turns: int) -> None:
    pytest.importorskip("rawpy")
    path = write_dng(tmp_path / "a.dng", np.ascontiguousarray(np.rot90(RGB, turns)), orientation)
    header = read_header(path, LIMIT)
    assert (header.format, header.verbatim, header.camera) == ("RAW", False, f"Maker Raw {W}x{H}")
    assert header.stored_suffix("a.dng") == ".jpg"
    pixels, mask = read_pixels(path, LIMIT)
    assert mask is None
    assert (header.width, header.height) == (pixels.shape[1], pixels.shape[0]) == (W, H)
    assert np.corrcoef(pixels[..., 1].ravel(), RGB[..., 1].ravel())[0, 1] > 0.95
    with pytest.raises(TooLarge):
        read_header(path, 1000)
