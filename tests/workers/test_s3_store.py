"""The store on a real S3 server: killed, torn, raced, damaged, away. (What it shares with a local store: tests/test_storage.py.)"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servers import SeaweedFS, free_ports

from workers.bucket import PART_BYTES, Bucket
from workers.cache import FolderCache
from workers.errors import StoreAway, StoreDamaged, StoreRefused
from workers.s3 import S3Store


@pytest.fixture
def bucket(seaweed: SeaweedFS, tmp_path: Path) -> Bucket:
    return seaweed.bucket().below(tmp_path.name)


def store_on(bucket: Bucket, root: Path, max_bytes: int = 10**9) -> S3Store:
    """A worker's machine of its own: one bucket, another local folder."""
    return S3Store(bucket, root / "owner", FolderCache(root, max_bytes))


def fill(store: S3Store, key: str, **files: str) -> None:
    with store.scratch() as folder:
        for name, text in files.items():
            (folder / name).write_text(text)
        store.push(folder, key, {"peak_mb": 1})


def test_what_one_machine_pushes_another_pulls(bucket: Bucket, tmp_path: Path) -> None:
    one, other = store_on(bucket, tmp_path / "one"), store_on(bucket, tmp_path / "other")
    large = os.urandom(1000) * (PART_BYTES // 400)
    with one.scratch() as folder:
        (folder / "sub" / "empty").mkdir(parents=True)
        (folder / "sub" / "ü b.txt").write_text("text")
        (folder / "none").write_bytes(b"")
        (folder / "large").write_bytes(large)
        one.push(folder, "depth-1/0000", {"peak_mb": 1.5})
    pulled = other.pull("depth-1/0000")
    assert (pulled / "large").read_bytes() == large
    assert (pulled / "sub" / "ü b.txt").read_text() == "text"
    assert (pulled / "none").read_bytes() == b""
    assert (pulled / "sub" / "empty").is_dir()
    assert json.loads((pulled / "DONE").read_text()) == {"peak_mb": 1.5}
    assert other.manifest("depth-1/0000")["files"]["large"] == {"size": len(large), "sha256": hashlib.sha256(large).hexdigest()}


HALF_A_PUSH = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from workers.bucket import Bucket
from workers.cache import FolderCache
from workers.s3 import S3Store
bucket = Bucket(**eval(sys.argv[1]))
Bucket.write = lambda *_, **__: os.kill(os.getpid(), 9)
store = S3Store(bucket, Path(sys.argv[2]), FolderCache(Path(sys.argv[2]), 10**9))
with store.scratch() as folder:
    (folder / "a").write_text("half")
    store.push(folder, "fuse-1/0000", {})
"""


def test_a_push_killed_before_its_end_is_invisible_and_another_takes_its_place(bucket: Bucket, tmp_path: Path) -> None:
    root = str(Path(__file__).parent.parent.parent)
    settings = {"name": bucket.name, "prefix": bucket.prefix, "endpoint": bucket.endpoint, "region": bucket.region}
    settings |= {"access_key": bucket.access_key, "secret_key": bucket.secret_key}
    done = subprocess.run([sys.executable, "-c", HALF_A_PUSH, repr(settings), str(tmp_path / "killed"), root], check=False)
    assert done.returncode == -9
    assert [stored.key.rpartition("/")[2] for stored in bucket.listed("fuse-1/")] == ["a"]
    store = store_on(bucket, tmp_path / "store")
    assert not store.exists("fuse-1/0000")
    fill(store, "fuse-2/0000", a="whole")
    assert store.sweep_bucket() == 0  # it may still be under way
    assert store.sweep_bucket(older_s=-60) == 1
    assert [stored.key for stored in bucket.listed("fuse-1/")] == []
    assert store.exists("fuse-2/0000")
    with pytest.raises(KeyError):
        store.pull("fuse-1/0000")
    fill(store, "fuse-1/0000", a="whole")
    assert (store_on(bucket, tmp_path / "other").pull("fuse-1/0000") / "a").read_text() == "whole"
    store.delete("fuse-1/0000")
    assert list(bucket.listed("fuse-1/")) == []


def test_of_many_pushes_at_once_one_wins_whole(bucket: Bucket, tmp_path: Path) -> None:
    start = threading.Barrier(6)

    def push(i: int) -> None:
        store = store_on(bucket, tmp_path / str(i))
        with store.scratch() as folder:
            for name in "abc":
                (folder / name).write_text(str(i))
            start.wait()
            store.push(folder, "mesh-1/0000", {"by": i})

    threads = [threading.Thread(target=push, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pulled = store_on(bucket, tmp_path / "reader").pull("mesh-1/0000")
    winner = json.loads((pulled / "DONE").read_text())["by"]
    assert {(pulled / name).read_text() for name in "abc"} == {str(winner)}
    assert len(list(bucket.listed("mesh-1/"))) == 4  # the losers left nothing


def test_a_retried_last_write_that_meets_itself_is_no_loser(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Bucket.write

    def written_but_answered_late(self: Bucket, key: str, content: bytes, *, if_absent: bool = False) -> bool:
        honest(self, key, content, if_absent=if_absent)
        return honest(self, key, content, if_absent=if_absent)

    monkeypatch.setattr(Bucket, "write", written_but_answered_late)
    fill(store_on(bucket, tmp_path / "one"), "mesh-1/0000", a="text")
    assert (store_on(bucket, tmp_path / "other").pull("mesh-1/0000") / "a").read_text() == "text"


def test_damage_is_found_and_never_handed_on(bucket: Bucket, tmp_path: Path) -> None:
    store = store_on(bucket, tmp_path / "one")
    fill(store, "sfm-1/0000", model="right")
    key = store.object_key("sfm-1/0000", "model")
    bucket.write(key, b"wrong")
    other = store_on(bucket, tmp_path / "other")
    with pytest.raises(StoreDamaged, match=r"sfm-1/0000/.*/model .* has 5 bytes of another content than the 5 that were written"):
        other.pull("sfm-1/0000")
    bucket.delete([key])
    with pytest.raises(StoreDamaged, match="is missing from bucket"):
        other.pull("sfm-1/0000")
    assert not (tmp_path / "other" / "owner" / "sfm-1").exists()


def test_a_manifest_can_not_name_files_outside_its_folder(bucket: Bucket, tmp_path: Path) -> None:
    hostile = {"record": {}, "push": "p", "files": {"../../evil": {"size": 1, "sha256": ""}}, "empty_folders": []}
    bucket.write("sfm-1/0000/DONE", json.dumps(hostile).encode())
    with pytest.raises(StoreDamaged, match="outside its folder"):
        store_on(bucket, tmp_path / "one").pull("sfm-1/0000")


def test_the_local_copies_are_bounded_and_those_in_use_stay(bucket: Bucket, tmp_path: Path) -> None:
    store = store_on(bucket, tmp_path / "one", max_bytes=5000)
    for i in range(6):
        fill(store, f"depth-1/{i:04d}", a=str(i) * 2000)
        time.sleep(0.01)
    assert sum(1 for _ in store.root.glob("depth-1/*/DONE")) == 6  # all in use
    store.cache.release()
    assert sorted(path.parent.name for path in store.root.glob("depth-1/*/DONE")) == ["0004", "0005"]
    neighbour = store_on(bucket, tmp_path / "one", max_bytes=5000)
    held = neighbour.pull("depth-1/0000")
    for i in (1, 2, 3):
        store.pull(f"depth-1/{i:04d}")
    store.cache.release()
    assert (held / "a").read_text() == "0" * 2000
    neighbour.cache.release()
    assert sum(1 for _ in store.root.glob("depth-1/*/DONE")) <= 2


def test_urls_for_clients_read_write_and_expire(bucket: Bucket) -> None:
    content = b"a photo"
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    url = bucket.url_to_put("uploads/a.jpg", 60, digest)
    assert _put(url, b"another", {"x-amz-checksum-sha256": digest}) == 400
    assert _put(url, content, {"x-amz-checksum-sha256": digest}) == 200
    with urllib.request.urlopen(bucket.url_to_get("uploads/a.jpg", 60, 'a"\r\nx: ü.jpg')) as answer:
        assert answer.read() == content
        assert answer.headers["Content-Disposition"] == 'attachment; filename="a___x: _.jpg"'
    expired = bucket.url_to_get("uploads/a.jpg", 1)
    time.sleep(2.1)
    for refused in (expired, bucket.url_to_get("uploads/a.jpg", 60).replace("a.jpg", "b.jpg")):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(refused)


def test_files_and_unfinished_uploads_outlive_the_servers_death(seaweed: SeaweedFS, bucket: Bucket) -> None:
    parts = [os.urandom(5 * 2**20), os.urandom(5 * 2**20), b"the end"]
    bucket.write("whole", b"before")
    upload = bucket.start_upload("video.mp4")
    assert _put(bucket.url_to_put_part("video.mp4", upload, 1, 60), parts[0], {}) == 200
    seaweed.kill()
    seaweed.start()
    assert bucket.read("whole") == b"before"
    assert [(part.number, part.size) for part in bucket.parts("video.mp4", upload)] == [(1, len(parts[0]))]
    for number in (2, 3):
        bucket.send_part("video.mp4", upload, number, parts[number - 1])
    bucket.finish_upload("video.mp4", upload, bucket.parts("video.mp4", upload))
    assert b"".join(bucket.stream("video.mp4")) == b"".join(parts)
    assert b"".join(bucket.stream("video.mp4", 5, 25)) == parts[0][5:25]


def test_a_long_listing_comes_in_pages_and_goes_in_one_call(bucket: Bucket) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: bucket.write(f"many/{i:05d}", b"x"), range(1100)))
    listed = [stored.key for stored in bucket.listed("many/")]
    assert listed == [f"many/{i:05d}" for i in range(1100)]
    bucket.delete(listed)
    assert list(bucket.listed("many/")) == []


@pytest.fixture
def silent_port() -> Iterator[int]:
    """The port of a server that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


def test_a_store_that_is_away_says_so_in_time(silent_port: int) -> None:
    (port,) = free_ports(1)
    nobody = Bucket("recon", "", f"http://127.0.0.1:{port}", access_key="a", secret_key="b", region="r", tries=2)
    with pytest.raises(StoreAway, match=rf"the object store at http://127.0.0.1:{port} did not answer after 2 tries"):
        nobody.find("x")
    deaf = Bucket("recon", "", f"http://127.0.0.1:{silent_port}", access_key="a", secret_key="b", region="r", read_timeout_s=0.2, tries=2)
    started_s = time.monotonic()
    with pytest.raises(StoreAway, match="did not answer after 2 tries"):
        deaf.read("x")
    assert time.monotonic() - started_s < 10


def test_a_store_that_refuses_says_why(seaweed: SeaweedFS, tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="has no bucket absent"):
        list(seaweed.bucket("absent").listed())
    stranger = Bucket("recon", "", seaweed.endpoint, access_key="test-access", secret_key="wrong", region="us-east-1")
    with pytest.raises(StoreRefused, match="refused access to bucket recon"):
        stranger.write("x", b"y")
    (tmp_path / "file").write_text("text")
    with pytest.raises(StoreRefused):
        stranger.upload(tmp_path / "file", "x")


def _put(url: str, content: bytes, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, content, headers, method="PUT")
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
