"""Things that are no capture, each refused with a reason: none hangs, crashes, or is taken for a photo or video."""

from __future__ import annotations

import io
import os
import socket
import sqlite3
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from capture.media import pan, png_bomb, save, texture, write_audio, write_video
from PIL import Image

from recon.capture.source import open_source
from recon.errors import InputError
from recon.inspect import inspect

pytestmark = pytest.mark.timeout(30)
Make = Callable[[Path], object]
"""Puts the thing into an empty folder."""

MP4 = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41"
SESSION = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"


def holds(name: str, content: bytes | str) -> Make:
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def encoded(name: str, form: str, **options: object) -> Make:
    def make(folder: Path) -> None:
        stream = io.BytesIO()
        Image.fromarray(texture(80, 120)).save(stream, form, **options)
        (folder / name).write_bytes(stream.getvalue())

    return make


def first_part(name: str, share: float) -> Make:
    def make(folder: Path) -> None:
        path = save(folder / name, texture(80, 120))
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return make


def nothing(folder: Path) -> None:
    pass


def clip(folder: Path) -> Path:
    return write_video(folder / "clip.mp4", pan(texture(80, 160), range(6), 64, 96))


def without_index(folder: Path) -> None:
    path = clip(folder)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"moov") - 4])


def leads_elsewhere(text: str) -> Make:
    """A list, called a video, that names a good one in a folder that is passed over."""

    def make(folder: Path) -> None:
        (folder / "__MACOSX").mkdir()
        clip(folder / "__MACOSX")
        (folder / "list.mp4").write_text(text.format("__MACOSX/clip.mp4"))

    return make


def zipped(*entries: tuple[str, bytes], name: str = "c.zip", mode: int = 0o100644) -> Make:
    def make(folder: Path) -> None:
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for entry, content in entries:
                info = zipfile.ZipInfo(entry)
                info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
                archive.writestr(info, content)

    return make


def with_password(folder: Path) -> None:
    zipped(("a.jpg", b"secret"))(folder)
    content = bytearray((folder / "c.zip").read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    (folder / "c.zip").write_bytes(content)


def cut_zip(folder: Path) -> None:
    zipped(("a.jpg", os.urandom(4000)))(folder)
    (folder / "c.zip").write_bytes((folder / "c.zip").read_bytes()[:2000])


def tarred(folder: Path) -> None:
    with tarfile.open(folder / "photos.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))


def database(folder: Path, name: str) -> None:
    with sqlite3.connect(folder / name) as opened:
        opened.execute("create table photos (path)")


def linked_out(folder: Path) -> None:
    save(folder.parent / "outside.jpg", texture(80, 120))
    (folder / "link.jpg").symlink_to(folder.parent / "outside.jpg")


def listening(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(folder / "s.jpg"))


def floats(folder: Path) -> None:
    Image.fromarray(np.ones((80, 120), np.float32)).save(folder / "height.tif")


# (what it is, how it is made, a word of the reason)
REFUSED: list[tuple[str, Make, str]] = [
    ("nothing", nothing, "it is empty"),
    ("hidden files", holds(".a.jpg", "x"), "it is empty"),
    ("an empty photo", holds("a.jpg", b""), "an empty file"),
    ("text called a photo", holds("a.jpg", "a holiday"), "but text"),
    ("a web page called a photo", holds("a.jpg", "<!DOCTYPE html><html>Not found</html>"), "but text"),
    ("zeros of a broken copy", holds("a.jpg", bytes(4096)), "but zeros"),
    ("a photo of one pixel", lambda folder: save(folder / "a.jpg", np.zeros((1, 1, 3), np.uint8)), "too small"),
    ("a cut JPEG's first bytes", first_part("a.jpg", 0.01), "damaged"),
    ("a cut HEIC", first_part("a.heic", 0.01), "not an image"),
    ("a PNG whose header is a bomb", lambda folder: png_bomb(folder / "a.png", 60_000), "60000 x 60000"),
    ("a GIF animation", encoded("a.gif", "GIF", save_all=True, append_images=[Image.new("RGB", (120, 80))]), "photo nor video (.gif)"),
    ("a GIF called a photo", encoded("a.jpg", "GIF"), "not an image of a known format"),
    ("an icon called a photo", encoded("a.png", "ICO"), "not an image of a known format"),
    ("a JPEG 2000 called a photo", encoded("a.jpg", "JPEG2000"), "not an image of a known format"),
    ("a drawing", holds("a.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>"), "neither photo nor video (.svg)"),
    ("a drawing called a photo", holds("a.png", "<svg xmlns='http://www.w3.org/2000/svg'/>"), "but text"),
    ("PostScript called a photo", holds("a.jpg", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "but text"),
    ("a PDF", encoded("a.pdf", "PDF"), "neither photo nor video (.pdf)"),
    ("a PDF called a photo", encoded("a.jpg", "PDF"), "not an image of a known format"),
    ("heights as floats", floats, "32-bit float"),
    ("a raw photo of rubbish", holds("a.dng", os.urandom(512)), "raw"),
    ("a program called a photo", holds("a.jpg", b"\x7fELF\2\1\1" + bytes(200)), "not an image of a known format"),
    ("an encrypted file called a photo", holds("a.jpg", b"\x85\1\x0c\3" + os.urandom(300)), "not an image of a known format"),
    ("a database", lambda folder: database(folder, "photos.sqlite"), "neither photo nor video (.sqlite)"),
    ("a database called a photo", lambda folder: database(folder, "photos.jpg"), "not an image of a known format"),
    ("a mesh", holds("a.ply", "ply\nformat ascii 1.0\nelement vertex 0\nend_header\n"), "neither photo nor video (.ply)"),
    ("subtitles alone", holds("a.srt", "1\n00:00:00,000 --> 00:00:01,000\nHello\n"), "a video that is not here"),
    ("text called a video", holds("a.mp4", "a film"), "no video that can be read"),
    ("a video without its index", without_index, "no video that can be read"),
    ("a video of a header", holds("a.mp4", MP4), "no video that can be read"),
    ("sound called a video", lambda folder: write_audio(folder / "a.mp4"), "has no video stream, only audio"),
    ("sound", lambda folder: write_audio(folder / "a.wav"), "neither photo nor video (.wav)"),
    ("a playlist", holds("a.m3u8", PLAYLIST.format("https://example.org/a.ts")), "neither photo nor video (.m3u8)"),
    ("a playlist called a video", leads_elsewhere(PLAYLIST), "no video that can be read"),
    ("a list of parts called a video", leads_elsewhere("ffconcat version 1.0\nfile '{}'\n"), "no video that can be read"),
    ("a network session called a video", holds("a.mp4", SESSION), "no video that can be read"),
    ("an archive among files", zipped(("a.jpg", b"x")), "an archive in the capture"),
    ("a tar", tarred, "an archive in the capture"),
    ("a RAR", holds("a.rar", b"Rar!\x1a\7\1\0" + bytes(99)), "an archive in the capture"),
    ("an office file", zipped(("word/document.xml", b"<w/>"), name="a.docx"), "neither photo nor video (.docx)"),
    ("a link out of the capture", linked_out, "a link that leads elsewhere"),
    ("a link to nothing", lambda folder: (folder / "a.jpg").symlink_to("gone.jpg"), "can't be read"),
    ("a link to its own folder", lambda folder: (folder / "again").symlink_to(folder), "a link that leads elsewhere"),
    ("a pipe", lambda folder: os.mkfifo(folder / "a.jpg"), "not a regular file"),
    ("a socket", listening, "not a regular file"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "word"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_folder_of_one_thing_that_is_no_capture(make: Make, word: str, tmp_path: Path) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    make(folder)
    refused: InputError | None = None
    try:
        found = inspect(open_source(folder, tmp_path / "w", hashed=False), preflight=False)
    except InputError as error:
        refused = error
    if refused is not None:
        assert refused.code == "empty_capture"
        assert word in str(refused)
        assert refused.remedy
        return
    assert (found.photos, found.videos, found.kind) == (0, (), "")
    (row,) = found.ignored
    assert word in row.reason
    assert "nothing here can be used; the reasons stand under 'ignored'" in found.warnings


ALONE: list[tuple[str, Make, str, str, str]] = [
    ("an office file", zipped(("word/document.xml", b"<w/>"), name="a.docx"), "a.docx", "empty_capture", "no photo or video"),
    ("an empty archive", zipped(), "c.zip", "empty_capture", "it is empty"),
    ("an archive with a password", with_password, "c.zip", "hostile_archive", "is encrypted"),
    ("a cut archive", cut_zip, "c.zip", "hostile_archive", "broken archive"),
    ("text called an archive", holds("c.zip", "no zip"), "c.zip", "hostile_archive", "broken archive"),
    ("a zip bomb", zipped(("a.jpg", bytes(70 << 20))), "c.zip", "hostile_archive", "zip bomb"),
    ("a path out of an archive", zipped(("../../a.jpg", b"x")), "c.zip", "hostile_archive", "leads outside"),
    ("a link in an archive", zipped(("a.jpg", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777), "c.zip", "hostile_archive", "holds a link"),
    ("an archive in an archive", zipped(("b.zip", b"PK\5\6" + bytes(18))), "c.zip", "empty_capture", "an archive in an archive"),
    ("a RAR", holds("a.rar", b"Rar!\x1a\7\1\0" + bytes(99)), "a.rar", "input", "no photo, video or zip"),
    ("a pipe", lambda folder: os.mkfifo(folder / "a.mp4"), "a.mp4", "input", "neither a file nor a folder"),
    ("an empty photo", holds("a.jpg", b""), "a.jpg", "empty_capture", "an empty file"),
    ("a text", holds("notes.txt", "notes"), "notes.txt", "input", "no photo, video or zip"),
    ("nothing", nothing, "gone.mp4", "not_found", "does not exist"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "name", "code", "word"), [row[1:] for row in ALONE], ids=[row[0] for row in ALONE])
def test_one_thing_passed_alone(make: Make, name: str, code: str, word: str, tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(InputError) as raised:
        open_source(tmp_path / name, tmp_path / "w")
    assert raised.value.code == code
    assert word in str(raised.value)


def test_all_of_them_beside_good_photos_cost_nothing_but_their_place(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    (folder / "good").mkdir(parents=True)
    for index in range(3):
        save(folder / "good" / f"{index}.jpg", texture(80, 120, index + 1))
    for number, (_, make, _) in enumerate(REFUSED):
        inside = folder / f"{number:02d}" / "x"
        inside.mkdir(parents=True)
        make(inside)
    found = inspect(open_source(folder, tmp_path / "w", hashed=False), preflight=False)
    refused = {row.source.split("/")[0] for row in found.ignored}
    assert (found.photos, found.videos) == (4, ())  # what the link leads to lies within the capture here
    assert refused >= {f"{number:02d}" for number, row in enumerate(REFUSED) if "it is empty" not in row[2]}
