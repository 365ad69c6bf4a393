from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from capture.media import exif, save, texture

from recon.capture.pixels import read_grey, read_rgb, shrink, write_jpeg, write_png
from recon.errors import InputError, NotFound

RGB = cv2.GaussianBlur(texture(60, 80), (0, 0), 2.0)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_reads_upright_rgb(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a.{suffix}", np.ascontiguousarray(np.rot90(RGB)), exif=exif({0x0112: 6}))
    assert np.abs(read_rgb(path).astype(int) - RGB).mean() < 3
    assert np.abs(read_grey(path).astype(int) - cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)).mean() < 3


def test_png_is_lossless_and_jpeg_nearly(tmp_path: Path) -> None:
    write_png(tmp_path / "new" / "a.png", RGB)
    assert np.array_equal(read_rgb(tmp_path / "new" / "a.png"), RGB)
    write_jpeg(tmp_path / "new" / "a.jpg", RGB)
    assert 0 < np.abs(read_rgb(tmp_path / "new" / "a.jpg").astype(int) - RGB).mean() < 1.5


def test_jpegs_keep_colour_at_full_resolution(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2, 0], stripes[:, 1::2, 2] = 200, 200
    write_jpeg(tmp_path / "a.jpg", stripes)
    assert np.abs(read_rgb(tmp_path / "a.jpg").astype(int) - stripes).mean() < 6


def test_shrinking_keeps_pixel_centres() -> None:
    """A ramp of one grey level a pixel, worth x - 0.5 at each centre x, is the same ramp at the smaller image's centres."""
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None], 100, axis=0)
    small = shrink(ramp, 40)
    assert small.shape == (20, 40)
    centres = (np.arange(40) + 0.5) * 5
    assert np.abs(small[10] - (centres - 0.5)).max() <= 0.5
    assert shrink(ramp, 400) is ramp
    assert shrink(ramp, None) is ramp


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"gone\.jpg"):
        read_rgb(tmp_path / "gone.jpg")
    for content in (b"", b"text"):
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.jpg"):
            read_grey(tmp_path / "a.jpg")


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    write_png(path, RGB)
    assert np.array_equal(read_rgb(path), RGB)
