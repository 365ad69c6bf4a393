"""The page's files: types, caching, the policy that keeps everything else out, and a prefix."""

from __future__ import annotations

import httpx
import pytest
from api_fixtures import Api
from finished_jobs import finished_job

from api.page import FOLDER
from recon.config import Config

embedded = pytest.mark.parametrize("api", ["embedded"], indirect=True)


def test_the_page_may_load_its_own_files_and_nothing_else(api: Api) -> None:
    page = httpx.get(f"{api.url}/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert "unsafe-inline" not in str(policy)
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    store = api.service.settings.s3_endpoint if api.service.settings.bucket else None
    assert policy["connect-src"] == "'self' blob:" + (f" {store}" if store else "")
    assert not store or [name for name, value in policy.items() if store in value] == ["connect-src"]


@embedded
def test_files_are_packed_and_kept_as_long_as_their_names_allow(api: Api) -> None:
    names = sorted(path.name for path in FOLDER.iterdir())
    assert {"index.html", "app.js", "app.css"} <= set(names)
    for name in names:
        whole = httpx.get(f"{api.url}/{name}", headers={"Accept-Encoding": "identity"})
        assert whole.content == (FOLDER / name).read_bytes()
        assert httpx.get(f"{api.url}/{name}").content == whole.content
        assert httpx.get(f"{api.url}/{name}", headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert httpx.get(f"{api.url}/app.js").headers["cache-control"] == "no-cache"
    largest = max(names, key=lambda name: (FOLDER / name).stat().st_size)
    assert httpx.get(f"{api.url}/{largest}").headers["content-encoding"] == "gzip"
    hashed = [name for name in names if "-" in name and name.endswith(".js")]
    assert hashed
    assert all("immutable" in httpx.get(f"{api.url}/{name}").headers["cache-control"] for name in hashed)
    for absent in ("nothing.js", "..%2fpage.py", "static/app.js"):
        assert httpx.get(f"{api.url}/{absent}").status_code == 404


@embedded
@pytest.mark.api_settings(root_path="/recon")
def test_all_of_it_works_below_a_prefix(api: Api) -> None:
    assert httpx.get(f"{api.url}/recon", follow_redirects=True).url.path == "/recon/"
    assert httpx.get(f"{api.url}/recon/app.js").status_code == 200
    prefixed = httpx.Client(base_url=f"{api.url}/recon", headers=api.client.headers)
    with prefixed:
        capture = prefixed.post("/v1/captures", json={"name": "c"}).json()["id"]
        (file,) = prefixed.post(f"/v1/captures/{capture}/files", json={"files": [{"name": "a.jpg", "size": 3_000_000}]}).json()["files"]
        (part,) = prefixed.post(f"/v1/files/{file['id']}/parts", json={"numbers": [1]}).json()["parts"]
        assert part["url"].startswith(f"{api.url}/recon/v1/parts/")
        assert httpx.put(part["url"], content=b"a" * 3_000_000).status_code == 200  # more than other bodies may have


@embedded
def test_options_describe_every_choice(api: Api) -> None:
    told = api.client.get("/v1/options").json()
    assert told["presets"].keys() == {"fast", "default", "high"}
    assert told["presets"]["default"] == Config().model_dump(mode="json")
    assert told["options"]["$defs"]["Mesh"]["properties"]["faces"]["default"] == 200_000
    assert told["stages"][0] == "ingest"
    assert httpx.get(f"{api.url}/v1/options").status_code == 401


@embedded
def test_jobs_are_found_by_name_and_say_what_shows_them(api: Api) -> None:

    job = finished_job(api, {"preview.png": b"png"})
    newer = finished_job(api, {"preview.png": b"png", "thumbnail.jpg": b"jpg"})
    bare = finished_job(api, {"a.txt": b"a"})
    (capture,) = [row["capture_id"] for row in api.client.get("/v1/jobs").json()["items"] if row["id"] == newer]
    api.client.patch(f"/v1/captures/{capture}", json={"name": "Town Hall 100%"})
    rows = {row["id"]: row for row in api.client.get("/v1/jobs").json()["items"]}
    assert {id: row["thumbnail"] for id, row in rows.items()} == {job: "preview.png", newer: "thumbnail.jpg", bare: None}
    for words, found in (("town", [newer]), ("100%", [newer]), ("10%", []), ("a\u0000", None)):
        items = [row["id"] for row in api.client.get("/v1/jobs", params={"search": words}).json()["items"]]
        assert found is None or items == found
