"""Files fetched by a real worker from a real web server, which breaks off, lies and sends too much; and from a bucket."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from file_server import Answer, FileServer, serving
from servers import SeaweedFS, is_alive, wait_until
from service_fixtures import Service
from sqlalchemy import select

from recon.errors import InputError
from workers import intake
from workers.chores import cancel_chore, start_import
from workers.imports import source_bucket
from workers.models import Capture, Chore, File
from workers.objects import LocalObjects
from workers.settings import Settings

PRIVATE = pytest.mark.service_settings(allow_private=True)
EMBEDDED = pytest.mark.parametrize("service", ["embedded"], indirect=True)
MB = 2**20


@pytest.fixture
def web() -> Iterator[FileServer]:
    with serving() as server:
        yield server


def begin(service: Service, capture: str, url: str, upload_bytes: int = 10**9, storage_bytes: int = 10**9) -> str:
    with service.node.database.writing() as session:
        row = session.get_one(Capture, capture)
        row.state = "open"
        chore = start_import(session, row, url, upload_bytes, storage_bytes).id
    service.node.tickets.chore(chore)
    return chore


def chore_of(service: Service, id: str) -> Chore:
    with service.node.database.reading() as session:
        return session.get_one(Chore, id)


def ended(service: Service, chore: str, seconds: float = 30) -> Chore:
    wait_until(lambda: chore_of(service, chore).state not in ("pending", "running"), seconds, "the import ends")
    return chore_of(service, chore)


def files(service: Service, capture: str) -> dict[str, tuple[str, bytes | None]]:
    """State and content by name."""
    place = service.node.place("owner")
    with service.node.database.reading() as session:
        rows = session.scalars(select(File).where(File.capture_id == capture)).all()
        return {row.name: (row.state, place.uploads.read(row.object) if row.state == "whole" else None) for row in rows}


def parts_of(service: Service, capture: str) -> int:
    """How many parts of the file that comes in are there."""
    with service.node.database.reading() as session:
        row = session.scalar(select(File).where(File.capture_id == capture))
    return 0 if row is None or row.upload is None else len(service.node.place("owner").uploads.parts(row.object, row.upload))


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@EMBEDDED
@PRIVATE
def test_a_file_is_fetched_and_its_name_is_the_servers(service: Service, web: FileServer) -> None:
    service.start_worker()
    capture = service.add_capture({})
    whole = noise(17 * MB + 5)  # more than one part
    for path, headers, name in (
        ("/a/flight%201.zip?token=secret", {}, "flight 1.zip"),
        ("/x", {"Content-Disposition": "attachment; filename*=UTF-8''%C3%A4.jpg"}, "ä.jpg"),
        ("/y.png", {"Content-Disposition": 'attachment; filename="../../etc/pass\\wd.jpg"'}, "wd.jpg"),
        ("/z", {"Content-Type": "image/jpeg"}, "z.jpg"),
    ):
        web.answers[path] = Answer(whole if name.endswith("zip") else b"jpeg", headers=headers)
        done = ended(service, begin(service, capture, web.url + path))
        assert (done.state, done.error) == ("done", None)
        assert (done.what["files"], done.what["bytes"]) == (1, len(web.answers[path].content))
        assert files(service, capture)[name] == ("whole", web.answers[path].content)
    assert len(files(service, capture)) == 4
    again = ended(service, begin(service, capture, f"{web.url}/z"))
    assert again.error is not None
    assert again.error["message"] == "the capture has a file 'z.jpg' already"


@EMBEDDED
@PRIVATE
def test_a_broken_connection_is_taken_up_where_it_broke(service: Service, web: FileServer) -> None:
    service.start_worker()
    capture, whole = service.add_capture({}), noise(3 * MB)
    web.answers["/a.zip"] = Answer(whole, headers={"ETag": '"1"'}, breaks_after=[MB + 1, MB])
    web.answers["/b.zip"] = Answer(whole, headers={"ETag": '"1"'}, breaks_after=[MB], ranges=False)
    web.answers["/c.zip"] = Answer(whole, breaks_after=[MB])  # nothing says that it is still the same file
    chores = [begin(service, capture, web.url + path) for path in ("/a.zip", "/b.zip", "/c.zip")]
    assert [ended(service, chore).error for chore in chores] == [None] * 3
    assert files(service, capture) == dict.fromkeys(("a.zip", "b.zip", "c.zip"), ("whole", whole))
    ranges = [asked.headers.get("Range") for asked in web.asked if asked.path == "/a.zip"]
    assert ranges == [None, f"bytes={MB + 1}-", f"bytes={2 * MB + 1}-"]
    assert [asked.headers.get("If-Range") for asked in web.asked if asked.path == "/c.zip"] == [None, None]


@EMBEDDED
@PRIVATE
def test_an_import_goes_on_after_its_worker_was_killed(service: Service, web: FileServer) -> None:
    goes_on = threading.Event()
    capture, whole = service.add_capture({}), noise(20 * MB)
    web.answers["/a.zip"] = Answer(whole, headers={"ETag": '"1"'}, breaks_after=[18 * MB], pause=lambda: (goes_on.wait(20), None)[1])
    worker = service.start_worker(processes=1)
    chore = begin(service, capture, f"{web.url}/a.zip")
    wait_until(lambda: parts_of(service, capture) == 1, 20, "a part has arrived")
    (process,) = psutil.Process(worker.pid).children()
    os.kill(process.pid, signal.SIGKILL)
    goes_on.set()
    assert ended(service, chore).error is None
    assert chore_of(service, chore).attempts == 2
    assert files(service, capture) == {"a.zip": ("whole", whole)}
    assert [asked.headers.get("Range") for asked in web.asked] == [None, f"bytes={intake.PART_BYTES}-"]


@EMBEDDED
@PRIVATE
def test_what_is_no_file_or_too_large_is_refused(service: Service, web: FileServer) -> None:
    service.start_worker()
    web.answers |= {
        "/page": Answer(b"<p>Log in</p>", headers={"Content-Type": "text/html; charset=utf-8"}),
        "/hidden.zip": Answer(b"\n <!DOCTYPE html><p>Log in</p>", headers={"Content-Type": "application/zip"}),
        "/large.zip": Answer(noise(2 * MB)),
        "/endless.zip": Answer(noise(2 * MB), headers={"Content-Length": ""}),
        "/empty.zip": Answer(b""),
        "/packed.zip": Answer(b"x", headers={"Content-Encoding": "gzip"}),
        "/inside.zip": Answer(status=302, headers={"Location": "http://2130706433/"}),
    }
    capture = service.add_capture({"there.jpg": b"x" * 100})
    cases: list[tuple[str, dict[str, Any], str, str]] = [
        ("/page", {}, "input", "is a web page, not a file"),
        ("/hidden.zip", {}, "input", "is a web page, not a file"),
        ("/gone.zip", {}, "input", "answers 404 Not Found"),
        ("/large.zip", {"upload_bytes": MB}, "too_large", "the file has more than 1,048,576 bytes"),
        ("/endless.zip", {"upload_bytes": MB}, "too_large", "the file has more than 1,048,576 bytes"),
        ("/large.zip", {"storage_bytes": 2 * MB + 99}, "over_quota", "you would store more than 2,097,251 bytes"),
        ("/empty.zip", {}, "input", "is an empty file"),
        ("/packed.zip", {}, "input", "is sent compressed"),
        ("/inside.zip", {}, "input", "an address in an unusual form"),
    ]
    for path, limits, code, message in cases:
        chore = ended(service, begin(service, capture, web.url + path, **limits))
        assert chore.state == "failed"
        assert chore.error is not None
        assert (chore.error["code"], message in chore.error["message"]) == (code, True), chore.error
    assert files(service, capture) == {"there.jpg": ("whole", b"x" * 100)}  # no half of a file stays
    uploads = service.node.place("owner").uploads
    assert isinstance(uploads, LocalObjects)
    assert not any(path.is_file() for path in (uploads.root / ".uploads").rglob("*"))


@EMBEDDED
def test_a_private_address_is_refused_by_the_worker_too(service: Service, web: FileServer) -> None:
    service.start_worker(processes=1)
    web.answers["/a.jpg"] = Answer(b"secret")
    chore = ended(service, begin(service, service.add_capture({}), f"{web.url}/a.jpg"))
    assert chore.error is not None
    assert chore.error["message"] == "127.0.0.1 has no public address"
    assert web.asked == []


@EMBEDDED
@PRIVATE
def test_an_import_that_is_cancelled_stops_within_seconds(service: Service, web: FileServer) -> None:
    service.start_worker()
    goes_on = threading.Event()
    web.answers["/a.zip"] = Answer(noise(MB), breaks_after=[1000], pause=lambda: (goes_on.wait(20), None)[1])
    capture = service.add_capture({})
    chore = begin(service, capture, f"{web.url}/a.zip")
    wait_until(lambda: bool(files(service, capture)), 20, "it comes in")
    pid = chore_of(service, chore).pid
    assert pid is not None
    with service.node.database.writing() as session:
        row = session.get_one(Chore, chore)
        assert cancel_chore(session, row)
        assert not cancel_chore(session, row)
    intake.drop_unfinished(service.node, row)
    wait_until(lambda: not is_alive(pid), 3, "its process ends")
    goes_on.set()
    assert (chore_of(service, chore).state, files(service, capture)) == ("cancelled", {})


@pytest.mark.parametrize("service", ["fleet"], indirect=True)
@pytest.mark.service_settings(import_buckets="offered, absent")
def test_a_prefix_of_an_offered_bucket_is_copied(service: Service, seaweed: SeaweedFS) -> None:
    source = seaweed.bucket("offered")
    if "offered" not in [row["Name"] for row in source._client.list_buckets()["Buckets"]]:
        source._client.create_bucket(Bucket="offered")
    wanted = {"flights/1/a.jpg": b"a", "flights/1/b/ä.jpg": noise(17 * MB)}
    for key, content in {**wanted, "flights/1/empty/": b"", "flights/10/c.jpg": b"c", "other.jpg": b"o"}.items():
        source.write(key, content)
    service.start_worker()
    for prefix, names in (("flights/1", ["1/a.jpg", "1/b/ä.jpg"]), ("flights/1/", ["a.jpg", "b/ä.jpg"]), ("other.jpg", ["other.jpg"])):
        capture = service.add_capture({"a.jpg": b"a"} if prefix.endswith("/") else {})  # one that is there already stays
        done = ended(service, begin(service, capture, f"s3://offered/{prefix}"))
        assert (done.state, done.error, done.what["files"]) == ("done", None, len(names))
        assert sorted(files(service, capture)) == names
    assert files(service, capture) == {"other.jpg": ("whole", b"o")}
    nothing = ended(service, begin(service, service.add_capture({}), "s3://offered/none"))
    assert nothing.error is not None
    assert nothing.error["message"] == "there is nothing at 's3://offered/none'"


def test_only_buckets_that_are_offered_are_read_and_never_the_services_own() -> None:
    settings = Settings(store="s3://own/prefix", import_buckets="offered,own")
    assert source_bucket(settings, "s3://offered/a/b?c#d")[1] == "a/b?c#d"
    for url in (
        "s3://own/owners/another/uploads",
        "s3://other/x",
        "s3:///x",
        "s3://",
        "s3://own",
        "s3://offered@other/x",
        "s3://OFFERED/x",
    ):
        with pytest.raises(InputError, match="does not import from the bucket"):
            source_bucket(settings, url)
    with pytest.raises(InputError):
        source_bucket(Settings(), "s3://offered/x")
