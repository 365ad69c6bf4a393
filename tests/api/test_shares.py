"""Links that show one job: what they open, what they do not, and that they end."""

from __future__ import annotations

import io
import logging
import time
import zipfile

import httpx
import pytest
from api_fixtures import Api
from finished_jobs import finished_job
from sqlalchemy import select

from workers.models import Job, Share

FILES = {"points.ply": b"points", "report.html": b"<!doctype html>", "preview.png": b"png"}


def share(api: Api, job: str, **wanted: object) -> dict[str, str]:
    made = api.client.post(f"/v1/jobs/{job}/shares", json=wanted)
    assert made.status_code == 201, made.text
    return dict(made.json())


def opened(api: Api, token: str) -> httpx.Response:
    return httpx.get(f"{api.url}/v1/shared", headers={"Authorization": f"Bearer {token}"})


def test_a_link_shows_its_job_until_it_is_revoked(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    job = finished_job(api, FILES)
    made = share(api, job, name="for the client", holds_s=3600)
    assert made["url"] == f"{api.url}/#/shared/{made['token']}"
    found = opened(api, made["token"])
    assert found.status_code == 200, found.text
    told = found.json()
    assert (told["job_id"], told["state"], told["name"]) == (job, "done", "capture")
    assert [row["name"] for row in told["artifacts"]] == sorted(FILES)
    urls = [row["url"] for row in told["artifacts"]]
    for row in told["artifacts"]:
        assert httpx.get(row["url"], follow_redirects=True).content == FILES[row["name"]]
    urls.append(told["zip_url"])
    assert zipfile.ZipFile(io.BytesIO(httpx.get(told["zip_url"]).content)).namelist() == sorted(FILES)
    (listed,) = api.client.get(f"/v1/jobs/{job}/shares").json()["items"]
    assert listed["used_s"] is not None
    assert "token" not in listed
    assert api.client.delete(f"/v1/jobs/{job}/shares/{made['id']}").status_code == 204
    gone = opened(api, made["token"])
    assert (gone.status_code, gone.json()["code"]) == (401, "unauthorized")
    assert {httpx.get(url).status_code for url in urls} == {403}
    with api.service.node.database.reading() as session:
        (row,) = session.scalars(select(Share))
    assert made["token"] not in str(vars(row))
    assert made["token"] not in caplog.text


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_a_link_opens_nothing_else(api: Api) -> None:
    job, other = finished_job(api, FILES), finished_job(api, FILES)
    token = share(api, job)["token"]
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=api.url, headers=headers) as holder:
        for path in ("/v1/owner", "/v1/jobs", f"/v1/jobs/{job}", f"/v1/jobs/{job}/artifacts", f"/v1/jobs/{job}/shares", "/v1/captures"):
            assert holder.get(path).status_code == 401, path
        assert holder.post(f"/v1/jobs/{job}/shares", json={}).status_code == 401
        assert holder.delete(f"/v1/jobs/{job}").status_code == 401
        (url,) = [row["url"] for row in holder.get("/v1/shared").json()["artifacts"] if row["name"] == "points.ply"]
        assert httpx.get(url.replace(job, other)).status_code == 403
        assert httpx.get(url.replace("points.ply", "report.html")).status_code == 403
        zip_url = holder.get("/v1/shared").json()["zip_url"]
        assert httpx.get(zip_url.replace(job, other)).status_code == 403
        assert httpx.get(zip_url.replace(".zip", "/points.ply")).status_code == 403
    key = api.client.headers["Authorization"].removeprefix("Bearer ")
    wrong = [key, "rs_", token[:-1], token[:-1] + ("A" if token[-1] != "A" else "B"), "rs_" + "0" * 20 + token[23:], "é"]
    for text in wrong:
        answer = httpx.get(f"{api.url}/v1/shared", headers={"Authorization": f"Bearer {text}".encode()})
        assert answer.status_code == 401, text
    assert httpx.get(f"{api.url}/v1/shared").status_code == 401


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_a_link_ends_with_its_time_and_its_job(api: Api) -> None:
    job = finished_job(api, FILES)
    first, second = share(api, job), share(api, job)
    url = opened(api, first["token"]).json()["artifacts"][0]["url"]
    with api.service.node.database.writing() as session:
        session.get_one(Share, first["id"]).expires_s = time.time() - 1
    assert opened(api, first["token"]).status_code == 401
    assert httpx.get(url).status_code == 403
    assert opened(api, second["token"]).status_code == 200
    with api.service.node.database.writing() as session:
        session.get_one(Job, job).deleted_s = time.time()
    assert opened(api, second["token"]).status_code == 401
    assert api.client.get(f"/v1/jobs/{job}/shares").status_code == 404


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
@pytest.mark.api_settings(rate_unknown="3/minute")
def test_links_that_may_not_be_made_and_guesses(api: Api) -> None:
    job, other = finished_job(api, FILES), finished_job(api, FILES)
    reader, stranger = api.client_of("owner", ("read",)), api.client_of("stranger")
    made = share(api, job)
    assert reader.post(f"/v1/jobs/{job}/shares", json={}).status_code == 403
    assert stranger.post(f"/v1/jobs/{job}/shares", json={}).status_code == 404
    assert stranger.delete(f"/v1/jobs/{job}/shares/{made['id']}").status_code == 404
    assert api.client.delete(f"/v1/jobs/{other}/shares/{made['id']}").status_code == 404
    for wanted in ({"holds_s": 1}, {"holds_s": 1e9}, {"name": "a\u0000"}, {"more": 1}):
        assert api.client.post(f"/v1/jobs/{job}/shares", json=wanted).status_code == 422, wanted
    answers = [opened(api, "rs_" + "0" * 63).status_code for _ in range(4)]
    assert answers == [401, 401, 401, 429]
    assert opened(api, made["token"]).status_code == 200
