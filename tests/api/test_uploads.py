"""Uploads in parts: at once, interrupted, gone on with, and all that can be wrong with a part."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from api_fixtures import Api
from servers import wait_until
from sqlalchemy import select

from workers.models import File
from workers.objects import LocalObjects
from workers.places import shared_bucket

PART = 5 * 2**20
CONTENT = os.urandom(2 * PART) + b"the end"


def parts_of(content: bytes) -> dict[int, bytes]:
    return {number: content[start : start + PART] for number, start in enumerate(range(0, len(content), PART), 1)}


def begin(api: Api, content: bytes = CONTENT, sha256: bool = True, name: str = "a/video.mp4") -> dict[str, Any]:
    capture = api.client.post("/v1/captures", json={"name": "capture"}).json()["id"]
    wanted = {"name": name, "size": len(content)} | ({"sha256": hashlib.sha256(content).hexdigest()} if sha256 else {})
    (file,) = api.client.post(f"/v1/captures/{capture}/files", json={"files": [wanted]}).json()["files"]
    return dict(file)


def urls(api: Api, file: dict[str, Any], content: bytes, *numbers: int, checked: bool = True) -> list[dict[str, Any]]:
    parts = parts_of(content)
    sha256 = {str(number): hashlib.sha256(parts[number]).hexdigest() for number in numbers} if checked else {}
    answer = api.client.post(f"/v1/files/{file['id']}/parts", json={"numbers": numbers, "sha256": sha256})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["parts"])


def put(part: dict[str, Any], content: bytes | Iterator[bytes], **headers: str) -> httpx.Response:
    return httpx.put(part["url"], content=content, headers=part["headers"] | headers, timeout=30)


def send(api: Api, file: dict[str, Any], content: bytes, *numbers: int, checked: bool = True) -> None:
    with ThreadPoolExecutor(4) as pool:
        sent = pool.map(lambda part: put(part, parts_of(content)[part["number"]]), urls(api, file, content, *numbers, checked=checked))
        assert [answer.status_code for answer in sent] == [200] * len(numbers)


def complete(api: Api, file: dict[str, Any]) -> httpx.Response:
    return api.client.post(f"/v1/files/{file['id']}/complete")


def arrived(api: Api, file: dict[str, Any]) -> list[tuple[int, int]]:
    return [(part["number"], part["size"]) for part in api.client.get(f"/v1/files/{file['id']}").json()["parts"]]


def stored(api: Api, file: dict[str, Any]) -> bytes:
    with api.service.node.database.reading() as session:
        key = session.scalars(select(File.object).where(File.id == file["id"])).one()
    return api.service.node.place("owner").uploads.read(key)


def is_local(api: Api) -> bool:
    return api.service.settings.bucket is None


@pytest.mark.api_settings(part_bytes=PART)
def test_an_upload_goes_on_after_the_client_and_the_api_stopped(api: Api) -> None:
    file = begin(api)
    assert (file["part_bytes"], file["parts_total"], file["state"]) == (PART, 3, "uploading")
    assert arrived(api, file) == []
    first, broken, third = urls(api, file, CONTENT, 1, 2, 3)
    assert put(third, parts_of(CONTENT)[3]).headers["etag"].startswith('"')
    break_off(broken)
    assert arrived(api, file) == [(3, 7)]
    api.stop()
    api.start()
    again = api.client.post(f"/v1/captures/{file['capture_id']}/files", json={"files": [{"name": file["name"], "size": file["size"]}]})
    assert again.json()["files"] == [file]
    assert put(first, parts_of(CONTENT)[1]).status_code == 200  # a URL outlives its API process
    send(api, file, CONTENT, 1, 2)
    assert arrived(api, file) == [(1, PART), (2, PART), (3, 7)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: complete(api, file), range(4)))
    assert [answer.json() for answer in answers] == [file | {"state": "whole"}] * 4
    assert stored(api, file) == CONTENT
    assert arrived(api, file) == []
    if is_local(api):
        assert put(first, parts_of(CONTENT)[1]).status_code == 409
    late = api.client.post(f"/v1/files/{file['id']}/parts", json={"numbers": [1]})
    assert late.status_code == 409


def break_off(part: dict[str, Any]) -> None:
    """Send half a part, then close the connection."""
    url = urlsplit(part["url"])
    headers = "".join(f"{name}: {value}\r\n" for name, value in part["headers"].items())
    with socket.create_connection((url.hostname, url.port)) as connection:
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {part['size']}\r\n{headers}\r\n"
        connection.sendall(head.encode() + CONTENT[: PART // 2])
        time.sleep(0.1)


@pytest.mark.api_settings(part_bytes=PART)
def test_wrong_parts_are_refused_and_named(api: Api) -> None:
    file = begin(api)
    (first,) = urls(api, file, CONTENT, 1)
    right = parts_of(CONTENT)[1]
    for wrong in (right[:-1], right + b"x", right[::-1], b""):
        assert put(first, wrong).status_code in (400, 403, 413)
        assert arrived(api, file) == []
    assert put(first | {"headers": {}}, right[::-1]).status_code in (400, 403)
    assert arrived(api, file) == []
    wrong_sum = {"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(b"other").digest()).decode()}
    assert put(first | {"headers": wrong_sum}, right).status_code in (400, 403)
    assert complete(api, file).json()["detail"] == "parts of the file are missing: 1-3"
    send(api, file, CONTENT, 1, 3)
    answer = complete(api, file)
    assert (answer.status_code, answer.json()["detail"]) == (409, "parts of the file are missing: 2")
    for numbers in ([4], [0], [], [10_001], [1] * 1001):
        assert api.client.post(f"/v1/files/{file['id']}/parts", json={"numbers": numbers}).status_code == 422
    for sums in ({"2": "0" * 64}, {"x": "0" * 64}, {"1": "zz"}):
        assert api.client.post(f"/v1/files/{file['id']}/parts", json={"numbers": [1], "sha256": sums}).status_code == 422
    send(api, file, CONTENT, 2)
    assert complete(api, file).json()["state"] == "whole"
    assert stored(api, file) == CONTENT


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
@pytest.mark.api_settings(part_bytes=PART)
def test_a_body_of_unstated_length_ends_where_the_part_does(api: Api) -> None:
    file = begin(api)
    (first,) = urls(api, file, CONTENT, 1)

    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * 2**18

    told = put(first, endless())
    assert (told.status_code, told.json()["code"]) == (413, "too_large")
    assert put(first, iter([b"short"])).status_code == 400
    assert put(first, parts_of(CONTENT)[1], **{"x-amz-checksum-sha256": "no base64"}).status_code == 400
    assert put(first, iter([parts_of(CONTENT)[1]])).status_code == 200
    (later,) = urls(api, file, CONTENT, 1, checked=False)
    assert put(later, b"y" * PART, **{"x-amz-checksum-sha256": base64.b64encode(b"0" * 32).decode()}).status_code == 400
    send(api, file, CONTENT, 2, 3)
    assert complete(api, file).status_code == 200
    assert stored(api, file) == CONTENT


@pytest.mark.api_settings(part_bytes=PART)
def test_content_that_is_not_the_declared_one(api: Api) -> None:
    file = begin(api)
    other = CONTENT[::-1]
    send(api, file, other, 1, 2, 3)
    answer = complete(api, file)
    if not is_local(api):  # found when the capture is inspected
        assert answer.json()["state"] == "whole"
        return
    assert (answer.status_code, answer.json()["code"]) == (422, "damaged_upload")
    assert arrived(api, file) == []
    assert complete(api, file).status_code == 409
    send(api, file, CONTENT, 1, 2, 3)
    assert complete(api, file).json()["state"] == "whole"
    assert stored(api, file) == CONTENT


@pytest.mark.api_settings(url_s=1)
def test_urls_that_expired_or_were_changed(api: Api) -> None:
    content = b"photo"
    file, other = begin(api, content), begin(api, content, name="other")
    (part,) = urls(api, file, content, 1)
    (same,) = urls(api, other, content, 1)
    head, _, tail = part["url"].rpartition("/") if is_local(api) else part["url"].partition("uploadId=")
    text, _, mac = tail.partition(".")
    changed = [f"{head}/{text}", f"{head}/{text[:-4]}AAAA.{mac}", f"{head}/{same['url'].rpartition('/')[2].partition('.')[0]}.{mac}"]
    if not is_local(api):
        changed = [part["url"].replace("partNumber=1", "partNumber=2"), part["url"].replace("video", "other"), part["url"][:-4] + "0000"]
        changed[1] = part["url"].replace(urlsplit(part["url"]).path, urlsplit(same["url"]).path)
    for url in changed:
        assert put(part | {"url": url}, content).status_code == 403
    time.sleep(max(0.0, part["expires_s"] - time.time()) + 1)
    assert put(part, content).status_code == 403
    assert arrived(api, file) == arrived(api, other) == []


@pytest.mark.api_settings(part_bytes=PART)
def test_a_deleted_file_leaves_nothing(api: Api) -> None:
    file, small = begin(api), begin(api, b"photo", name="small")
    send(api, file, CONTENT, 1)
    send(api, small, b"photo", 1)
    complete(api, small)
    (second,) = urls(api, file, CONTENT, 2)
    for gone in (file, small):
        assert api.client.delete(f"/v1/files/{gone['id']}").status_code == 204
        assert complete(api, gone).status_code == 404
    assert put(second, parts_of(CONTENT)[2]).status_code == 404
    uploads = api.service.node.place("owner").uploads
    assert list(uploads.listed()) == []
    assert uploads.drop_uploads([], 0) == 0


@pytest.mark.api_settings(part_bytes=PART)
def test_what_the_store_lost_begins_anew_and_what_a_killed_process_joined_is_whole(api: Api) -> None:
    file = begin(api, sha256=False)
    uploads = api.service.node.place("owner").uploads
    send(api, file, CONTENT, 1, 2, 3)
    uploads.drop_uploads([], -60)
    assert complete(api, file).json()["detail"] == "parts of the file are missing: 1-3"
    send(api, file, CONTENT, 1, 2, 3, checked=False)
    with api.service.node.database.reading() as session:
        row = session.get_one(File, file["id"])
    assert row.upload is not None
    uploads.finish_upload(row.object, row.upload, uploads.parts(row.object, row.upload))
    assert complete(api, file).json()["state"] == "whole"
    assert stored(api, file) == CONTENT


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_a_full_store(api: Api) -> None:
    content = b"photo"
    file = begin(api, content)
    (part,) = urls(api, file, content, 1)
    uploads = api.service.node.place("owner").uploads
    assert isinstance(uploads, LocalObjects)
    (folder,) = (uploads.root / ".uploads").iterdir()
    (folder / "file").symlink_to("/dev/full")
    told = put(part, content)
    assert (told.status_code, told.json()["code"]) == (507, "disk_full")
    (folder / "file").unlink()
    assert put(part, content).status_code == 200


@pytest.mark.parametrize("api", ["fleet"], indirect=True)
def test_a_store_that_is_away(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    file = begin(api, b"photo")
    away = replace(shared_bucket(api.service.settings), endpoint="http://127.0.0.1:9", tries=1)
    monkeypatch.setattr("workers.places.shared_bucket", lambda _: away)
    told = api.client.post(f"/v1/files/{file['id']}/parts", json={"numbers": [1]})
    assert (told.status_code, told.headers["retry-after"]) == (503, "5")
    monkeypatch.undo()
    send(api, file, b"photo", 1)
    monkeypatch.setattr("workers.places.shared_bucket", lambda _: away)
    assert complete(api, file).status_code == 503
    assert api.client.delete(f"/v1/files/{file['id']}").status_code == 204


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_two_who_send_one_part_at_once_do_no_harm(api: Api) -> None:
    content = b"0123456789"
    file = begin(api, content, sha256=False)
    (part,) = urls(api, file, content, 1, checked=False)
    url = urlsplit(part["url"])
    with socket.create_connection((url.hostname, url.port)) as slow:
        slow.sendall(f"PUT {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 10\r\n\r\nxxxxx".encode())
        uploads = api.service.node.place("owner").uploads
        assert isinstance(uploads, LocalObjects)
        wait_until(lambda: any((uploads.root / ".uploads").glob("*/*.begun")), 30, "the slow one has begun")
        assert put(part, content).status_code == 200
        assert complete(api, file).status_code == 200
        slow.sendall(b"xxxxx")
        assert b" 409 " in slow.recv(1000)
    assert stored(api, file) == content
