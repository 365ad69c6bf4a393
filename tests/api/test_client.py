"""The Python client against a real service: uploads, downloads and events that go on where they were cut."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api_fixtures import Api
from sqlalchemy import select

from api.client import BusyError, Event, ProblemError, Recon
from workers.models import File

MB = 2**20
DYING = """
import os, signal, sys
from api.client import Recon

def watch(sent, total):
    if sent > 11 * 2**20:
        os.kill(os.getpid(), signal.SIGKILL)

Recon(sys.argv[1], sys.argv[2], at_once=1).upload(sys.argv[3], "walk", on_progress=watch)
"""


@pytest.fixture
def recon(api: Api) -> Iterator[Recon]:
    with Recon(api.url, key_of(api)) as made:
        yield made


def key_of(api: Api) -> str:
    return str(api.client.headers["Authorization"]).removeprefix("Bearer ")


def random_bytes(count: int) -> bytes:
    return random.Random(count).randbytes(count)


def stored(api: Api, capture: str) -> dict[str, bytes]:
    with api.service.node.database.reading() as session:
        rows = list(session.scalars(select(File).where(File.capture_id == capture)))
    place = api.service.node.place("owner")
    try:
        return {row.name: place.upload_path(row.object).read_bytes() for row in rows}
    finally:
        place.release()


def done_job(api: Api, recon: Recon, n: int = 3) -> str:
    api.service.start_worker()
    job = recon.submit(api.add_capture({"n.jpg": json.dumps({"n": n}).encode()}))
    assert recon.wait(job["id"])["state"] == "done"
    return str(job["id"])


@pytest.mark.api_settings(part_bytes=5 * MB)
def test_a_folder_is_uploaded_in_parts_several_at_once(api: Api, recon: Recon, tmp_path: Path) -> None:
    files = {"walk.mp4": random_bytes(16 * MB + 1), "day 2/a.jpg": b"a", "day 2/b#?.jpg": b"b"}
    for name, content in {**files, ".hidden/c.jpg": b"c", ".DS_Store": b"d", "empty.jpg": b""}.items():
        path = tmp_path / "walk" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    told, threads = [], set()

    def watch(sent: int, total: int) -> None:
        told.append((sent, total))
        threads.add(threading.current_thread().name)

    capture = recon.upload(tmp_path / "walk", "walk", on_progress=watch)
    assert (capture["state"], capture["name"], capture["files"]) == ("ready", "walk", 3)
    assert stored(api, capture["id"]) == files
    total = sum(len(content) for content in files.values())
    assert told[-1] == (total, total)
    assert [sent for sent, _ in told] == sorted(sent for sent, _ in told)
    assert len(threads - {"MainThread"}) > 1
    parts: list[httpx.Request] = []
    recon._others.event_hooks["request"].append(parts.append)
    assert recon.upload(tmp_path / "walk", "walk")["id"] == capture["id"]
    assert not parts  # all of it is there


@pytest.mark.api_settings(part_bytes=5 * MB)
def test_an_upload_goes_on_after_its_client_was_killed(api: Api, recon: Recon, tmp_path: Path) -> None:
    content = random_bytes(18 * MB)
    (tmp_path / "walk.mp4").write_bytes(content)
    died = subprocess.run([sys.executable, "-c", DYING, api.url, key_of(api), str(tmp_path / "walk.mp4")], check=False, timeout=60)
    assert died.returncode == -9
    (begun,) = recon.pages("/v1/captures")
    (file,) = recon.pages(f"/v1/captures/{begun['id']}/files")
    assert (begun["state"], file["state"]) == ("open", "uploading")
    assert [part["number"] for part in recon.ask("GET", f"/v1/files/{file['id']}")["parts"]] == [1, 2]
    sent: list[int] = []
    capture = recon.upload(tmp_path / "walk.mp4", "walk", on_progress=lambda done, _: sent.append(done))
    assert capture["id"] == begun["id"]
    assert next(count for count in sent if count) == 10 * MB  # not sent again
    assert stored(api, capture["id"]) == {"walk.mp4": content}


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_a_file_is_added_to_a_capture_by_its_id_and_a_deleted_one_is_not_gone_on_with(recon: Recon, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    (tmp_path / "b.jpg").write_bytes(b"b")
    capture = recon.upload(tmp_path / "a.jpg")
    assert capture["name"] == "a"
    assert recon.upload([tmp_path / "b.jpg"], capture=capture["id"])["files"] == 2
    recon.ask("DELETE", f"/v1/captures/{capture['id']}")
    assert recon.upload(tmp_path / "a.jpg")["id"] != capture["id"]
    with pytest.raises(FileNotFoundError):
        recon.upload(tmp_path / "c.jpg")


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_a_service_that_starts_late_is_waited_for(api: Api, tmp_path: Path) -> None:
    key = key_of(api)
    (tmp_path / "a.jpg").write_bytes(b"a")
    api.stop()
    starts = threading.Timer(1.0, api.start)
    starts.start()
    with Recon(api.url, key) as recon:
        assert recon.upload(tmp_path / "a.jpg")["state"] == "ready"
    starts.join()
    api.stop()
    with Recon(api.url, key, tries=2) as recon, pytest.raises(httpx.ConnectError):
        recon.job("0")


@pytest.mark.api_settings(rate="4/second")
@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_too_many_requests_wait_as_long_as_they_are_told(api: Api, recon: Recon) -> None:
    start = time.monotonic()
    for _ in range(9):
        recon.ask("GET", "/v1/owner")
    assert time.monotonic() - start > 1
    with Recon(api.url, key_of(api), tries=1) as hasty, pytest.raises(BusyError) as raised:
        for _ in range(9):
            hasty.ask("GET", "/v1/owner")
    assert (raised.value.status, raised.value.code) == (429, "too_many_requests")
    assert raised.value.retry_after_s >= 1


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_refusals_are_told_in_words(api: Api, recon: Recon) -> None:
    with pytest.raises(ProblemError) as raised:
        recon.job("3f9c0d7c1b2a4e5f6a7b")
    assert (raised.value.status, raised.value.code) == (404, "absent")
    assert "3f9c0d7c1b2a4e5f6a7b" in raised.value.detail
    with Recon(api.url, "rk_wrong") as stranger, pytest.raises(ProblemError) as raised:
        list(stranger.jobs())
    assert raised.value.status == 401
    assert raised.value.remedy
    with pytest.raises(ValueError, match="http"):
        Recon("localhost:8000", "rk_wrong")


def test_results_come_whole_go_on_after_a_cut_and_the_key_goes_to_no_other_host(api: Api, recon: Recon, tmp_path: Path) -> None:
    job = done_job(api, recon, 8)
    content = b"140"  # 0 + 1 + 4 + ... + 49
    (row,) = [row for row in recon.artifacts(job) if row["kind"] == "result"]
    assert row in list(recon.pages(f"/v1/jobs/{job}/artifacts"))  # a list that comes whole
    assert (row["size"], row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    asked: list[httpx.Request] = []
    for client in (recon._own, recon._others):
        client.event_hooks["request"].append(asked.append)
    part = tmp_path / f".{row['name']}.{row['sha256'][:12]}.part"
    part.write_bytes(content[:2])
    told: list[tuple[int, int]] = []
    assert recon.download(job, tmp_path, on_progress=lambda done, total: told.append((done, total))) == [tmp_path / row["name"]]
    assert (tmp_path / row["name"]).read_bytes() == content
    assert {request.headers["range"] for request in asked[1:]} == {"bytes=2-"}
    assert (told[0], told[-1]) == ((2, 3), (3, 3))
    elsewhere = [request for request in asked if not str(request.url).startswith(api.url)]
    assert len(elsewhere) == bool(api.service.settings.store)
    assert not any("authorization" in request.headers for request in elsewhere)
    asked.clear()
    recon.download(job, tmp_path, [row["name"]])
    assert len(asked) == 1  # the list: the file is there
    with pytest.raises(ProblemError) as raised:
        recon.download(job, tmp_path, ["none.ply"])
    assert raised.value.code == "absent"
    # what is there is another file, what was begun is damaged, what was begun is too long
    (tmp_path / row["name"]).write_bytes(b"149")
    part.write_bytes(b"2")
    with pytest.raises(ProblemError) as raised:
        recon.download(job, tmp_path)
    assert raised.value.code == "damaged"
    part.write_bytes(b"much too long")
    assert recon.download(job, tmp_path)[0].read_bytes() == content
    assert not part.exists()


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_events_go_on_when_the_api_is_started_again(api: Api) -> None:
    for i in range(3):
        (api.service.orders / str(i)).write_text("slow")
    key = key_of(api)
    events: list[Event] = []
    with Recon(api.url, key) as recon:
        job = recon.submit(api.add_capture({"n.jpg": b'{"n": 3}'}))["id"]
        listener = threading.Thread(target=lambda: events.extend(recon.events(job)))
        listener.start()
        api.service.start_worker()
        time.sleep(1.5)
        api.stop()
        api.start()
        listener.join(30)
        assert not listener.is_alive()
        assert events[-1].kind == "job"
        assert events[-1].told["state"] == "done"
        assert [event.id for event in events] == [event.id for event in recon.events(job)]
        assert len({event.id for event in events}) == len(events) > 3
        middle = len(events) // 2
        assert list(recon.events(job, events[middle].id)) == events[middle + 1 :]
        assert recon.wait(job)["state"] == "done"


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_jobs_are_listed_cancelled_and_deleted(api: Api, recon: Recon) -> None:
    capture = api.add_capture({"n.jpg": b'{"n": 3}'})
    ids = [recon.submit(capture, "fast", {"seed": seed}, until="ingest", priority=2)["id"] for seed in range(3)]
    assert [job["id"] for job in recon.pages("/v1/jobs", limit=2)] == ids[::-1]
    assert recon.job(ids[0])["until"] == "ingest"
    assert recon.cancel(ids[0])["state"] == "cancelled"
    assert [event.told.get("state") for event in recon.events(ids[0])][-1] == "cancelled"
    assert [job["id"] for job in recon.jobs("cancelled", capture)] == [ids[0]]
    recon.delete(ids[0])
    assert [job["id"] for job in recon.jobs()] == ids[:0:-1]
