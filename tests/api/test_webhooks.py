"""Webhooks: told what happens, signed, tried again, replayed, and never led inside."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import pytest
from api_fixtures import Api
from file_server import Answer, Asked, serving
from servers import wait_until
from sqlalchemy import select

from api.webhooks import deliver
from api.webhooks.schemas import EventKind
from workers.announce import KINDS
from workers.jobs import cancel_job
from workers.models import Answer as KeptAnswer
from workers.models import Capture, Delivery, Job, Webhook

PRIVATE = pytest.mark.service_settings(allow_private=True)
EMBEDDED = pytest.mark.parametrize("api", ["embedded"], indirect=True)


def make(api: Api, url: str, *kinds: str) -> dict[str, Any]:
    made = api.client.post("/v1/webhooks", json={"url": url, "kinds": list(kinds)})
    assert made.status_code == 201, made.text
    return dict(made.json())


def due_now(api: Api) -> None:
    with api.service.node.database.writing() as session:
        for row in session.scalars(select(Delivery).where(Delivery.state == "waiting")):
            row.next_s = time.time() - 1


def sent(api: Api, webhook: str) -> list[dict[str, Any]]:
    """Deliveries, oldest first."""
    return list(reversed(api.client.get(f"/v1/webhooks/{webhook}/deliveries").json()["items"]))


def is_ours(asked: Asked, secret: str, now_s: float | None = None) -> bool:
    signed = asked.headers["Recon-Signature"]
    return deliver.verify(secret, asked.headers["Recon-Timestamp"], asked.body, signed, time.time() if now_s is None else now_s)


def post(api: Api) -> int:
    return deliver.deliver_due(api.app.state.service)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API's own thread delivers nothing: the test does."""
    monkeypatch.setattr("api.keeper.deliver_due", lambda _: 0)


@PRIVATE
@EMBEDDED
def test_a_jobs_states_are_told_and_signed(api: Api) -> None:
    api.service.start_worker()
    with serving() as web:
        web.answers |= {"/hook": Answer(), "/done": Answer()}
        webhook = make(api, f"{web.url}/hook")
        only_done = make(api, f"{web.url}/done", "job.done")
        job = api.service.submit(api.service.add_toy_capture(2))
        assert api.service.wait(job).state == "done"
        wait_until(lambda: len(web.asked) == 4, 20, "all is told")
        told = [json.loads(asked.body) for asked in web.asked if asked.path == "/hook"]
        assert sorted(row["type"] for row in told) == ["job.done", "job.queued", "job.running"]
        assert {row["told"]["job_id"] for row in told} == {job}
        assert next(row["told"]["state"] for row in told if row["type"] == "job.done") == "done"
        for asked in web.asked:
            secret = webhook["secret"] if asked.path == "/hook" else only_done["secret"]
            assert asked.headers["Content-Type"] == "application/json"
            assert json.loads(asked.body)["id"] == asked.headers["Recon-Id"]
            assert is_ours(asked, secret)
            assert not is_ours(asked, "whsec_other")
            at_s = int(asked.headers["Recon-Timestamp"])
            assert not is_ours(asked, secret, at_s + 301)  # overheard, and sent again later
            assert not is_ours(asked, secret, at_s - 301)
        assert [json.loads(a.body)["type"] for a in web.asked if a.path == "/done"] == ["job.done"]
        wait_until(lambda: {row["state"] for row in sent(api, webhook["id"])} == {"delivered"}, 30, "that is noted")


def test_a_signature_holds_for_one_body_one_time_and_one_secret() -> None:
    good = deliver.signature("secret", 1000, b"{}")
    assert deliver.verify("secret", "1000", b"{}", good, 1299)
    for secret, timestamp, body, signed, now_s in (
        ("secrets", "1000", b"{}", good, 1000),
        ("secret", "1001", b"{}", good, 1000),
        ("secret", "1000", b"{ }", good, 1000),
        ("secret", "1000", b"{}", good.removeprefix("v1="), 1000),
        ("secret", "1000", b"{}", "", 1000),
        ("secret", "1000", b"{}", "v1=\u00fc", 1000),
        ("secret", "1000", b"{}", good, 1301),
        ("secret", "-1000", b"{}", good, 1000),
        ("secret", "now", b"{}", good, 1000),
        ("secret", "", b"{}", good, 1000),
    ):
        assert not deliver.verify(secret, timestamp, body, signed, now_s)


@PRIVATE
@pytest.mark.usefixtures("quiet")
def test_what_is_not_taken_is_tried_again_and_given_up_in_the_end(api: Api) -> None:
    with serving() as web:
        web.answers["/hook"] = Answer(status=500)
        webhook = make(api, f"{web.url}/hook")
        event = api.client.post(f"/v1/webhooks/{webhook['id']}/test").json()
        assert (event["type"], event["state"], event["attempts"]) == ("test", "waiting", 0)
        assert post(api) == 1
        assert post(api) == 0  # not before its time
        (row,) = sent(api, webhook["id"])
        assert (row["state"], row["attempts"], row["status"]) == ("waiting", 1, 500)
        assert 7 < row["next_s"] - time.time() < 13
        web.answers["/hook"] = Answer(status=302, headers={"Location": f"{web.url}/elsewhere"})
        due_now(api)
        assert post(api) == 1
        assert sent(api, webhook["id"])[0]["status"] == 302  # not followed
        web.answers["/hook"] = Answer(b"thanks", status=204)
        due_now(api)
        assert post(api) == 1
        (row,) = sent(api, webhook["id"])
        assert (row["state"], row["attempts"], row["status"]) == ("delivered", 3, 204)
        assert [asked.headers["Recon-Id"] for asked in web.asked] == [event["id"]] * 3

        again = api.client.post(f"/v1/deliveries/{event['id']}/replay")
        assert (again.status_code, again.json()["state"], again.json()["attempts"]) == (202, "waiting", 0)
        web.answers["/hook"] = Answer(status=503)
        for _ in range(deliver.ATTEMPTS):
            due_now(api)
            assert post(api) == 1
        assert sent(api, webhook["id"])[0]["state"] == "failed"
        due_now(api)
        assert post(api) == 0
        assert len(web.asked) == 3 + deliver.ATTEMPTS
        assert {path.path for path in web.asked} == {"/hook"}
    waits = [deliver.wait_s(attempt) for attempt in range(1, deliver.ATTEMPTS)]
    assert 16 * 3600 < sum(waits) < 32 * 3600


@PRIVATE
@pytest.mark.usefixtures("quiet")
def test_two_processes_send_each_event_once_and_a_dead_receiver_holds_up_nobody(api: Api) -> None:
    with serving() as web:
        web.answers["/hook"] = Answer()
        slow = threading.Event()
        web.answers["/slow"] = Answer(pause=lambda: (slow.wait(3), None)[1])
        webhook, other = make(api, f"{web.url}/hook"), make(api, f"{web.url}/slow")
        for id in [other["id"]] * 4 + [webhook["id"]] * 12:
            api.client.post(f"/v1/webhooks/{id}/test")
        threads = [threading.Thread(target=post, args=(api,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        slow.set()
        assert sorted(asked.headers["Recon-Id"] for asked in web.asked if asked.path == "/hook") == sorted(
            row["id"] for row in sent(api, webhook["id"])
        )
        assert {row["state"] for row in sent(api, webhook["id"])} == {"delivered"}
        assert len({asked.headers["Recon-Id"] for asked in web.asked if asked.path == "/slow"}) == 4


@EMBEDDED
@pytest.mark.usefixtures("quiet")
def test_an_address_inside_is_refused_when_it_is_named_and_whenever_it_is_used(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://10.0.0.1/", "http://2130706433/", "http://a@8.8.8.8/"):
        assert api.client.post("/v1/webhooks", json={"url": url, "kinds": []}).status_code == 422, url
    known = {"hook.example": "8.8.8.8"}
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *more: Any, **options: Any) -> list[Any]:
        return resolve(known.get(host, host), port, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with serving() as web:
        web.answers["/"] = Answer()
        webhook = make(api, f"http://hook.example:{web.port}/")
        known["hook.example"] = "127.0.0.1"  # its DNS has changed since
        api.client.post(f"/v1/webhooks/{webhook['id']}/test")
        assert post(api) == 1
        assert web.asked == []
        (row,) = sent(api, webhook["id"])
        assert (row["state"], row["attempts"], row["status"]) == ("waiting", 1, None)


@PRIVATE
@EMBEDDED
@pytest.mark.usefixtures("quiet")
def test_webhooks_are_made_listed_changed_and_deleted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    web = "http://127.0.0.1:9999"
    body = {"url": web, "kinds": ["job.done"]}
    made = [api.client.post("/v1/webhooks", json=body, headers={"Idempotency-Key": "k"}).json() for _ in range(2)]
    webhook = made[0]
    assert made[0] == made[1]
    assert webhook["secret"].startswith("whsec_")
    with api.service.node.database.reading() as session:
        assert webhook["secret"] not in str([answer.body for answer in session.scalars(select(KeptAnswer))])
    shown = {key: value for key, value in webhook.items() if key != "secret"}
    assert api.client.get(f"/v1/webhooks/{webhook['id']}").json() == shown
    assert api.client.get("/v1/webhooks").json() == {"items": [shown], "next": None}
    assert api.client.post("/v1/webhooks", json={"url": web, "kinds": ["job.exploded"]}).status_code == 422
    path = f"/v1/webhooks/{webhook['id']}"
    event = api.client.post(f"{path}/test").json()
    assert api.client.patch(path, json={"active": False, "kinds": []}).json() == {**shown, "active": False, "kinds": []}
    assert api.client.get(f"{path}/deliveries").json()["items"][0]["state"] == "failed"  # given up
    assert api.client.post(f"{path}/test").status_code == 409
    assert api.client.post(f"/v1/deliveries/{event['id']}/replay").status_code == 409
    api.service.submit(api.service.add_toy_capture(1))
    assert len(sent(api, webhook["id"])) == 1
    assert api.client.patch(path, json={"active": True}).json()["active"]
    assert api.client.post(f"/v1/deliveries/{event['id']}/replay").json()["id"] == event["id"]
    stranger, reader = api.client_of("stranger"), api.client_of("owner", ("read",))
    for method, address in (("GET", path), ("PATCH", path), ("DELETE", path), ("POST", f"{path}/test"), ("GET", f"{path}/deliveries")):
        assert stranger.request(method, address, json={}).status_code == 404, address
    assert stranger.post(f"/v1/deliveries/{event['id']}/replay").status_code == 404
    assert stranger.get("/v1/webhooks").json()["items"] == []
    assert reader.delete(path).status_code == 403
    monkeypatch.setattr("api.webhooks.routes.MAX_WEBHOOKS", 1)
    assert api.client.post("/v1/webhooks", json=body).json()["code"] == "over_quota"
    assert api.client.delete(path).status_code == 204
    assert api.client.get(path).status_code == 404
    with api.service.node.database.reading() as session:
        assert session.scalars(select(Delivery)).all() == []


@EMBEDDED
@pytest.mark.usefixtures("quiet")
def test_an_event_is_kept_with_what_it_tells_or_not_at_all(api: Api) -> None:
    capture = api.service.add_toy_capture(1)
    with api.service.node.database.writing() as session:
        session.add(Webhook(owner_id="owner", url="https://example.org", secret="s", kinds=["job.cancelled"]))
    job = api.service.submit(capture)

    def cancel_and(fail: bool) -> None:
        with api.service.node.database.writing() as session:
            cancel_job(session, session.get_one(Job, job))
            if fail:
                raise KeyError("undone")

    with pytest.raises(KeyError):
        cancel_and(fail=True)
    with api.service.node.database.reading() as session:
        assert session.scalars(select(Delivery)).all() == []
    cancel_and(fail=False)
    with api.service.node.database.reading() as session:
        (row,) = session.scalars(select(Delivery)).all()
        assert (row.kind, row.told) == ("job.cancelled", {"job_id": job, "capture_id": capture, "state": "cancelled"})
        assert session.get_one(Capture, capture).owner_id == row.owner_id


def test_the_kinds_that_may_be_chosen_are_those_that_are_told() -> None:
    assert EventKind.__args__ == KINDS  # type: ignore[attr-defined]
