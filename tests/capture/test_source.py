from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from capture.media import save, texture

from recon.capture import hashcache
from recon.capture.source import open_source, read_source, write_source
from recon.errors import EmptyCapture, InputError, NotFound


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "capture"
    (made / "b").mkdir(parents=True)
    for index, name in enumerate(["IMG_10.jpg", "IMG_2.jpg", "b/IMG_1.png"]):
        save(made / name, texture(70, 80, index))
    (made / "notes.txt").write_text("hello")
    (made / "clip.MP4").write_bytes(b"not looked at yet")
    return made


def test_lists_files_in_natural_order(folder: Path, tmp_path: Path) -> None:
    source = open_source(folder, tmp_path / "w")
    assert [(file.relative, file.kind) for file in source.files] == [
        ("b/IMG_1.png", "photo"),
        ("clip.MP4", "video"),
        ("IMG_2.jpg", "photo"),
        ("IMG_10.jpg", "photo"),
        ("notes.txt", "ignored"),
    ]
    assert source.files[-1].reason == "neither photo nor video (.txt)"
    assert all(len(file.sha256) == 64 for file in source.photos + source.videos)


def test_survives_writing_and_reading(folder: Path, tmp_path: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    source = open_source(folder, tmp_path / "w")
    write_source(source, tmp_path)
    assert read_source(tmp_path) == source
    odd = next(file for file in source.files if "caf" in file.relative)
    assert odd.relative == "caf\\xe9.jpg"
    assert Path(odd.path).read_bytes() == b"x"


def test_key_follows_content_and_names_not_place(folder: Path, tmp_path: Path) -> None:
    key = open_source(folder, tmp_path / "w").key
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    assert open_source(moved, tmp_path / "w2").key == key
    (moved / "notes.txt").write_text("ignored files do not count")
    assert open_source(moved, tmp_path / "w2").key == key
    save(moved / "IMG_2.jpg", texture(70, 80, 9))
    assert open_source(moved, tmp_path / "w2").key != key
    (folder / "IMG_2.jpg").rename(folder / "IMG_3.jpg")
    assert open_source(folder, tmp_path / "w").key != key


def test_hashes_are_remembered_for_files_that_did_not_change(folder: Path, tmp_path: Path) -> None:
    before = open_source(folder, tmp_path / "w")
    remembered = tmp_path / "w" / "hashes.json"
    rows = json.loads(remembered.read_text())
    path = str(folder / "IMG_2.jpg")
    rows[path][2] = "0" * 64
    remembered.write_text(json.dumps(rows))
    assert {file.sha256 for file in open_source(folder, tmp_path / "w").photos} - {file.sha256 for file in before.photos} == {"0" * 64}
    os.utime(path, ns=(1, 1))
    assert open_source(folder, tmp_path / "w") == before
    remembered.write_text("torn {")
    assert open_source(folder, tmp_path / "w") == before


def test_hidden_files_and_results_are_not_the_capture(folder: Path, tmp_path: Path) -> None:
    before = open_source(folder, tmp_path / "w")
    for name in (".trash/a.jpg", "__MACOSX/IMG_2.jpg", "out/.recon/x/IMG.jpg", "out/preview.png", "._IMG_2.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    after = open_source(folder, tmp_path / "w")
    assert after.key == before.key
    assert {(file.relative, file.reason) for file in after.ignored} == {
        ("notes.txt", "neither photo nor video (.txt)"),
        ("out", "a folder of results"),
    }


def test_what_its_user_may_miss_is_lost_and_a_side_file_is_not(folder: Path, tmp_path: Path) -> None:
    before = open_source(folder, tmp_path / "w").key
    for name in ("flight.LRV", "IMG_2.DNG", "out/.recon/x"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    source = open_source(folder, tmp_path / "w")
    assert not source.lost
    assert source.key == before
    (folder / "more.zip").write_bytes(b"x")
    (folder / "empty.jpg").touch()
    (folder / "dangling.jpg").symlink_to(tmp_path / "nothing.jpg")
    (folder / "loop").symlink_to(folder)
    source = open_source(folder, tmp_path / "w")
    assert {file.relative: file.reason for file in source.lost} == {
        "more.zip": "an archive in the capture: unpack it, or pass a .zip alone",
        "empty.jpg": "an empty file",
        "dangling.jpg": "can't be read: No such file or directory",
        "loop": "a link that leads elsewhere",
    }
    assert source.key != before, "ingest tells of them: they belong to its recipe"


@pytest.mark.parametrize("kind", ["empty", "dangling", "archives"])
def test_a_capture_of_which_nothing_can_be_used_says_why(tmp_path: Path, kind: str) -> None:
    (tmp_path / "c").mkdir()
    for name in ("a", "b"):
        path = tmp_path / "c" / f"{name}.{'zip' if kind == 'archives' else 'jpg'}"
        path.symlink_to("nowhere") if kind == "dangling" else path.touch()
    reason = {"empty": "an empty file", "dangling": "can't be read: No such file", "archives": "an archive in the capture"}[kind]
    with pytest.raises(EmptyCapture, match=rf"nothing in .*c can be used: 2 files \(2 {reason}.*the first is a\."):
        open_source(tmp_path / "c", tmp_path / "w")


def test_a_capture_that_can_not_be_read_while_hashing_says_why(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> str:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(hashcache, "sha256_of", refused)
    with pytest.raises(EmptyCapture, match=r"4 files \(4 can't be read: Input/output error\)"):
        open_source(folder, tmp_path / "w")


def test_links_are_followed_inside_only(folder: Path, tmp_path: Path) -> None:
    outside = save(tmp_path / "outside.jpg", texture(70, 80, 5))
    (folder / "leads_out.jpg").symlink_to(outside)
    (folder / "dangling.jpg").symlink_to(tmp_path / "nothing.jpg")
    (folder / "loop").symlink_to(folder)
    (folder / "inside.jpg").symlink_to(folder / "IMG_2.jpg")
    files = {file.relative: file for file in open_source(folder, tmp_path / "w").files}
    assert files["leads_out.jpg"].reason == "a link that leads elsewhere"
    assert files["loop"].kind == "ignored"
    assert "can't be read" in files["dangling.jpg"].reason
    assert files["inside.jpg"].sha256 == files["IMG_2.jpg"].sha256


def test_raw_beside_jpeg_and_live_photo_clips_are_twins(folder: Path, tmp_path: Path) -> None:
    for name in ("IMG_2.DNG", "IMG_2.MOV", "walk.mov"):
        (folder / name).write_bytes(b"x")
    files = {file.relative: file for file in open_source(folder, tmp_path / "w").files}
    assert files["IMG_2.DNG"].reason == "the raw file of IMG_2.jpg"
    assert files["IMG_2.MOV"].reason == "the Live Photo clip of IMG_2.jpg"
    assert files["walk.mov"].kind == "video"


def test_a_single_photo_is_a_capture(folder: Path, tmp_path: Path) -> None:
    source = open_source(folder / "IMG_2.jpg", tmp_path / "w")
    assert [file.name for file in source.files] == ["IMG_2.jpg"]


def test_a_name_of_255_bytes(folder: Path, tmp_path: Path) -> None:
    long = "ä" * 125 + "x.jpg"
    assert len(os.fsencode(long)) == 255
    shutil.copy(folder / "IMG_2.jpg", folder / long)
    found = next(file for file in open_source(folder, tmp_path / "w").files if file.relative == long)
    assert len(found.name) <= 110
    assert found.name.endswith(".jpg")


def test_an_unhashed_source_lists_without_reading(folder: Path, tmp_path: Path) -> None:
    source = open_source(folder, tmp_path / "w", hashed=False)
    assert {file.sha256 for file in source.files} == {""}
    with pytest.raises(ValueError, match="no key"):
        _ = source.key


@pytest.mark.parametrize("names", [[], ["a.txt", "b.pdf", "c.txt"]])
def test_a_folder_without_images_says_what_it_found(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "c").mkdir()
    for name in names:
        (tmp_path / "c" / name).write_text("x")
    with pytest.raises(EmptyCapture, match=r"3 files \(2 neither photo nor video \(.txt\)" if names else "it is empty"):
        open_source(tmp_path / "c", tmp_path / "w")


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        open_source(tmp_path / "nowhere", tmp_path / "w")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(NotFound, match="link"):
        open_source(tmp_path / "link", tmp_path / "w")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("x")
    with pytest.raises(InputError, match="no photo, video or zip"):
        open_source(tmp_path / "thesis.docx", tmp_path / "w")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        open_source(Path("/dev/null"), tmp_path / "w")


def test_unreadable_parts_are_told(folder: Path) -> None:
    """Permissions don't bind root, so the reading is done by a process that gave it up, in a place that it may enter."""
    script = (
        "import encodings.ascii, os, sys, pathlib\n"
        "from recon.capture import devices\n"
        "from recon.capture.source import open_source\n"
        "from recon.errors import NotFound\n"
        "if os.geteuid() == 0: os.setegid(65534); os.seteuid(65534)\n"
        "folder, work = map(pathlib.Path, sys.argv[1:])\n"
        "for file in open_source(folder, work).ignored: print(file.relative, '|', file.reason)\n"
        "for name in ('locked', 'IMG_10.jpg'):\n"
        "    try: open_source(folder / name, work)\n"
        "    except NotFound as error: print('alone |', error)\n"
    )
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o777)
        made = shutil.copytree(folder, Path(place) / "capture")
        locked = made / "locked"
        locked.mkdir()
        (made / "IMG_10.jpg").chmod(0)
        locked.chmod(0)
        done = subprocess.run([sys.executable, "-c", script, made, Path(place) / "w"], capture_output=True, text=True)
        locked.chmod(0o755)
    lines = done.stdout.splitlines()
    assert "IMG_10.jpg | can't be read: Permission denied" in lines, done.stderr
    assert "locked | a folder that can't be read: Permission denied" in lines
    assert [line for line in lines if line.startswith("alone")] == [
        f"alone | {made / name} can't be read: Permission denied. Check its permissions" for name in ("locked", "IMG_10.jpg")
    ]


def test_a_zip_is_the_same_capture_as_its_folder(folder: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "capture"), "zip", folder))
    packed, plain = open_source(archive, tmp_path / "w"), open_source(folder, tmp_path / "w")
    assert packed.key == plain.key
    assert [(file.relative, file.name, file.reason) for file in packed.files] == [
        (file.relative, file.name, file.reason) for file in plain.files
    ]


def test_a_zip_is_unpacked_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "capture"), "zip", folder))
    first = open_source(archive, tmp_path / "w")
    stamps = {file.path: os.stat(file.path).st_ino for file in first.photos}
    again = open_source(archive, tmp_path / "w")
    assert again == first
    assert {file.path: os.stat(file.path).st_ino for file in again.photos} == stamps
    hashed: list[Path] = []
    monkeypatch.setattr(hashcache, "sha256_of", hashed.append)
    assert open_source(archive, tmp_path / "w") == first
    assert hashed == [], "neither the zip nor what came of it is read again"
    monkeypatch.undo()
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("more.jpg", b"x")
    assert len(open_source(archive, tmp_path / "w").photos) == len(first.photos) + 1
