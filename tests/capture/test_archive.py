from __future__ import annotations

import errno
import json
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from recon.capture.archive import Limits, unpack
from recon.capture.source import open_source
from recon.errors import DiskFull, EmptyCapture, HostileArchive, TooLarge


def packed(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return path


def everything(name: str) -> bool:
    return True


@pytest.mark.parametrize("name", ["../evil.jpg", "a/../../evil.jpg", "/etc/evil.jpg", "C:/evil.jpg", "C:\\evil.jpg", "..\\evil.jpg"])
def test_a_path_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    archive = packed(tmp_path / "slip.zip", {"good.jpg": b"x", name: b"x"})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(HostileArchive, match="outside"):
        unpack(archive, tmp_path / "w" / "t", everything)
    assert sorted(path for path in tmp_path.rglob("*") if path.name != "w") == before


def test_a_name_of_more_letters_than_any_file_system_takes_is_refused(tmp_path: Path) -> None:
    archive = packed(tmp_path / "long.zip", {"7" * 5000 + ".jpg": b"x"})  # Python refuses to read so long a number
    with pytest.raises(HostileArchive, match="5004 letters"):
        open_source(archive, tmp_path / "w")


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("photo.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(HostileArchive, match="a link"):
        unpack(tmp_path / "a.zip", tmp_path / "t", everything)


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    archive = packed(tmp_path / "bomb.zip", {"a.jpg": bytes(2_000_000)})
    with pytest.raises(HostileArchive, match="zip bomb"):
        unpack(archive, tmp_path / "t", everything, Limits(small_bytes=1_000_000))
    assert not (tmp_path / "t").exists()


def test_a_bomb_is_refused_at_the_default_limits(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.jpg", "w") as entry:
        for _ in range(80):
            entry.write(bytes(1 << 20))
    with pytest.raises(HostileArchive, match="more than 100 times"):
        open_source(tmp_path / "bomb.zip", tmp_path / "w")


def test_a_bomb_that_lies_about_its_size_is_stopped_while_it_unpacks(tmp_path: Path) -> None:
    archive = packed(tmp_path / "bomb.zip", {"a.jpg": bytes(2_000_000), "b.jpg": bytes(2_000_000)})
    raw = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = raw.find(signature)
        while at >= 0:
            raw[at + offset : at + offset + 4] = struct.pack("<I", 400_000)
            at = raw.find(signature, at + 4)
    archive.write_bytes(raw)
    unpack(archive, tmp_path / "t", everything, Limits(small_bytes=1_000_000))
    manifest = json.loads((tmp_path / "t" / "unpacked.json").read_text())
    assert manifest["files"] == []
    assert [reason.split(":")[0] for _, reason in manifest["ignored"]] == ["damaged in the archive"] * 2
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["unpacked.json"]


def test_limits_on_size_and_count(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", {f"{i}.jpg": bytes(1000) for i in range(10)}, zipfile.ZIP_STORED)
    with pytest.raises(TooLarge, match="the limit"):
        unpack(archive, tmp_path / "t", everything, Limits(total_bytes=5000))
    with pytest.raises(TooLarge, match="10 files; at most 9"):
        unpack(archive, tmp_path / "t", everything, Limits(entries=9))
    unpack(archive, tmp_path / "t", everything, Limits(total_bytes=10_000))
    assert len(list((tmp_path / "t").glob("*.jpg"))) == 10


def test_more_than_the_disk_holds_is_refused(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", {"a.jpg": bytes(100)}, zipfile.ZIP_STORED)
    raw = bytearray(archive.read_bytes())
    at = raw.find(b"PK\x01\x02")
    raw[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
    with (tmp_path / "big.zip").open("wb") as big:  # sparse: as large as what it claims, so that the ratio is honest
        big.truncate(0xFFFFFFF0)
        big.seek(0, 2)
        big.write(raw)
    with pytest.raises(TooLarge, match=r"the limit|are free"):
        unpack(tmp_path / "big.zip", tmp_path / "t", everything, Limits(total_bytes=1 << 30))


def test_an_archive_in_an_archive_is_left_out(tmp_path: Path) -> None:
    inner = packed(tmp_path / "inner.zip", {"a.jpg": b"x"})
    archive = packed(tmp_path / "a.zip", {"b.jpg": b"y", "inner.zip": inner.read_bytes()})
    source = open_source(archive, tmp_path / "w")
    assert [(file.relative, file.kind, file.reason) for file in source.files] == [
        ("b.jpg", "photo", ""),
        ("inner.zip", "ignored", "an archive in an archive"),
    ]


def test_of_two_entries_of_one_name_the_first_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for content in (b"first", b"second"):
            archive.NameToInfo.clear()  # else zipfile warns
            archive.writestr("a.jpg", content)
    source = open_source(tmp_path / "a.zip", tmp_path / "w")
    first, second = source.files
    assert (first.kind, first.name, Path(first.path).read_bytes()) == ("photo", "a.jpg", b"first")
    assert (second.lost, second.reason) == (True, "a second file of this name in the archive")
    assert second.name != first.name


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", {"a.jpg": b"x" * 50}, zipfile.ZIP_STORED)
    raw = bytearray(archive.read_bytes())
    raw[6] |= 1
    raw[raw.find(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(raw)
    with pytest.raises(HostileArchive, match="encrypted"):
        open_source(archive, tmp_path / "w")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("part", [0, 0.1, 0.6])
def test_a_damaged_entry_is_left_out_and_the_others_are_taken(tmp_path: Path, method: int, part: float) -> None:
    content = np.random.default_rng(5).integers(0, 200, 200_000, np.uint8).tobytes()
    archive = packed(tmp_path / "a.zip", {"a.jpg": b"good", "b.jpg": content, "c.jpg": b"good, too"}, method)
    with zipfile.ZipFile(archive) as opened:
        entry = opened.getinfo("b.jpg")
    start = entry.header_offset + 30 + len("b.jpg")
    raw = bytearray(archive.read_bytes())
    at = start + round(part * entry.compress_size)
    raw[at : at + 40] = bytes(byte ^ 0xA5 for byte in raw[at : at + 40])
    archive.write_bytes(raw)
    files = {file.relative: file for file in open_source(archive, tmp_path / "w").files}
    assert {name for name, file in files.items() if file.kind == "photo"} == {"a.jpg", "c.jpg"}
    assert files["b.jpg"].lost
    assert files["b.jpg"].reason.startswith("damaged in the archive: ")
    assert sorted(path.suffix for path in (tmp_path / "w" / "unpacked").rglob("*.*")) == [".jpg", ".jpg", ".json"]


def test_an_entry_that_is_packed_in_an_unknown_way_is_left_out(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", {"a.jpg": b"x", "b.jpg": b"y"}, zipfile.ZIP_STORED)
    raw = bytearray(archive.read_bytes())
    at = raw.find(b"PK\x01\x02")
    raw[at + 10 : at + 12] = struct.pack("<H", 97)
    archive.write_bytes(raw)
    (lost,) = open_source(archive, tmp_path / "w").lost
    assert lost.relative == "a.jpg"
    assert "can't be read" in lost.reason


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_as_one_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    archive = packed(tmp_path / "a.zip", {"a.jpg": b"x"})

    def full(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr("recon.capture.archive._Budget.add", full)
    with pytest.raises(DiskFull, match=r"a\.zip"):
        unpack(archive, tmp_path / "t", everything)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("damage", ["text", "cut", "content"])
def test_a_broken_archive_is_refused_and_leaves_nothing(tmp_path: Path, damage: str) -> None:
    archive = packed(tmp_path / "a.zip", {"a.jpg": bytes(range(256)) * 40}, zipfile.ZIP_STORED)
    raw = bytearray(archive.read_bytes())
    if damage == "text":
        raw = bytearray(b"this is no archive")
    elif damage == "cut":
        raw = raw[: len(raw) // 2]
    else:
        raw[5000] ^= 0xFF
    archive.write_bytes(raw)
    told = pytest.raises(EmptyCapture, match="damaged") if damage == "content" else pytest.raises(HostileArchive, match="broken")
    with told:
        open_source(archive, tmp_path / "w")
    assert not list((tmp_path / "w").rglob("*.jpg"))


def test_names_of_old_packers(tmp_path: Path) -> None:
    """UTF-8 without the flag that says so, bytes of another encoding, backslashes, 255 bytes, a name twice."""
    names = {"sAd.jpg": b"1", "sub\\b.jpg": b"2", "x" * 251 + ".jpg": b"3", "nXXd.jpg": b"4"}
    archive = packed(tmp_path / "a.zip", names, zipfile.ZIP_STORED)
    archive.write_bytes(archive.read_bytes().replace(b"sAd.jpg", b"s\xfcd.jpg").replace(b"nXXd.jpg", "nüd.jpg".encode()))
    files = open_source(archive, tmp_path / "w").files
    assert {Path(file.path).read_bytes() for file in files} == {b"1", b"2", b"3", b"4"}
    assert {file.relative for file in files} >= {"s\\xfcd.jpg", "sub/b.jpg", "nüd.jpg"}
    assert all(len(file.name) <= 110 for file in files)


def test_a_name_in_the_field_for_unicode_is_taken_if_it_is_that_of_the_entry(tmp_path: Path) -> None:
    """Info-ZIP's 0x7075, and a hostile one: it is looked at as any other name."""

    def archive(told: str, of: bytes) -> Path:
        field = struct.pack("<BI", 1, zlib.crc32(of)) + told.encode()
        entry = zipfile.ZipInfo("____.jpg")
        entry.extra = struct.pack("<HH", 0x7075, len(field)) + field
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr(entry, told + of.hex())
        return tmp_path / "a.zip"

    def names(path: Path) -> list[str]:
        return [file.relative for file in open_source(path, tmp_path / "w").files]

    assert names(archive("фото.jpg", b"____.jpg")) == ["фото.jpg"]
    assert names(archive("фото.jpg", b"another.jpg")) == ["____.jpg"]
    with pytest.raises(HostileArchive, match="outside"):
        names(archive("../a.jpg", b"____.jpg"))


def test_a_directory_is_counted_before_a_list_is_made_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0) + b"a/"
    directory = entry * 250_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(directory), 0, 0)
    (tmp_path / "a.zip").write_bytes(directory + end)
    monkeypatch.setattr(zipfile, "ZipInfo", None)  # no entry may be made
    with pytest.raises(TooLarge, match=r"a\.zip holds 250000 files or folders"):
        unpack(tmp_path / "a.zip", tmp_path / "t", everything)
    with pytest.raises(TooLarge, match=r"directory of a\.zip has 12,000,000 bytes; at most 1,000,000"):
        unpack(tmp_path / "a.zip", tmp_path / "t", everything, Limits(directory_bytes=1_000_000))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
