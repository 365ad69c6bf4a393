"""Jobs over HTTP, run by a real worker with the toy pipeline."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from api_fixtures import Api
from servers import is_alive, wait_until
from sqlalchemy import func, select, update

from api.captures.rows import held_capture
from api.service import Caller
from workers.models import Artifact, Capture, File, Job, Owner, ShardRow, StageRow

embedded = pytest.mark.parametrize("api", ["embedded"], indirect=True)


def made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def start(api: Api, capture: str, **wanted: Any) -> dict[str, Any]:
    return made(api.client.post("/v1/jobs", json={"capture_id": capture, **wanted}))


def look(api: Api, id: str) -> dict[str, Any]:
    answer = api.client.get(f"/v1/jobs/{id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ended(api: Api, id: str) -> dict[str, Any]:
    api.service.wait(id)
    return look(api, id)


def states(job: dict[str, Any]) -> dict[str, str]:
    return {stage["name"]: stage["state"] for stage in job["stages"]}


def refused(answer: httpx.Response, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert words in f"{told['code']}: {told['detail']}. {told['remedy']}"


def asleep(api: Api) -> int:
    """The process that a shard which was ordered to sleep has started."""
    child = api.service.orders / "child"
    wait_until(lambda: child.exists() and child.read_text() != "", 20, "the shard sleeps")
    return int(child.read_text())


@pytest.mark.api_settings(price_hour=36.0)
def test_a_job_runs_and_with_other_options_only_what_depends_on_them(api: Api) -> None:
    capture = api.service.add_toy_capture(4)
    first = start(api, capture, preset="fast", config={"mesh": {"faces": 777}}, priority=6)
    assert (first["state"], first["priority"], first["preset"], first["progress"]) == ("queued", 6, "fast", 0)
    assert (first["config"]["mesh"]["faces"], first["config"]["depth"]["max_size_px"]) == (777, 800)
    assert states(first) == dict.fromkeys(("source", "ingest", "features", "products"), "waiting")
    api.service.start_worker()
    done = ended(api, first["id"])
    assert (done["state"], done["progress"], done["eta"], done["error"]) == ("done", 1, None, None), done
    assert states(done) == dict.fromkeys(("source", "ingest", "features", "products"), "done")
    assert [stage["shards"] for stage in done["stages"]] == [1, 1, 4, 1]
    assert done["cost"]["compute_s"] > 0
    assert done["cost"]["price"] == pytest.approx(done["cost"]["compute_s"] / 100, abs=1e-3)
    assert done["created_s"] <= done["started_s"] <= done["ended_s"]
    other = made(api.client.post(f"/v1/jobs/{first['id']}/rerun", json={"config": {"seed": 7, "mesh": {"max_hole": 0.1}}}))
    mesh = other["config"]["mesh"]
    assert (other["config"]["seed"], mesh["max_hole"], mesh["faces"], other["priority"], other["preset"]) == (7, 0.1, 777, 6, "fast")
    assert states(ended(api, other["id"])) == {"source": "done", "ingest": "cached", "features": "done", "products": "done"}
    third = made(api.client.post(f"/v1/jobs/{other['id']}/rerun", json={"until": "features", "priority": 1}))
    assert (third["config"], third["until"], third["priority"]) == (other["config"], "features", 1)
    assert states(ended(api, third["id"])) == {"source": "done", "ingest": "cached", "features": "cached"}
    plain = made(api.client.post(f"/v1/jobs/{third['id']}/rerun", json={"preset": "default", "until": None}))
    assert (plain["config"]["mesh"], plain["config"]["seed"], plain["until"]) == (mesh, 7, None)  # as it was changed
    assert plain["config"]["depth"]["max_size_px"] == 1600
    assert ended(api, plain["id"])["state"] == "done"
    with api.service.node.database.reading() as session:
        kinds = [(row.kind, row.name) for row in session.scalars(select(Artifact).where(Artifact.job_id == first["id"]))]
        keys = set(session.scalars(select(StageRow.key).where(StageRow.job_id == first["id"])))
    assert kinds == [("result", "n.txt")]
    assert {(key or "").rpartition("-")[0] for key in keys} == {"source", "ingest", "features", "products"}
    place = api.service.node.place("owner")
    assert all(place.store.exists(f"{key}/0000") for key in keys)
    assert len(api.service.trace()) == 12


@embedded
def test_a_list_has_filters_and_pages(api: Api) -> None:
    captures = [api.service.add_toy_capture(1), api.service.add_toy_capture(2)]
    ids = [start(api, captures[i % 2])["id"] for i in range(5)]
    api.client.post(f"/v1/jobs/{ids[0]}/cancel")
    api.client_of("other")
    api.service.submit(api.service.add_toy_capture(1, "other"), owner="other")

    def listed(**parameters: Any) -> list[str]:
        return [row["id"] for row in api.client.get("/v1/jobs", params=parameters).json()["items"]]

    assert listed() == ids[::-1]
    assert listed(capture_id=captures[1]) == [ids[3], ids[1]]
    assert listed(state="cancelled") == [ids[0]]
    assert listed(state="queued", capture_id=captures[0]) == [ids[4], ids[2]]
    page = api.client.get("/v1/jobs", params={"limit": 2}).json()
    assert [row["id"] for row in page["items"]] == [ids[4], ids[3]]
    assert listed(limit=3, cursor=page["next"]) == [ids[2], ids[1], ids[0]]
    refused(api.client.get("/v1/jobs", params={"state": "sleeping"}), 422, "invalid: query.state")
    api.client.delete(f"/v1/jobs/{ids[1]}")
    assert listed(capture_id=captures[1]) == [ids[3]]


@embedded
def test_what_can_not_run_is_refused_with_the_reason(api: Api) -> None:
    capture = api.service.add_toy_capture(1)

    def post(**wanted: Any) -> httpx.Response:
        return api.client.post("/v1/jobs", json={"capture_id": capture, **wanted})

    refused(post(config={"mesh": {"face": 1}}), 422, "config: unknown option 'mesh.face'. Did you mean 'mesh.faces'?")
    refused(post(config={"mesh": {"faces": 1}}), 422, "config: option 'mesh.faces' is 1: input should be greater")
    refused(post(config={"mesh": 5}), 422, "config: option 'mesh' is 5")
    surrogate = '{"capture_id": "a", "config": {"mesh": {"\\ud800": 1}}}'
    refused(api.client.post("/v1/jobs", content=surrogate, headers={"Content-Type": "application/json"}), 422, "not Unicode")
    refused(post(preset="best"), 422, "invalid: body.preset")
    refused(post(until="dinner"), 422, "config: there is no stage 'dinner'. Stages are ingest, features, products")
    refused(post(priority=10), 422, "invalid: body.priority")
    refused(post(priorty=1), 422, "invalid: body.priorty")
    refused(api.client.post("/v1/jobs", json={"capture_id": "0" * 20}), 404, "absent: there is no capture")
    for state, files, words in (
        ("open", [], "conflict: the capture has no file yet"),
        ("open", ["whole", "uploading", "damaged"], "conflict: 2 of the capture's 3 files have not arrived whole"),
        ("open", ["whole"], "POST /v1/captures/{id}/complete once"),
        ("failed", ["whole"], "conflict: the capture can't be used: all is dark. Use a lamp"),
    ):
        with api.service.node.database.writing() as session:
            row = Capture(owner_id="owner", name="c", state=state, error={"code": "x", "message": "all is dark", "remedy": "Use a lamp"})
            session.add(row)
            session.flush()
            common = {"owner_id": "owner", "capture_id": row.id, "size": 1, "object": "o", "part_bytes": 1}
            session.add_all(File(name=str(i), state=file, **common) for i, file in enumerate(files))
        refused(post(capture_id=row.id), 409, words)
    reader = api.client_of("owner", ("read",))
    refused(reader.post("/v1/jobs", json={"capture_id": capture}), 403, "forbidden: the API key may not write")
    assert api.client.get("/v1/jobs").json()["items"] == []


def test_no_more_jobs_are_live_than_the_owner_may_have(api: Api) -> None:
    capture = api.service.add_toy_capture(1)
    with api.service.node.database.writing() as session:
        session.get_one(Owner, "owner").max_jobs = 2
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: api.client.post("/v1/jobs", json={"capture_id": capture}), range(6)))
    ids = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    assert len(ids) == 2
    for answer in answers:
        if answer.status_code != 201:
            refused(answer, 403, "over_quota: 2 of your jobs are queued or running, and 2 may be")
    assert api.client.post(f"/v1/jobs/{ids[0]}/cancel").json()["state"] == "cancelled"
    start(api, capture)
    refused(api.client.post(f"/v1/jobs/{ids[0]}/retry"), 403, "over_quota")
    refused(api.client.post(f"/v1/jobs/{ids[1]}/rerun", json={}), 403, "over_quota")
    stranger = api.client_of("stranger")
    theirs = api.service.add_toy_capture(1, "stranger")
    assert stranger.post("/v1/jobs", json={"capture_id": theirs}).status_code == 201


def test_a_create_that_is_sent_again_makes_no_second_job(api: Api) -> None:
    wanted = {"capture_id": api.service.add_toy_capture(1)}

    def post(_: int = 0) -> httpx.Response:
        return api.client.post("/v1/jobs", json=wanted, headers={"Idempotency-Key": "once"})

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(post, range(4)))
    assert {answer.status_code for answer in answers} == {201}, answers[0].text
    (id,) = {answer.json()["id"] for answer in answers}
    again = api.client.post("/v1/jobs", json={**wanted, "priority": 1}, headers={"Idempotency-Key": "once"})
    refused(again, 409, "conflict: this Idempotency-Key came before with another request")
    rerun = [api.client.post(f"/v1/jobs/{id}/rerun", json={}, headers={"Idempotency-Key": "twice"}).json()["id"] for _ in range(2)]
    assert rerun[0] == rerun[1] != id
    with api.service.node.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 2


@embedded
def test_a_job_that_was_cancelled_goes_on_where_it_stopped(api: Api) -> None:
    (api.service.orders / "2").write_text("sleep")
    api.service.start_worker()
    id = start(api, api.service.add_toy_capture(3))["id"]
    child = asleep(api)
    running = look(api, id)
    assert (running["state"], running["stage"]) == ("running", "features")
    assert 0 < running["progress"] < 1
    refused(api.client.post(f"/v1/jobs/{id}/retry"), 409, "conflict: the job is running")
    wait_until(lambda: look(api, id)["stages"][2]["shards_done"] == 2, 10, "the others are done")
    cancelled = api.client.post(f"/v1/jobs/{id}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    wait_until(lambda: not is_alive(child), 2, "its processes end")
    again = api.client.post(f"/v1/jobs/{id}/cancel")
    assert (again.status_code, again.json()["ended_s"]) == (200, cancelled.json()["ended_s"])
    assert look(api, id)["eta"] is None
    spent_s = look(api, id)["cost"]["compute_s"]
    (api.service.orders / "2").unlink()
    wait_until(lambda: api.client.post(f"/v1/jobs/{id}/retry").status_code == 200, 4, "it is tried again")
    done = ended(api, id)
    assert (done["state"], done["error"]) == ("done", None)
    assert api.service.total(id) == 5
    assert sorted(row[0] for row in api.service.trace()) == [0, 1, 2, 2]
    assert 0 < done["cost"]["compute_s"] < spent_s + 10
    refused(api.client.post(f"/v1/jobs/{id}/retry"), 409, "conflict: the job is done")


@embedded
def test_a_job_is_not_tried_again_before_its_processes_have_ended(api: Api) -> None:
    id = start(api, api.service.add_toy_capture(1))["id"]
    api.client.post(f"/v1/jobs/{id}/cancel")
    with api.service.node.database.writing() as session:
        stage = session.scalars(select(StageRow).where(StageRow.job_id == id, StageRow.name == "ingest")).one()
        common = {"owner_id": "owner", "job_id": id, "stage_id": stage.id, "queue": "cpu"}
        session.add_all([ShardRow(number=0, state="running", worker="w", **common), ShardRow(number=1, state="done", **common)])
    refused(api.client.post(f"/v1/jobs/{id}/retry"), 409, "conflict: processes of the job are still being ended")
    assert look(api, id)["state"] == "cancelled"
    with api.service.node.database.writing() as session:
        session.scalars(select(ShardRow).where(ShardRow.number == 0)).one().state = "cancelled"
    assert api.client.post(f"/v1/jobs/{id}/retry").json()["state"] == "queued"
    with api.service.node.database.reading() as session:
        assert list(session.scalars(select(ShardRow.number))) == [1]  # what it took counts


@embedded
def test_a_job_that_failed_goes_on_where_it_stopped(api: Api) -> None:
    (api.service.orders / "1").write_text("error")
    api.service.start_worker(processes=1)
    id = start(api, api.service.add_toy_capture(3))["id"]
    failed = ended(api, id)
    assert failed["error"] == {"code": "no_overlap", "message": "3 of 40 images", "remedy": "film more slowly", "stage": "features"}
    assert states(failed)["features"] == "failed"
    assert states(failed)["products"] == "waiting"
    (api.service.orders / "1").unlink()
    wait_until(lambda: api.client.post(f"/v1/jobs/{id}/retry").status_code == 200, 4, "it is tried again")
    assert ended(api, id)["state"] == "done"
    assert [row[0] for row in api.service.trace()].count(0) == 1
    assert api.client.post(f"/v1/jobs/{id}/cancel").json()["state"] == "done"


@embedded
def test_a_job_that_is_deleted_while_it_runs_is_gone_and_its_processes_end(api: Api) -> None:
    (api.service.orders / "0").write_text("sleep")
    api.service.start_worker()
    id = start(api, api.service.add_toy_capture(1))["id"]
    child = asleep(api)
    assert api.client.delete(f"/v1/jobs/{id}").status_code == 204
    began_s = time.monotonic()
    for path in ("", "/events"):
        refused(api.client.get(f"/v1/jobs/{id}{path}"), 404, "absent: there is no job")
    refused(api.client.delete(f"/v1/jobs/{id}"), 404, "absent")
    assert api.client.get("/v1/jobs").json()["items"] == []
    wait_until(lambda: not is_alive(child), 2, "its processes end")
    assert time.monotonic() - began_s < 2.5
    assert api.service.job(id).state == "cancelled"
    with api.service.node.database.reading() as session:
        assert session.scalar(select(func.count()).where(ShardRow.state == "pending")) == 0


@embedded
def test_a_job_that_is_tried_again_while_its_capture_is_deleted_is_gone(api: Api) -> None:
    """Both want the capture and the job, and neither waits for the other for ever."""
    id = start(api, api.service.add_toy_capture(1))["id"]
    api.client.post(f"/v1/jobs/{id}/cancel")
    with ThreadPoolExecutor() as pool:
        with api.service.node.database.writing() as session:
            capture = held_capture(session, api.service.job(id).capture_id, Caller("owner", "key", frozenset()))
            again = pool.submit(api.client.post, f"/v1/jobs/{id}/retry")
            time.sleep(0.5)
            capture.deleted_s = time.time()
            session.execute(update(Job).where(Job.id == id).values(deleted_s=capture.deleted_s))
        assert again.result().status_code == 404


def test_nobody_finds_anothers_job(api: Api) -> None:
    id = start(api, api.service.add_toy_capture(1))["id"]
    stranger = api.client_of("stranger")
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("POST", "/rerun"),
        ("GET", "/events"),
    ):
        told = stranger.request(method, f"/v1/jobs/{id}{path}", json={} if path == "/rerun" else None)
        refused(told, 404, f"absent: there is no job '{id}'")
        never = stranger.request(method, f"/v1/jobs/{'0' * 20}{path}", json={} if path == "/rerun" else None)
        assert never.json() == {**told.json(), "detail": told.json()["detail"].replace(id, "0" * 20)}
    assert stranger.post("/v1/jobs", json={"capture_id": look(api, id)["capture_id"]}).status_code == 404
    assert stranger.get("/v1/jobs").json()["items"] == []
    assert look(api, id)["state"] == "queued"
    refused(api.client.get("/v1/jobs/not%00an%20id"), 422, "invalid")


@embedded
def test_the_forecast_starts_with_the_inspection_and_learns_from_finished_jobs(api: Api) -> None:
    capture = api.service.add_toy_capture(1)
    with api.service.node.database.writing() as session:
        session.get_one(Capture, capture).inspection = {"costs": [{"preset": "fast", "minutes": 5.0}, {"preset": "high", "minutes": 60.0}]}
    eta = start(api, capture, preset="fast")["eta"]
    assert eta["low_s"] * 2 == pytest.approx(eta["expected_s"], abs=0.2)
    assert eta["high_s"] == pytest.approx(2 * eta["expected_s"], abs=0.2)
    assert 0 < eta["expected_s"] < 300  # the toy pipeline has a few of the stages only
    assert start(api, capture, preset="high")["eta"]["expected_s"] == pytest.approx(12 * eta["expected_s"], rel=0.01)
    assert start(api, capture)["eta"] is None
    for took_s in (10.0, 11.0, 12.0, 13.0):
        old = start(api, capture, preset="fast")["id"]
        with api.service.node.database.writing() as session:
            session.get_one(Job, old).state = "done"
            for stage in session.scalars(select(StageRow).where(StageRow.job_id == old)):
                stage.state, stage.started_s, stage.ended_s = "done", 1000.0, 1000.0 + took_s / 4
    api.stop()  # what it knows of finished jobs may be some seconds old
    api.start()
    eta = start(api, capture, preset="fast")["eta"]
    assert eta["expected_s"] == pytest.approx(11.5, abs=0.2)
    assert 8 < eta["low_s"] < 11 < 12 < eta["high_s"] < 15
