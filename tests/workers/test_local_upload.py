"""Uploads in parts to a folder: where parts lie, sent again, torn, killed, finished twice at once."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recon.errors import Busy, DiskFull
from workers.errors import DamagedUpload
from workers.objects import LocalObjects

PART = 1000
CONTENT = bytes(range(256)) * 12
PARTS = [CONTENT[i : i + PART] for i in range(0, len(CONTENT), PART)]


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path)


def folder_of(objects: LocalObjects, upload: str) -> Path:
    return objects.root / ".uploads" / upload


def finish(objects: LocalObjects, upload: str, sha256: str | None = None) -> bytes:
    objects.finish_upload("a", upload, objects.parts("a", upload), sha256)
    assert not any((objects.root / ".uploads").iterdir())
    return objects.read("a")


def test_parts_of_one_size_are_written_where_they_belong(objects: LocalObjects) -> None:
    upload = objects.start_upload("a", PART)
    for number in (4, 2, 1, 3):
        objects.send_part("a", upload, number, PARTS[number - 1])
    written = (folder_of(objects, upload) / "file").stat()
    assert finish(objects, upload, hashlib.sha256(CONTENT).hexdigest()) == CONTENT
    assert (objects.root / "a").stat().st_ino == written.st_ino


def test_what_is_sent_again_replaces_a_part_only_once_it_is_whole(objects: LocalObjects) -> None:
    upload = objects.start_upload("a", PART)
    for number, content in enumerate(PARTS, 1):
        objects.send_part("a", upload, number, content[::-1] if number == 2 else content)
    with objects.part_writer("a", upload, 1) as torn:
        torn.write(b"half")
    with objects.part_writer("a", upload, 2) as right, objects.part_writer("a", upload, 2) as other:
        other.write(b"x" * PART)
        other.keep()
        right.write(PARTS[1])
        right.keep()
    kept = [path for path in folder_of(objects, upload).glob("00002.*") if path.suffix not in (".begun", ".again")]
    assert len(kept) == 1
    assert finish(objects, upload) == CONTENT


def test_of_many_who_send_one_part_two_take_room(objects: LocalObjects) -> None:
    upload = objects.start_upload("a", PART)
    with objects.part_writer("a", upload, 1) as first, objects.part_writer("a", upload, 1) as second:
        with pytest.raises(Busy, match="part 1 is being sent by two other requests"):
            objects.part_writer("a", upload, 1)
        objects.send_part("a", upload, 2, PARTS[1])
        second.write(PARTS[0])
        second.keep()
        first.write(b"half")
    for number in (1, 3, 4):
        objects.send_part("a", upload, number, PARTS[number - 1])
    assert finish(objects, upload) == CONTENT


def test_a_part_that_broke_off_is_written_anew_in_its_place(objects: LocalObjects) -> None:
    upload = objects.start_upload("a", PART)
    with objects.part_writer("a", upload, 4) as torn:
        torn.write(b"x" * PART)  # more than the last part has
    assert objects.parts("a", upload) == []
    for number, content in enumerate(PARTS, 1):
        objects.send_part("a", upload, number, content)
    assert finish(objects, upload) == CONTENT


def test_a_slow_writer_can_not_harm_a_file_that_was_finished_without_it(objects: LocalObjects) -> None:
    upload = objects.start_upload("a", PART)
    with objects.part_writer("a", upload, 1) as slow:
        slow.write(b"wrong")
        for number, content in enumerate(PARTS, 1):
            objects.send_part("a", upload, number, content)
        assert finish(objects, upload) == CONTENT
        slow.write(b"wrong" * 100)
        with pytest.raises(KeyError):
            slow.keep()
    assert objects.read("a") == CONTENT


def test_parts_of_other_sizes_are_joined_all_the_same(objects: LocalObjects) -> None:
    upload = objects.start_upload("a", PART)
    objects.send_part("a", upload, 1, CONTENT[:300])
    objects.send_part("a", upload, 2, CONTENT[300:1300])
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        objects.send_part("a", upload, 3, CONTENT[1300:])
    assert finish(objects, upload) == CONTENT[:1300]


def test_a_wrong_checksum_finishes_nothing(objects: LocalObjects) -> None:
    upload = objects.start_upload("a", PART)
    for number, content in enumerate(PARTS, 1):
        objects.send_part("a", upload, number, content)
    with pytest.raises(DamagedUpload, match=hashlib.sha256(CONTENT).hexdigest()):
        objects.finish_upload("a", upload, objects.parts("a", upload), "0" * 64)
    assert objects.find("a") is None
    assert len(objects.parts("a", upload)) == len(PARTS)


def test_finished_twice_at_once_it_is_finished_once(objects: LocalObjects) -> None:
    upload = objects.start_upload("a", PART)
    for number, content in enumerate(PARTS, 1):
        objects.send_part("a", upload, number, content)
    parts = objects.parts("a", upload)

    def try_it(_: int) -> bool:
        try:
            objects.finish_upload("a", upload, parts)
        except KeyError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(try_it, range(8))) == 1
    assert objects.read("a") == CONTENT


def test_a_full_disk_is_told_in_words(objects: LocalObjects) -> None:
    upload = objects.start_upload("a", PART)
    (folder_of(objects, upload) / "file").symlink_to("/dev/full")
    with pytest.raises(DiskFull):
        objects.send_part("a", upload, 1, PARTS[0])
    assert objects.parts("a", upload) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from workers.objects import LocalObjects
objects, upload = LocalObjects(Path(sys.argv[1])), sys.argv[2]
content = b"k" * 1000
objects.send_part("a", upload, 1, content)
with objects.part_writer("a", upload, 2) as writer:
    writer.write(content[:700])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_kill_what_had_arrived_is_there_and_the_rest_goes_in_place(objects: LocalObjects) -> None:
    upload = objects.start_upload("a", PART)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(objects.root), upload], env={**os.environ, "PYTHONPATH": "."})
    assert killed.returncode == -signal.SIGKILL
    assert [(part.number, part.size) for part in objects.parts("a", upload)] == [(1, PART)]
    objects.send_part("a", upload, 2, b"r" * PART)
    written = (folder_of(objects, upload) / "file").stat()
    assert finish(objects, upload) == b"k" * PART + b"r" * PART
    assert (objects.root / "a").stat().st_ino == written.st_ino
