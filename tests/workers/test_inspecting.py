"""Captures looked at by a real worker, in a process of its own that hostile files may crash."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from servers import wait_until
from service_fixtures import Service
from sqlalchemy import select

from workers.chores import start_inspection
from workers.models import Capture, Chore, Delivery, File, Owner, Webhook


def photo(seed: int) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (120, 160, 3), np.uint8)
    Image.fromarray(noise).resize((640, 480)).save(stream, "JPEG")
    return stream.getvalue()


def slow_photos() -> dict[str, Path | bytes]:
    """Small files that take many seconds to look at: what is to be interrupted must not end by itself."""
    stream = io.BytesIO()
    Image.new("RGB", (6000, 6000)).save(stream, "PNG", compress_level=1)
    return {f"{i}.png": stream.getvalue() + bytes([i]) for i in range(30)}


def begin(service: Service, capture: str, *, is_told: bool = True) -> str:
    with service.node.database.writing() as session:
        chore = start_inspection(session, session.get_one(Capture, capture)).id
    if is_told:
        service.node.tickets.chore(chore)
    return chore


def look(service: Service, capture: str) -> Capture:
    return ended(service, begin(service, capture), capture)


def ended(service: Service, chore: str, capture: str) -> Capture:
    wait_until(lambda: chore_of(service, chore).state in ("done", "failed"), 30, "the inspection ends")
    with service.node.database.reading() as session:
        return session.get_one(Capture, capture)


def chore_of(service: Service, id: str) -> Chore:
    with service.node.database.reading() as session:
        return session.get_one(Chore, id)


def announced(service: Service) -> list[str]:
    with service.node.database.reading() as session:
        return list(session.scalars(select(Delivery.kind).order_by(Delivery.created_s)))


def packed(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize("service", ["embedded"], indirect=True)
def test_what_a_capture_holds_is_kept_with_it(service: Service) -> None:
    service.start_worker(processes=1)
    photos = service.add_capture({"b/1.jpg": photo(1), "b/ä 2.jpg": photo(2), "notes.txt": b"text"})
    with service.node.database.writing() as session:
        session.add(Webhook(owner_id="owner", url="https://example.org", secret="s"))
    seen = look(service, photos)
    assert seen.inspection is not None
    assert (seen.state, seen.error, seen.inspection["photos"], seen.inspection["files"]) == ("ready", None, 2, 3)
    assert [row["source"] for row in seen.inspection["ignored"]] == ["notes.txt"]
    assert {row["preset"] for row in seen.inspection["costs"]} == {"fast", "default", "high"}
    assert str(service.folder) not in json.dumps(seen.inspection)
    unpacked = look(service, service.add_capture({"all.zip": packed({"1.jpg": photo(3)})}))
    assert unpacked.inspection is not None
    assert unpacked.inspection["photos"] == 1
    assert announced(service) == ["capture.ready"] * 2


@pytest.mark.parametrize("service", ["embedded"], indirect=True)
def test_why_a_capture_can_not_be_used_is_told(service: Service) -> None:
    service.start_worker()
    with service.node.database.writing() as session:
        session.add(Owner(id="owner", name="owner"))
        session.flush()
        session.add(Webhook(owner_id="owner", url="https://example.org", secret="s"))
    cases: list[tuple[dict[str, bytes | Path], str, str]] = [
        ({"a.txt": b"text", "b.bin": b"more"}, "empty_capture", "no photo or video in the capture"),
        ({"a.jpg": b"no photo", "b.jpg": b"none either"}, "empty_capture", "none of the 2 files can be used: a.jpg: "),
        ({"a.zip": packed({"../../evil.jpg": photo(1)})}, "hostile_archive", "a path that leads outside"),
        ({"a.zip": b"PK\x03\x04 torn"}, "hostile_archive", "broken archive"),
        ({}, "empty_capture", "the capture has no file"),
    ]
    # their tickets are lost: the worker finds them
    begun = [
        (begin(service, capture := service.add_capture(files), is_told=False), capture, code, message) for files, code, message in cases
    ]
    for chore, capture, code, message in begun:
        refused = ended(service, chore, capture)
        assert refused.error is not None
        assert (refused.state, refused.inspection, refused.error["code"]) == ("ready", None, code)
        assert message in refused.error["message"]
        assert str(service.folder) not in json.dumps(refused.error)
    assert announced(service) == ["capture.failed"] * len(cases)


@pytest.mark.parametrize("service", ["fleet"], indirect=True)
def test_a_file_that_did_not_arrive_as_announced_is_damaged(service: Service) -> None:
    service.start_worker(processes=1)
    capture = service.add_capture({"good.jpg": photo(1), "bad.jpg": photo(2)})
    with service.node.database.writing() as session:
        for file in session.scalars(select(File)):
            file.sha256 = hashlib.sha256(photo(1)).hexdigest()  # as their client announced them; the bytes of one differ
    seen = look(service, capture)
    assert seen.error is not None
    assert (seen.state, seen.error["code"], seen.inspection) == ("failed", "damaged_upload", None)
    assert seen.error["message"].startswith("'bad.jpg' did not arrive as announced")
    with service.node.database.reading() as session:
        assert dict(session.execute(select(File.name, File.state)).all()) == {"good.jpg": "whole", "bad.jpg": "damaged"}  # type: ignore[arg-type]
    with service.node.database.writing() as session:
        session.delete(session.scalars(select(File).where(File.name == "bad.jpg")).one())
        session.get_one(Capture, capture).state = "ready"
    seen = look(service, capture)
    assert seen.inspection is not None
    assert (seen.state, seen.error, seen.inspection["photos"]) == ("ready", None, 1)


@pytest.mark.parametrize("service", ["embedded"], indirect=True)
@pytest.mark.service_settings(inspect_s=0.1)
def test_files_that_take_too_long_are_an_error_of_the_capture_and_not_a_dead_worker(service: Service) -> None:
    service.start_worker(processes=1)
    seen = look(service, service.add_capture({"1.jpg": photo(1)}))
    assert seen.error is not None
    assert (seen.state, seen.error["code"], seen.error["message"]) == ("ready", "too_slow", "looking at the files took longer than 0.1 s")
    assert service.wait(service.submit(service.add_toy_capture(2))).state == "done"


def children(service: Service) -> list[psutil.Process]:
    (worker,) = service.workers
    return [p for p in psutil.Process(worker.pid).children(recursive=True) if "workers.inspect_child" in " ".join(_command(p))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


@pytest.mark.parametrize("service", ["embedded"], indirect=True)
@pytest.mark.service_settings(attempts=2)
def test_what_crashes_dies_is_out_of_date_or_stops_is_told_counted_ended_or_given_back(service: Service) -> None:
    def looked_at() -> psutil.Process:
        wait_until(lambda: bool(children(service)), 20, "it is looked at")
        (child,) = children(service)
        return child

    worker = service.start_worker(processes=1)
    capture = service.add_capture(slow_photos())
    crashed = begin(service, capture)
    looked_at().send_signal(signal.SIGSEGV)
    wait_until(lambda: chore_of(service, crashed).state == "failed", 20, "the crash is told")
    with service.node.database.reading() as session:
        assert (session.get_one(Capture, capture).error or {})["message"] == "a library crashed while looking at the files"

    dying = begin(service, capture)
    for _ in range(2):
        child = looked_at()
        os.kill(child.ppid(), signal.SIGKILL)  # the pool's process that waits for it
        wait_until(lambda child=child: not child.is_running(), 30, "the child ends with it")
    wait_until(lambda: chore_of(service, dying).state == "failed", 20, "it fails")
    with service.node.database.reading() as session:
        assert session.get_one(Capture, capture).error == {
            "code": "crashed",
            "message": "looking at the capture: the worker process died 2 times",
            "remedy": "Please report it with the log",
        }

    first = begin(service, capture)
    child = looked_at()
    second = begin(service, capture)
    wait_until(lambda: not child.is_running(), 30, "the one that is out of date is ended")
    child = looked_at()
    assert (chore_of(service, first).state, chore_of(service, second).state) == ("cancelled", "running")
    worker.send_signal(signal.SIGTERM)
    worker.wait(15)
    assert (chore_of(service, second).state, chore_of(service, second).attempts) == ("pending", 0)
    wait_until(lambda: not child.is_running(), 30, "what it began ends with it")
