"""Uploaded files: the same interface on a folder and on a bucket."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workers.bucket import Bucket
from workers.objects import LocalObjects, Objects

PART = 5 * 2**20
"""The least size of a part but the last on S3."""


@pytest.fixture(params=["local", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "local":
        return LocalObjects(tmp_path / "objects")
    bucket: Bucket = request.getfixturevalue("seaweed").bucket().below(tmp_path.name)
    return bucket


def test_files_are_written_read_listed_and_deleted(objects: Objects) -> None:
    assert objects.find("c/1") is None
    assert objects.write("c/1", b"0123456789")
    assert objects.write("c/ü 2", b"second")
    assert not objects.write("c/1", b"other", if_absent=True)
    assert objects.write("d/1", b"", if_absent=True)
    assert objects.read("c/1") == b"0123456789"
    assert b"".join(objects.stream("c/1", 2, 5)) == b"234"
    assert b"".join(objects.stream("c/1", 7)) == b"789"
    found = objects.find("c/1")
    assert found is not None
    assert found.size == 10
    assert [(stored.key, stored.size) for stored in objects.listed("c/")] == [("c/1", 10), ("c/ü 2", 6)]
    objects.delete(["c/1", "c/absent"])
    assert [stored.key for stored in objects.listed()] == ["c/ü 2", "d/1"]
    for read in (objects.read, lambda key: list(objects.stream(key))):
        with pytest.raises(KeyError):
            read("c/1")


def test_parts_come_in_any_order_and_make_one_file(objects: Objects) -> None:
    parts = {1: os.urandom(PART), 2: os.urandom(PART), 3: b"end"}
    upload = objects.start_upload("c/video")
    for number in (3, 1, 2, 1):  # one comes twice
        sent = objects.send_part("c/video", upload, number, parts[number])
        assert sent.size == len(parts[number])
    assert objects.find("c/video") is None
    arrived = objects.parts("c/video", upload)
    assert [(part.number, part.size) for part in arrived] == [(1, PART), (2, PART), (3, 3)]
    objects.finish_upload("c/video", upload, arrived)
    assert objects.read("c/video") == b"".join(parts.values())
    with pytest.raises(KeyError):
        objects.parts("c/video", upload)


def test_an_upload_that_is_dropped_leaves_nothing(objects: Objects) -> None:
    upload = objects.start_upload("c/video")
    objects.send_part("c/video", upload, 1, b"part")
    objects.drop_upload("c/video", upload)
    objects.drop_upload("c/video", upload)
    with pytest.raises(KeyError):
        objects.send_part("c/video", upload, 1, b"part")
    assert list(objects.listed()) == []


@pytest.mark.parametrize("key", ["../evil", "/etc/passwd", "a/../../b", "", ".uploads/x", "a\0b"])
def test_a_key_can_not_lead_out_of_the_folder(tmp_path: Path, key: str) -> None:
    local = LocalObjects(tmp_path / "objects")
    for call in (local.find, local.read, local.start_upload, lambda key: local.write(key, b"x"), lambda key: local.delete([key])):
        with pytest.raises(ValueError, match="no key of a file"):
            call(key)
    with pytest.raises(ValueError, match="no id of an upload"):
        local.parts("a", "../../etc")


def test_a_part_that_breaks_off_is_not_there(tmp_path: Path) -> None:
    local = LocalObjects(tmp_path / "objects")
    upload = local.start_upload("a")

    def broken() -> object:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        local.send_part("a", upload, 1, broken())  # type: ignore[arg-type]
    assert local.parts("a", upload) == []
    left = list((tmp_path / "objects" / ".uploads" / upload).iterdir())
    assert [path.name for path in left if path.stat().st_size] == []  # an empty file to lock stays
