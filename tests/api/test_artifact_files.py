"""Artifacts over HTTP, from a local store and from S3: the list, ranges, conditions, types, signed URLs, other people's."""

from __future__ import annotations

import hashlib
import time

import httpx
import pytest
from api_fixtures import Api
from finished_jobs import finished_job

from api.artifacts.ranges import OutOfRange, wanted
from workers.models import Job
from workers.s3 import S3Store

PAGE = b"<!doctype html><script>document.title = 'runs'</script>"
CLOUD = bytes(range(256)) * 6000
FILES = {"points.ply": CLOUD, "report.html": PAGE, "tiles/größe 1.bin": b"tile", 'x".mtl': b"newmtl a"}


def test_the_list_says_all_and_its_urls_need_no_key(api: Api) -> None:
    job = finished_job(api, FILES)
    items = api.client.get(f"/v1/jobs/{job}/artifacts").json()["items"]
    assert [item["name"] for item in items] == sorted(FILES)
    assert {item["kind"] for item in items} == {"result"}
    types = {item["name"]: item["media_type"] for item in items}
    assert types["points.ply"] == "application/ply"
    assert types["report.html"] == "text/html; charset=utf-8"
    for item in items:
        content = FILES[item["name"]]
        assert (item["size"], item["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert item["url"].startswith(api.url)
        assert httpx.get(item["url"], follow_redirects=True).content == content


def test_s3_gives_files_away_itself_and_a_local_store_through_us(api: Api) -> None:
    job = finished_job(api, FILES)
    found = api.client.get(f"/v1/jobs/{job}/artifacts/points.ply")
    if api.service.settings.bucket is None:
        assert (found.status_code, found.content) == (200, CLOUD)
        return
    assert found.status_code == 307
    assert api.client.get(f"/v1/jobs/{job}/artifacts/points.ply", follow_redirects=True).content == CLOUD
    assert found.headers["location"].startswith(api.service.settings.s3_endpoint)
    direct = httpx.get(found.headers["location"], headers={"Range": "bytes=1-3"})
    assert (direct.status_code, direct.content) == (206, CLOUD[1:4])
    assert direct.headers["content-disposition"] == 'attachment; filename="points.ply"'


def test_ranges_and_conditions(api: Api) -> None:
    job = finished_job(api, FILES)
    path = f"/v1/jobs/{job}/artifacts/points.ply?stream=1"
    size, etag = len(CLOUD), f'"{hashlib.sha256(CLOUD).hexdigest()}"'
    whole = api.client.get(path)
    assert (whole.status_code, whole.content, whole.headers["etag"], whole.headers["accept-ranges"]) == (200, CLOUD, etag, "bytes")
    assert int(whole.headers["content-length"]) == size
    for asked, start, end in (
        ("bytes=0-0", 0, 1),
        ("bytes=1000-", 1000, size),
        ("bytes=-5", size - 5, size),
        ("bytes=5-99999999", 5, size),
    ):
        part = api.client.get(path, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, CLOUD[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert int(part.headers["content-length"]) == end - start
    beyond = api.client.get(path, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"], beyond.json()["code"]) == (416, f"bytes */{size}", "out_of_range")
    for ignored in ("bytes=5-2", "lines=0-5", "bytes=0-1,5-6", "bytes=-", "bytes=a-b", "5-6"):
        assert api.client.get(path, headers={"Range": ignored}).status_code == 200, ignored
    assert api.client.get(path, headers={"Range": "bytes=0-1", "If-Range": etag}).status_code == 206
    assert api.client.get(path, headers={"Range": "bytes=0-1", "If-Range": '"another"'}).content == CLOUD
    for known in (etag, f'"x", W/{etag}', "*"):
        seen = api.client.get(path, headers={"If-None-Match": known})
        assert (seen.status_code, seen.content, seen.headers["etag"]) == (304, b"", etag)
        assert api.client.get(path.partition("?")[0], headers={"If-None-Match": known}).status_code == 304
    assert api.client.get(path, headers={"If-None-Match": '"x"'}).status_code == 200
    head = api.client.head(path.partition("?")[0], headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.content, int(head.headers["content-length"]), head.headers["etag"]) == (200, b"", size, etag)


def test_an_empty_file_has_no_range() -> None:
    assert wanted(None, None, '"e"', 0) is None
    for asked in ("bytes=0-", "bytes=-1", "bytes=0-0"):
        with pytest.raises(OutOfRange):
            wanted(asked, None, '"e"', 0)
    with pytest.raises(OutOfRange):
        wanted("bytes=-0", None, '"e"', 5)


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_a_page_made_of_uploads_can_not_act_for_the_api(api: Api) -> None:
    job = finished_job(api, FILES)
    page = api.client.get(f"/v1/jobs/{job}/artifacts/report.html?stream=1")
    assert page.content == PAGE
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == "sandbox allow-scripts"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["content-disposition"].startswith("inline;")
    other = api.client.get(f"/v1/jobs/{job}/artifacts/tiles/größe 1.bin?stream=1")
    assert other.headers["content-security-policy"] == "sandbox"
    assert other.headers["content-disposition"] == "attachment; filename=\"gr__e 1.bin\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%201.bin"
    quoted = api.client.get(f"/v1/jobs/{job}/artifacts/x%22.mtl?stream=1")
    assert quoted.headers["content-disposition"] == "attachment; filename=\"x_.mtl\"; filename*=UTF-8''x%22.mtl"


def test_a_signed_url_holds_for_its_file_and_its_time_only(api: Api) -> None:
    job, other = finished_job(api, FILES), finished_job(api, FILES)
    service = api.app.state.service
    token = service.signer.sign("artifact", 60, owner="owner", job=job, name="points.ply")
    path = f"{api.url}/v1/jobs/{job}/artifacts/points.ply"
    body, _, mac = token.partition(".")
    expired = service.signer.sign("artifact", -2, owner="owner", job=job, name="points.ply")
    part = service.signer.sign("part", 60, owner="owner", job=job, name="points.ply")
    assert httpx.get(path, params={"token": token, "stream": 1}).content == CLOUD
    for refused in (expired, part, f"{body}A.{mac}", f"{body}.{mac[:-2]}AA", body, "", "é.é", "." * 5000):
        answer = httpx.get(path, params={"token": refused})
        assert answer.status_code in (401, 403), refused
        assert answer.headers["content-type"] == "application/problem+json"
    for elsewhere in (f"{api.url}/v1/jobs/{other}/artifacts/points.ply", f"{api.url}/v1/jobs/{job}/artifacts/report.html"):
        assert httpx.get(elsewhere, params={"token": token}).status_code == 403
    assert httpx.get(path).status_code == 401
    assert httpx.get(f"{api.url}/v1/jobs/{job}/artifacts", params={"token": token}).status_code == 401
    with api.service.node.database.writing() as session:
        session.get_one(Job, job).deleted_s = time.time()
    assert httpx.get(path, params={"token": token}).status_code == 404


def test_what_is_not_there_or_not_ones_own_is_absent(api: Api) -> None:
    job = finished_job(api, FILES)
    stranger, writer = api.client_of("stranger"), api.client_of("owner", ("write",))
    for path in ("artifacts", "artifacts/points.ply", "artifacts.zip", "artifacts.zip?name=points.ply"):
        assert stranger.get(f"/v1/jobs/{job}/{path}").status_code == 404
        assert writer.get(f"/v1/jobs/{job}/{path}").status_code == 403
        assert httpx.get(f"{api.url}/v1/jobs/{job}/{path}").status_code == 401
    assert stranger.head(f"/v1/jobs/{job}/artifacts/points.ply").status_code == 404
    for name in ("absent", "..%2f..%2frecon.db", "%00", "points.ply/", "/etc/passwd", "products/0000/DONE"):
        assert api.client.get(f"/v1/jobs/{job}/artifacts/{name}").status_code == 404, name
    place = api.service.node.place("owner")
    if isinstance(place.store, S3Store):
        place.store.bucket.delete([found.key for found in place.store.bucket.listed()])
    else:
        next(place.store.root.glob("products-*/*/points.ply")).unlink()
    gone = api.client.get(f"/v1/jobs/{job}/artifacts/points.ply")
    assert (gone.status_code, "no longer in the store" in gone.json()["detail"]) == (404, True)
