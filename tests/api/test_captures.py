"""Captures and what they declare: names, sizes, quotas; nobody else's."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from api_fixtures import Api
from sqlalchemy import func, select

from workers.models import Capture, Chore, File, Job, Owner

GB = 2**30


def make(api: Api, name: str = "hall") -> str:
    return str(api.client.post("/v1/captures", json={"name": name}).json()["id"])


def declare(client: httpx.Client, capture: str, *files: tuple[Any, ...], **headers: str) -> httpx.Response:
    wanted = [dict(zip(("name", "size", "sha256"), file, strict=False)) for file in files]
    return client.post(
        f"/v1/captures/{capture}/files", content=json.dumps({"files": wanted}), headers={"Content-Type": "application/json", **headers}
    )


def count(api: Api, kind: Any) -> int:
    with api.service.node.database.reading() as session:
        return session.scalar(select(func.count()).select_from(kind)) or 0


def test_a_capture_from_first_to_last(api: Api) -> None:
    made = api.client.post("/v1/captures", json={"name": "hall"})
    assert made.status_code == 201
    capture = made.json()["id"]
    assert made.json() | {"created_s": 0} == {
        "id": capture, "name": "hall", "state": "open", "files": 0, "size": 0, "created_s": 0,
        "expires_s": None, "inspection": None, "inspecting": False, "error": None,
    }  # fmt: skip
    path = f"/v1/captures/{capture}"
    assert api.client.post(f"{path}/complete").json()["code"] == "empty_capture"
    first = api.upload(capture, "a.jpg", b"photo")
    declare(api.client, capture, ("b/c.jpg", 5))
    unfinished = api.client.post(f"{path}/complete")
    assert unfinished.status_code == 409
    assert "'b/c.jpg'" in unfinished.json()["detail"]
    api.upload(capture, "b/c.jpg", b"other")
    with api.service.node.database.writing() as session:
        session.add(Chore(id="i", owner_id="owner", capture_id=capture, kind="import"))
    assert "import" in api.client.post(f"{path}/complete").json()["detail"]
    with api.service.node.database.writing() as session:
        session.get_one(Chore, "i").state = "done"
    for _ in range(2):
        ready = api.client.post(f"{path}/complete").json()
        assert (ready["state"], ready["files"], ready["size"], ready["inspecting"]) == ("ready", 2, 10, True)
    assert count(api, Chore) == 2
    assert declare(api.client, capture, ("a.jpg", 5)).json()["files"][0] | {"sha256": None} == first | {"sha256": None}
    assert api.client.get(path).json()["state"] == "ready"
    assert declare(api.client, capture, ("d.jpg", 5)).status_code == 201
    assert api.client.get(path).json()["state"] == "open"
    assert api.client.patch(path, json={"name": "tower"}).json()["name"] == "tower"
    names = [row["name"] for page in pages(api.client, f"{path}/files", limit=2) for row in page]
    assert names == ["d.jpg", "b/c.jpg", "a.jpg"]
    other = make(api, "other")
    assert [[row["id"] for row in page] for page in pages(api.client, "/v1/captures", limit=1)] == [[other], [capture]]
    assert api.client.delete(path).status_code == 204
    assert [row["id"] for row in api.client.get("/v1/captures").json()["items"]] == [other]
    for answer in (api.client.get(path), api.client.delete(path), api.client.get(f"/v1/files/{first['id']}")):
        assert answer.status_code == 404


def pages(client: httpx.Client, path: str, limit: int) -> list[list[dict[str, Any]]]:
    found, cursor = [], None
    while True:
        page = client.get(path, params={"limit": limit, **({"cursor": cursor} if cursor else {})}).json()
        found.append(page["items"])
        if (cursor := page["next"]) is None:
            return found


def test_nobody_reaches_what_is_anothers(api: Api) -> None:
    capture = make(api)
    file = declare(api.client, capture, ("a.jpg", 5)).json()["files"][0]["id"]
    other = api.client_of("other")
    assert other.get("/v1/captures").json()["items"] == []
    for id in (capture, "5b1f0c9e7d3a48261f0e"):
        for method, path, body in (
            ("GET", "", None), ("PATCH", "", {"name": "x"}), ("DELETE", "", None), ("POST", "/complete", None),
            ("GET", "/files", None), ("POST", "/files", {"files": [{"name": "b", "size": 1}]}),
        ):  # fmt: skip
            assert other.request(method, f"/v1/captures/{id}{path}", json=body).status_code == 404, (method, path)
    for method, path, body in (("GET", "", None), ("DELETE", "", None), ("POST", "/complete", None), ("POST", "/parts", {"numbers": [1]})):
        assert other.request(method, f"/v1/files/{file}{path}", json=body).status_code == 404, (method, path)
    assert api.client.get(f"/v1/files/{file}").json()["name"] == "a.jpg"
    reader = api.client_of("owner", ("read",))
    assert reader.delete(f"/v1/files/{file}").status_code == 403
    assert declare(reader, capture, ("b.jpg", 1)).status_code == 403


BAD_NAMES = (
    "", "/etc/passwd", "../a.jpg", "a/../../b", "a/./b", "a//b", "a/", "..", "a\\b", "C:/a", "C:\\a", "C:a", "a\0b", "a\r\nSet-Cookie: x",
    "a\x7fb", "a\u2028b", "a\ud800b", "ä" * 128, "a/" * 600 + "b",
)  # fmt: skip


def test_names_and_sizes_that_do_not_do(api: Api) -> None:
    capture = make(api)
    for name in BAD_NAMES:
        answer = declare(api.client, capture, ("good.jpg", 5), (name, 5))
        assert answer.status_code == 422, name
        assert answer.headers["content-type"] == "application/problem+json"
    for size in (0, -1, 2**63, 1.5, "x", None):
        assert declare(api.client, capture, ("a.jpg", size)).status_code == 422, size
    assert declare(api.client, capture, ("a.jpg", 5, "0" * 63)).status_code == 422
    assert declare(api.client, capture, ("a", 5), ("a", 5)).status_code == 422
    assert declare(api.client, capture, ("a", 5), ("a/b", 5)).status_code == 422
    assert declare(api.client, capture).status_code == 422
    assert count(api, File) == 0
    for name in ("line\nbreak", "nul\0", ""):
        assert api.client.post("/v1/captures", json={"name": name}).status_code == 422
    assert declare(api.client, capture, ("e\u0301 é %00 ;.jpg", 5)).json()["files"][0]["name"] == "é é %00 ;.jpg"
    assert declare(api.client, capture, ("é é %00 ;.jpg/b", 5)).status_code == 422
    (small, large) = declare(api.client, capture, ("small", 5), ("large", 190 * GB)).json()["files"]
    assert (small["part_bytes"], small["parts_total"]) == (16 * 2**20, 1)
    assert large["part_bytes"] % 2**20 == 0
    assert 9_500 < large["parts_total"] <= 10_000  # as many as S3 takes


def test_a_file_declared_again_is_the_same_file(api: Api) -> None:
    capture = make(api)
    (first,) = declare(api.client, capture, ("a.jpg", 5)).json()["files"]
    (again, other) = declare(api.client, capture, ("a.jpg", 5, "AB" * 32), ("b.jpg", 7)).json()["files"]
    assert again == first | {"sha256": "ab" * 32}
    for changed in (("a.jpg", 6), ("a.jpg", 5, "cd" * 32)):
        answer = declare(api.client, capture, ("c.jpg", 5), changed)
        assert answer.status_code == 409
        assert "'a.jpg'" in answer.json()["detail"]
    assert {row["id"] for row in api.client.get(f"/v1/captures/{capture}/files").json()["items"]} == {first["id"], other["id"]}
    key = {"Idempotency-Key": "one"}
    same = [declare(api.client, capture, ("d.jpg", 5), **key).json() for _ in range(2)]
    assert same[0] == same[1]
    assert declare(api.client, capture, ("e.jpg", 5), **key).status_code == 409
    made = [api.client.post("/v1/captures", json={"name": "x"}, headers={"Idempotency-Key": "two"}).json()["id"] for _ in range(2)]
    assert made[0] == made[1]
    assert count(api, Capture) == 2


@pytest.mark.api_settings(max_upload_bytes=100, max_storage_bytes=250)
def test_quotas_count_what_is_declared(api: Api) -> None:
    captures = [make(api) for _ in range(8)]
    too_large = declare(api.client, captures[0], ("a", 101))
    assert (too_large.status_code, too_large.json()["code"]) == (403, "over_quota")
    with ThreadPoolExecutor(8) as pool:  # at once: the sum is right all the same
        told = list(pool.map(lambda capture: declare(api.client, capture, ("f", 50)).status_code, captures))
    assert sorted(told) == [201] * 5 + [403] * 3
    assert [declare(api.client, capture, ("f", 50)).status_code for capture in captures] == told
    for capture in captures:
        api.client.delete(f"/v1/captures/{capture}")
    assert declare(api.client, make(api), ("a", 100), ("b", 100)).status_code == 201
    with api.service.node.database.writing() as session:
        session.get_one(Owner, "owner").max_upload_bytes = 2 * GB
        session.get_one(Owner, "owner").max_storage_bytes = 3 * GB
    assert declare(api.client, make(api), ("a", GB)).status_code == 201
    assert declare(api.client, make(api), ("a", 2 * GB)).status_code == 403


def test_deleting_ends_uploads_and_jobs(api: Api) -> None:
    capture = api.add_capture({"n.jpg": b'{"n": 3}'})
    job = api.service.submit(capture)
    whole = api.client.get(f"/v1/captures/{capture}/files").json()["items"][0]["id"]
    assert api.client.delete(f"/v1/files/{whole}").status_code == 409
    (file,) = declare(api.client, capture, ("b.jpg", 5)).json()["files"]
    (part,) = api.client.post(f"/v1/files/{file['id']}/parts", json={"numbers": [1]}).json()["parts"]
    assert api.client.delete(f"/v1/captures/{capture}").status_code == 204
    assert api.service.job(job).state == "cancelled"
    assert [event.told for event in api.service.node.events.read(job)] == [{"state": "cancelled"}]
    for path in ("complete", "parts"):
        assert api.client.post(f"/v1/files/{file['id']}/{path}", json={"numbers": [1]}).status_code == 404
    if api.service.settings.bucket is None:
        assert httpx.put(part["url"], content=b"12345").status_code == 404
    assert count(api, Job) == 1
