"""The owner's limits and usage, and its keys."""

from __future__ import annotations

import time

import httpx
import pytest
from api_fixtures import Api
from finished_jobs import finished_job
from sqlalchemy import select

from workers.models import Answer, Capture, File, Job, Key, Owner


@pytest.mark.api_settings(max_jobs=7)
def test_limits_and_what_is_used_of_them(api: Api) -> None:
    told = api.client.get("/v1/owner").json()
    assert (told["id"], told["name"], told["limits"]["jobs"]) == ("owner", "owner", 7)
    assert told["usage"] == {"storage_bytes": 0, "captures": 0, "jobs_live": 0}
    api.client_of("stranger")
    with api.service.node.database.writing() as session:
        owner = session.get_one(Owner, "owner")
        owner.max_storage_bytes, owner.max_upload_bytes, owner.max_jobs = 1000, 0, 2
        capture = Capture(owner_id="owner", name="c")
        session.add(capture)
        session.flush()
        file = {"owner_id": "owner", "capture_id": capture.id, "part_bytes": 1}
        session.add_all([File(name="a", size=100, object="a", state="whole", **file), File(name="b", size=10, object="b", **file)])
        session.add_all(Job(owner_id="owner", capture_id=capture.id, state=state) for state in ("queued", "running", "failed"))
    done = finished_job(api, {"x.ply": b"12345"})
    told = api.client.get("/v1/owner").json()
    assert told["limits"] == {"storage_bytes": 1000, "upload_bytes": 0, "jobs": 2}
    assert told["usage"] == {"storage_bytes": 110 + len(b'{"n": 1}') + 5, "captures": 2, "jobs_live": 2}
    with api.service.node.database.writing() as session:
        session.get_one(Capture, capture.id).deleted_s = time.time()
        session.get_one(Job, done).deleted_s = time.time()
    assert api.client.get("/v1/owner").json()["usage"]["storage_bytes"] == len(b'{"n": 1}')
    assert api.client_of("stranger").get("/v1/owner").json()["usage"]["storage_bytes"] == 0
    assert api.client_of("owner", ("write",)).get("/v1/owner").status_code == 403


def test_a_key_is_told_once_serves_and_is_revoked(api: Api) -> None:
    asked = {"name": "laptop", "scopes": ["read"]}
    made = api.client.post("/v1/keys", json=asked, headers={"Idempotency-Key": "one"})
    assert made.status_code == 201, made.text
    key = made.json()
    assert key["key"].startswith(key["hint"])
    again = api.client.post("/v1/keys", json=asked, headers={"Idempotency-Key": "one"}).json()
    assert again == {**key, "key": None}
    with api.service.node.database.reading() as session:
        answers = [str(row.body) for row in session.scalars(select(Answer))]
    assert answers
    assert not any(key["key"] in answer for answer in answers)
    with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {key['key']}"}) as client:
        assert client.get("/v1/owner").status_code == 200
        assert client.get("/v1/keys").status_code == 403
        listed = api.client.get("/v1/keys").json()["items"]
        assert [row["name"] for row in listed] == ["laptop", "test"]
        assert all("key" not in row and "sha256" not in row for row in listed)
        assert api.client.delete(f"/v1/keys/{key['id']}").status_code == 204
        assert api.client.delete(f"/v1/keys/{key['id']}").status_code == 204
        assert client.get("/v1/owner").status_code == 401


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_keys_that_may_not_be_made_or_revoked(api: Api) -> None:
    admin = api.client_of("owner", ("admin",))
    refused = admin.post("/v1/keys", json={"name": "more", "scopes": ["admin", "write"]})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    past = {"name": "x", "scopes": ["admin"], "expires_s": time.time() - 1}
    for body in (past, {"name": "", "scopes": ["admin"]}, {"name": "a\u0000b", "scopes": ["admin"]}, {"name": "x", "scopes": []}):
        assert admin.post("/v1/keys", json=body).status_code == 422, body
    with api.service.node.database.reading() as session:
        own = session.scalars(select(Key).where(Key.owner_id == "owner").order_by(Key.created_s.desc())).first()
    assert own is not None
    in_use = admin.delete(f"/v1/keys/{own.id}")
    assert (in_use.status_code, in_use.json()["code"]) == (409, "conflict")
    assert api.client_of("stranger").delete(f"/v1/keys/{own.id}").status_code == 404
    assert api.client_of("stranger").get("/v1/keys").json()["items"][0]["name"] == "test"
    assert api.client.delete(f"/v1/keys/{own.id}").status_code == 204
    assert admin.get("/v1/owner").status_code == 401
