"""Imports over HTTP: begun, watched, cancelled, refused."""

from __future__ import annotations

import threading

import pytest
from api_fixtures import Api
from file_server import Answer, serving
from servers import wait_until

from workers.models import Owner

EMBEDDED = pytest.mark.parametrize("api", ["embedded"], indirect=True)


def new_capture(api: Api) -> str:
    return str(api.client.post("/v1/captures", json={"name": "c"}).json()["id"])


@pytest.mark.service_settings(allow_private=True)
def test_a_file_of_a_url_becomes_one_of_the_capture(api: Api) -> None:
    api.service.start_worker(processes=1)
    capture, goes_on = new_capture(api), threading.Event()
    with serving() as web:
        web.answers["/a.jpg?token=secret"] = Answer(b"jpeg")
        web.answers["/b.jpg"] = Answer(b"never all of it", breaks_after=[3], pause=lambda: (goes_on.wait(20), None)[1])
        wanted = {"url": f"{web.url}/a.jpg?token=secret"}
        made = api.client.post(f"/v1/captures/{capture}/imports", json=wanted, headers={"Idempotency-Key": "1"})
        assert made.status_code == 202, made.text
        again = api.client.post(f"/v1/captures/{capture}/imports", json=wanted, headers={"Idempotency-Key": "1"})
        assert again.json() == made.json()
        first = made.json()
        assert (first["state"], first["files"], first["bytes"], first["capture_id"]) == ("pending", 0, 0, capture)
        wait_until(lambda: api.client.get(f"/v1/imports/{first['id']}").json()["state"] == "done", 20, "the import ends")
        second = api.client.post(f"/v1/captures/{capture}/imports", json={"url": f"{web.url}/b.jpg"}).json()
        wait_until(lambda: len(web.asked) == 2, 20, "the other begins")
        refused = api.client.post(f"/v1/captures/{capture}/complete")
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert api.client.delete(f"/v1/imports/{second['id']}").status_code == 204
        assert api.client.delete(f"/v1/imports/{second['id']}").status_code == 204
        assert api.client.delete(f"/v1/imports/{first['id']}").status_code == 409
        goes_on.set()
    listed = api.client.get(f"/v1/captures/{capture}/imports").json()["items"]
    assert [(row["id"], row["state"], row["files"], row["bytes"]) for row in listed] == [
        (second["id"], "cancelled", 0, 0),
        (first["id"], "done", 1, 4),
    ]
    (file,) = api.client.get(f"/v1/captures/{capture}/files").json()["items"]
    assert (file["name"], file["size"], file["state"]) == ("a.jpg", 4, "whole")
    assert api.client.post(f"/v1/captures/{capture}/complete").json()["state"] == "ready"
    stranger, reader = api.client_of("stranger"), api.client_of("owner", ("read",))
    assert stranger.get(f"/v1/imports/{first['id']}").status_code == 404
    assert stranger.delete(f"/v1/imports/{first['id']}").status_code == 404
    assert stranger.get(f"/v1/captures/{capture}/imports").status_code == 404
    assert stranger.post(f"/v1/captures/{capture}/imports", json={"url": "https://8.8.8.8/"}).status_code == 404
    assert reader.delete(f"/v1/imports/{first['id']}").status_code == 403
    api.client.delete(f"/v1/captures/{capture}")
    assert api.client.get(f"/v1/imports/{first['id']}").status_code == 404


@EMBEDDED
def test_urls_that_lead_inside_are_refused_at_once(api: Api) -> None:
    capture = new_capture(api)
    for url in (
        "http://127.0.0.1/", "http://localhost:8000/", "http://[::1]/", "http://[::ffff:10.0.0.1]/", "http://169.254.169.254/latest/",
        "http://2130706433/", "http://0x7f.1/", "http://user@8.8.8.8/", "http://8.8.8.8:22/", "ftp://8.8.8.8/", "file:///etc/passwd",
        "s3://recon/owners/another", "s3://", "http://x\r\nHost: y",
    ):  # fmt: skip
        answer = api.client.post(f"/v1/captures/{capture}/imports", json={"url": url})
        assert answer.status_code == 422, url
    assert api.client.get(f"/v1/captures/{capture}/imports").json()["items"] == []


@EMBEDDED
@pytest.mark.api_settings(max_upload_bytes=1000, max_storage_bytes=2000)
@pytest.mark.service_settings(allow_private=True)
def test_quotas_hold_for_imports_too(api: Api) -> None:
    api.service.start_worker(processes=1)
    with serving() as web:
        web.answers["/a.jpg"] = Answer(b"x" * 1001)
        web.answers["/b.jpg"] = Answer(b"x" * 501)

        def brought(path: str) -> dict[str, str] | None:
            made = api.client.post(f"/v1/captures/{new_capture(api)}/imports", json={"url": web.url + path}).json()
            wait_until(lambda: api.client.get(f"/v1/imports/{made['id']}").json()["state"] in ("done", "failed"), 20, "it ends")
            error: dict[str, str] | None = api.client.get(f"/v1/imports/{made['id']}").json()["error"]
            return error

        assert (brought("/a.jpg") or {})["code"] == "too_large"
        assert brought("/b.jpg") is None
        with api.service.node.database.writing() as session:
            session.get_one(Owner, "owner").max_storage_bytes = 1000  # an owner's own limit goes before the service's
        assert (brought("/b.jpg") or {})["code"] == "over_quota"


@EMBEDDED
@pytest.mark.service_settings(allow_private=True)
def test_an_owner_has_so_many_imports_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.captures.imports.MAX_LIVE", 2)
    capture = new_capture(api)
    wanted = {"url": "http://127.0.0.1:9999/a.jpg"}
    codes = [api.client.post(f"/v1/captures/{capture}/imports", json=wanted).status_code for _ in range(3)]
    assert codes == [202, 202, 403]
