"""A job's events over HTTP: live, replayed, through restarts of the API and of the broker."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from api_fixtures import Api
from servers import wait_until
from sqlalchemy import select

from workers.events import Kind
from workers.jobs import end_job, locked, note
from workers.models import Event

embedded = pytest.mark.parametrize("api", ["embedded"], indirect=True)
Told = tuple[str, str, dict[str, Any]]
"""Id, kind, what was told."""


def parsed(answer: httpx.Response) -> Iterator[Told]:
    fields: dict[str, str] = {}
    until_s = time.monotonic() + 14
    for line in answer.iter_lines():  # comments come too, so that it never waits for long
        assert time.monotonic() < until_s, "no event for too long"
        name, _, value = line.partition(": ")
        fields[name] = value
        if not line:
            if "data" in fields:
                yield fields["id"], fields["event"], json.loads(fields["data"])
                until_s = time.monotonic() + 14
            fields = {}


def follow(api: Api, id: str, after: str | None = None, count: int | None = None) -> list[Told]:
    """Events until the stream ends, or so many."""
    headers = {**api.client.headers, **({"Last-Event-ID": after} if after else {})}
    told: list[Told] = []
    with httpx.stream("GET", f"{api.url}/v1/jobs/{id}/events", headers=headers, timeout=30) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        for event in parsed(answer):
            told.append(event)
            if len(told) == count:
                break
    return told


def job(api: Api) -> str:
    """A queued job, which no worker takes."""
    capture = api.service.add_toy_capture(6)
    return str(api.client.post("/v1/jobs", json={"capture_id": capture}).json()["id"])


def tell(api: Api, id: str, kind: Kind, **told: Any) -> None:
    """As workers do: what is to outlive the stream is noted first."""
    with api.service.node.database.writing() as session:
        row = locked(session, id)
        assert row is not None
        if kind == "job":
            end_job(session, row, told["state"])
        elif kind == "stage":
            note(session, row, kind, told)
    api.service.node.events.tell(id, kind, told)


def words(told: list[Told]) -> list[Any]:
    return [what.get("state", what.get("message")) for _, _, what in told]


def ids_of(told: list[Told]) -> list[tuple[int, ...]]:
    return [tuple(map(int, id.split("-"))) for id, _, _ in told]


def test_all_clients_are_told_the_same_while_the_broker_goes_and_comes_back(api: Api) -> None:
    for i in range(6):
        (api.service.orders / str(i)).write_text("slow")
    id = job(api)
    with ThreadPoolExecutor(20) as pool:
        clients: list[Future[list[Told]]] = [pool.submit(follow, api, id) for _ in range(20)]
        api.service.start_worker()
        wait_until(lambda: len(api.service.trace()) > 1, 20, "shards run")
        api.service.broker.stop()  # killed, it may lose the last second of what it told
        time.sleep(0.5)
        api.service.broker.start()
        assert api.service.wait(id).state == "done"
        told = [client.result(30) for client in clients]
    assert all(one == told[0] for one in told)
    assert (told[0][0][1:], told[0][-1][1:]) == (("job", {"state": "queued"}), ("job", {"state": "done"}))
    assert ids_of(told[0]) == sorted(set(ids_of(told[0])))
    with api.service.node.database.reading() as session:
        noted = [(row.kind, row.told) for row in session.scalars(select(Event).where(Event.job_id == id))]
    last = {what.get("stage"): (kind, what) for kind, what in noted}  # whatever the broker missed
    assert last.keys() == {None, "source", "ingest", "features", "products"}
    for stage, event in last.items():
        assert [one[1:] for one in told[0] if one[1] in ("job", "stage") and one[2].get("stage") == stage][-1] == event
    assert follow(api, id) == told[0]


@embedded
def test_one_who_comes_back_after_the_apis_restart_misses_nothing(api: Api) -> None:
    id = job(api)
    for i in range(3):
        tell(api, id, "log", message=f"before {i}")
    first = follow(api, id, count=3)
    assert words(first) == ["queued", "before 0", "before 1"]
    cut: list[Exception] = []

    def listen() -> None:
        try:
            follow(api, id)
        except httpx.HTTPError as error:
            cut.append(error)

    listener = threading.Thread(target=listen)
    listener.start()
    wait_until(lambda: _followers(api) == 1, 30, "it listens")
    api.server.config.timeout_graceful_shutdown = 1
    api.stop()
    listener.join(5)
    assert len(cut) == 1
    tell(api, id, "log", message="nobody hears")
    api.start()
    tell(api, id, "stage", stage="ingest", state="done")
    tell(api, id, "job", state="failed")
    rest = follow(api, id, after=first[-1][0])
    assert words(rest) == ["before 2", "nobody hears", "done", "failed"]
    assert first + rest == follow(api, id)


@embedded
def test_events_come_at_once_and_a_client_that_leaves_is_noticed(api: Api) -> None:
    id = job(api)
    with httpx.stream("GET", f"{api.url}/v1/jobs/{id}/events", headers=api.client.headers, timeout=30) as answer:
        events = parsed(answer)
        assert next(events)[2] == {"state": "queued"}
        wait_until(lambda: _followers(api) == 1, 30, "it follows")
        delays = []
        for i in range(5):
            began_s = time.monotonic()
            tell(api, id, "progress", fraction=i / 5)
            assert next(events)[2] == {"fraction": i / 5}
            delays.append(time.monotonic() - began_s)
        assert min(delays) < 0.5
    wait_until(lambda: _followers(api) == 0, 3, "it is let go")


@embedded
def test_without_a_broker_it_is_said_when_to_come_back(api: Api) -> None:
    id = job(api)
    api.service.broker.stop()
    for accept in ("text/event-stream", "application/json"):
        answer = api.client.get(f"/v1/jobs/{id}/events", headers={"Accept": accept})
        assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "broker_away", "5")
    api.service.broker.start()
    assert api.client.get(f"/v1/jobs/{id}/events", headers={"Accept": "application/json"}).status_code == 200


def test_what_the_broker_lost_comes_from_the_database(api: Api) -> None:
    id = job(api)
    for name in ("source", "ingest"):
        tell(api, id, "stage", stage=name, state="done")
        tell(api, id, "log", message="soon lost")
    first = follow(api, id, count=5)
    api.service.node.events.forget(id)
    replayed = page(api, id)
    assert [event[1:] for event in replayed] == [event[1:] for event in first if event[1] != "log"]
    assert ids_of(replayed) == sorted(set(ids_of(replayed)))
    tell(api, id, "log", message="later")
    tell(api, id, "stage", stage="features", state="done")
    assert words(page(api, id)) == ["queued", "done", "done", "later", "done"]
    assert words(page(api, id, after=first[-1][0])) == ["later", "done"]
    api.service.node.events.client.flushall()
    tell(api, id, "job", state="cancelled")
    assert words(follow(api, id)) == ["queued", "done", "done", "done", "cancelled"]
    api.service.node.events.forget(id)  # as after a week
    all_kept = follow(api, id)
    assert words(all_kept) == ["queued", "done", "done", "done", "cancelled"]
    assert follow(api, id, after=all_kept[2][0]) == all_kept[3:]


@embedded
def test_an_end_that_nobody_was_told_ends_the_stream_all_the_same(api: Api) -> None:
    id = job(api)
    tell(api, id, "log", message="last words")
    with ThreadPoolExecutor(1) as pool:
        listener = pool.submit(follow, api, id)
        wait_until(lambda: _followers(api) == 1, 30, "it listens")
        with api.service.node.database.writing() as session:
            row = locked(session, id)
            assert row is not None
            note(session, row, "stage", {"stage": "ingest", "state": "done"})
            end_job(session, row, "cancelled")
        told = listener.result(10)
    assert words(told) == ["queued", "last words", "done", "cancelled"]
    assert follow(api, id) == told
    # a browser that comes back is told to stay away
    for _ in range(2):
        answer = api.client.get(f"/v1/jobs/{id}/events", headers={"Last-Event-ID": told[-1][0]})
        assert (answer.status_code, answer.content) == (204, b"")
        api.service.node.events.forget(id)


@embedded
def test_what_was_not_told_before_the_end_comes_before_it(api: Api) -> None:
    for listens in (True, False):
        id = job(api)
        with ThreadPoolExecutor(1) as pool:
            if listens:
                listener = pool.submit(follow, api, id)
                wait_until(lambda: _followers(api) == 1, 30, "it listens")
            with api.service.node.database.writing() as session:
                row = locked(session, id)
                assert row is not None
                for told in ({"stage": "ingest", "state": "running"}, {"stage": "ingest", "state": "done"}):
                    note(session, row, "stage", told)
                note(session, row, "stage", {"stage": "features", "state": "running"})  # old news once it is done
            tell(api, id, "stage", stage="features", state="done")
            tell(api, id, "job", state="failed")
            heard = listener.result(10) if listens else follow(api, id)
        assert [(what.get("stage"), what["state"]) for _, _, what in heard] == [
            (None, "queued"), ("features", "done"), ("ingest", "running"), ("ingest", "done"), (None, "failed"),
        ]  # fmt: skip
        assert follow(api, id) == heard


@embedded
def test_a_job_that_is_tried_again_has_a_story_of_its_own(api: Api) -> None:
    id = job(api)
    tell(api, id, "log", message="first try")
    tell(api, id, "job", state="failed")
    assert words(follow(api, id)) == ["queued", "first try", "failed"]
    assert api.client.post(f"/v1/jobs/{id}/retry").status_code == 200
    assert words(page(api, id)) == ["queued"]
    api.service.node.events.forget(id)
    assert words(page(api, id)) == ["queued"]
    api.service.broker.stop()
    tell(api, id, "job", state="failed")
    refused = api.client.post(f"/v1/jobs/{id}/retry")
    assert (refused.status_code, api.service.job(id).state) == (503, "failed")


@embedded
def test_a_page_names_the_next_and_a_wrong_position_is_refused(api: Api) -> None:
    id = job(api)
    for i in range(9):
        api.service.node.events.tell(id, "log", {"message": str(i)})
    answer = api.client.get(f"/v1/jobs/{id}/events", params={"limit": 4}, headers={"Accept": "application/json"}).json()
    assert [row["told"] for row in answer["items"]][1:] == [{"message": str(i)} for i in range(3)]
    assert answer["next"] == answer["items"][-1]["id"]
    assert words(page(api, id, after=answer["next"])) == [str(i) for i in range(3, 9)]
    for headers, parameters in (({"Last-Event-ID": "yesterday"}, {}), ({}, {"after": "1-2-3"})):
        wrong = api.client.get(f"/v1/jobs/{id}/events", headers=headers, params=parameters)
        assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid")


def page(api: Api, id: str, after: str | None = None) -> list[Told]:
    parameters = {"after": after} if after else {}
    answer = api.client.get(f"/v1/jobs/{id}/events", params=parameters, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    return [(row["id"], row["kind"], row["told"]) for row in answer.json()["items"]]


def _followers(api: Api) -> int:
    return sum(feed.followers for feed in api.app.state.feeds._feeds.values()) if hasattr(api.app.state, "feeds") else 0
