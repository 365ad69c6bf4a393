"""Hostile, damaged and unreadable files through the whole command line."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from capture.media import png_bomb, save, texture
from conftest import Told
from test_bad_input import checked

Recon = Callable[..., Told]


def photo(path: Path, seed: int) -> bytes:
    return save(path, texture(120, 160, seed)).read_bytes()


def skipped(out: Path) -> dict[str, str]:
    files = (out / ".recon").glob("ingest-*/0*/skipped.json")
    rows = [row for file in files for row in json.loads(file.read_text())["skipped"]]
    assert len({row["source"] for row in rows}) == len(rows)
    return {row["source"]: row["reason"] for row in rows}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A zip of two good photos."""
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as made:
        for n in range(2):
            made.writestr(f"{n}.jpg", photo(tmp_path / "x.jpg", n))
    (tmp_path / "x.jpg").unlink()
    return tmp_path / "photos.zip"


def test_a_picture_bomb_alone(recon: Recon, tmp_path: Path) -> None:
    bomb = png_bomb(tmp_path / "bomb.png", 50_000)
    done = recon("process", bomb, "-o", tmp_path / "out")
    checked(done, 3, "empty_capture", "bomb.png can't be used: 50000 x 50000 pixels", "400,000,000")


def test_a_picture_bomb_among_good_photos_is_left_out(recon: Recon, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for n in range(3):
        photo(tmp_path / "c" / f"{n}.jpg", n)
    png_bomb(tmp_path / "c" / "bomb.png", 50_000)
    done = recon("process", tmp_path / "c", "-o", tmp_path / "out", "--until", "select")
    assert done.code == 0, done.text
    assert skipped(tmp_path / "out") == {"bomb.png": "50000 x 50000 pixels are more than the limit of 400,000,000 (ingest.max_pixels)"}


def test_a_zip_that_leads_outside(recon: Recon, tmp_path: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("../../evil.jpg", b"x")
    done = recon("process", archive, "-o", tmp_path / "deep" / "out")
    checked_hostile(done, "photos.zip holds '../../evil.jpg', a path that leads outside the archive")
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]


def test_a_zip_bomb(recon: Recon, tmp_path: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as opened, opened.open("bomb.jpg", "w") as entry:
        for _ in range(80):
            entry.write(bytes(1 << 20))
    checked_hostile(recon("process", archive, "-o", tmp_path / "out"), "photos.zip unpacks to more than 100 times")
    assert not list((tmp_path / "out").rglob("*.jpg"))


def checked_hostile(done: Told, words: str) -> None:
    assert (done.code, done.last["code"]) == (3, "hostile_archive"), done.text
    assert words in done.last["message"]


def test_a_zip_in_a_zip_and_a_damaged_entry_are_left_out(recon: Recon, tmp_path: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("more.zip", archive.read_bytes())
        opened.writestr("torn.jpg", b"A" * 999)
        with pytest.warns(UserWarning, match="Duplicate name"):
            opened.writestr("0.jpg", b"again")
    archive.write_bytes(archive.read_bytes().replace(b"A" * 999, b"B" * 999))
    done = recon("process", archive, "-o", tmp_path / "out", "--until", "select")
    assert done.code == 0, done.text
    assert skipped(tmp_path / "out") == {
        "more.zip": "an archive in an archive",
        "torn.jpg": "damaged in the archive: Bad CRC-32 for file 'torn.jpg'",
        "0.jpg": "a second file of this name in the archive",
    }


def test_a_folder_of_archives_alone(recon: Recon, tmp_path: Path, archive: Path) -> None:
    (tmp_path / "c").mkdir()
    archive.rename(tmp_path / "c" / "photos.zip")
    done = recon("process", tmp_path / "c", "-o", tmp_path / "out")
    checked(done, 3, "empty_capture", "1 file (1 an archive in the capture: unpack it", "photos.zip", "unpack archives")


def test_a_folder_of_which_nothing_can_be_read(recon: Recon, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "dangling.jpg").symlink_to("nowhere")
    (tmp_path / "c" / "loop.jpg").symlink_to("loop.jpg")
    done = recon("process", tmp_path / "c", "-o", tmp_path / "out")
    checked(done, 3, "empty_capture", "1 can't be read: No such file", "1 can't be read: Too many levels of symbolic links", "dangling.jpg")


def test_an_unreadable_photo_among_good_ones_is_left_out(recon: Recon, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for n in range(3):
        photo(tmp_path / "c" / f"{n}.jpg", n)
    (tmp_path / "c" / "loop.jpg").symlink_to("loop.jpg")
    done = recon("process", tmp_path / "c", "-o", tmp_path / "out", "--until", "select")
    assert done.code == 0, done.text
    assert skipped(tmp_path / "out") == {"loop.jpg": "can't be read: Too many levels of symbolic links"}
