"""What was deleted or is past its time is really gone: rows, uploads, folders; and nothing that a job needs."""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import toy_pipeline
from api_fixtures import Api
from finished_jobs import finished_job, push, stored
from servers import wait_until
from sqlalchemy import select

from api.jobs.create import kept_capture
from api.retention import _alone, sweep
from api.service import Caller, Service
from recon.config import Config
from recon.pipeline import Run
from recon.stage import Work
from workers.chores import start_inspection
from workers.jobs import create_job
from workers.models import Answer, Artifact, Capture, Chore, Delivery, Event, File, Job, Owner, ShardRow, StageRow, Table, Webhook
from workers.sources import Upload, local_source, prepare

FILES = {"points.ply": b"ply", "report.html": b"<p>"}


def swept(api: Api, older_s: float = -5, thorough: bool = True) -> None:
    """One turn that takes everything for old: object stores note whole seconds."""
    service: Service = api.app.state.service
    assert sweep(service, thorough=thorough, older_s=older_s)


def change(api: Api, kind: type[Table], id: str | int, **values: Any) -> None:
    with api.service.node.database.writing() as session:
        row = session.get_one(kind, id)
        for name, value in values.items():
            setattr(row, name, value)


def rows(api: Api, kind: type[Table]) -> list[Any]:
    with api.service.node.database.reading() as session:
        return list(session.scalars(select(kind)))


def test_a_deleted_job_leaves_nothing_and_others_keep_theirs(api: Api) -> None:
    gone, kept, strangers = finished_job(api, FILES), finished_job(api, FILES), finished_job(api, FILES, "stranger")
    capture = api.service.job(gone).capture_id
    between = f"features-{secrets.token_hex(8)}"
    push(api, f"{between}/0000", {"n.txt": b"no artifact"})
    with api.service.node.database.writing() as session:
        stage = session.scalars(select(StageRow).where(StageRow.job_id == kept, StageRow.name == "features")).one()
        stage.state, stage.key = "done", between
    before = stored(api)
    api.service.node.events.tell(gone, "job", {"state": "done"})
    change(api, Job, gone, deleted_s=time.time())
    swept(api, older_s=3600)
    assert {job.id for job in rows(api, Job)} == {kept, strangers}
    assert {row.job_id for row in (*rows(api, StageRow), *rows(api, Artifact), *rows(api, Event))} == {kept, strangers}
    assert api.service.node.events.read(gone) == []
    assert stored(api) == before  # too young to be sure that no job wants it
    swept(api)
    left = stored(api)
    assert len([name for name in before - left if name.endswith("points.ply")]) == 1
    assert not any(_folder(api, gone) in name for name in left)
    assert any(between in name for name in left)
    assert api.client.get(f"/v1/jobs/{kept}/artifacts.zip").status_code == 200
    assert any(name.endswith("points.ply") for name in stored(api, "stranger"))
    assert capture in {row.id for row in rows(api, Capture)}


def _folder(api: Api, gone: str) -> str:
    """The folder that no row names any more."""
    named = {row.key for row in rows(api, StageRow) if row.key}
    names = [name.split("/")[1] for name in stored(api) if name.startswith("results/products-")]
    return next((name for name in names if name not in named), f"no folder of {gone}")


def test_a_deleted_capture_takes_its_uploads_and_jobs_along(api: Api) -> None:
    job = finished_job(api, FILES)
    capture = api.service.job(job).capture_id
    uploads = api.service.node.place("owner").uploads
    upload = uploads.start_upload(f"{capture}/late")
    uploads.send_part(f"{capture}/late", upload, 1, b"half")
    with api.service.node.database.writing() as session:
        common = {"owner_id": "owner", "capture_id": capture, "part_bytes": 5 * 2**20}
        session.add(File(name="late.jpg", size=9, object=f"{capture}/late", upload=upload, **common))
        start_inspection(session, session.get_one(Capture, capture))
    queued = api.service.submit(capture)
    assert any(name.startswith("uploads/") for name in stored(api))
    change(api, Capture, capture, deleted_s=time.time())
    swept(api, thorough=False)
    for kind in (Capture, File, Job, StageRow, Artifact, Chore):
        assert rows(api, kind) == [], kind
    assert stored(api) == set(), queued
    with pytest.raises(KeyError):
        uploads.parts(f"{capture}/late", upload)


def test_a_running_jobs_folders_stay_until_it_has_stopped(api: Api) -> None:
    (api.service.orders / "2").write_text("sleep")
    api.service.start_worker()
    job = api.service.submit(api.service.add_toy_capture(4))
    wait_until(lambda: len(api.service.trace()) >= 3, 20, "the shard that sleeps begins")
    orphan = "features-0123456789abcdef"
    push(api, f"{orphan}/0000", {"n.txt": b"1"})
    before = {name for name in stored(api) if "/ingest-" in name or "/source-" in name}
    assert len(before) >= 2
    swept(api)
    after = stored(api)
    assert before <= after
    assert not any(orphan in name for name in after)
    change(api, Job, job, deleted_s=time.time())
    swept(api)  # cancels it; its shard may still run
    wait_until(lambda: not _swept_all(api), 15, "the job's rows and folders go once its shards have stopped")


def _swept_all(api: Api) -> bool:
    swept(api)
    return bool(rows(api, Job)) or any(name.startswith("results/") for name in stored(api))


def test_rows_stay_while_a_process_is_at_work_on_them(api: Api) -> None:
    job = finished_job(api, FILES, state="cancelled", deleted_s=time.time())
    capture = api.service.job(job).capture_id
    with api.service.node.database.writing() as session:
        stage = session.scalars(select(StageRow).where(StageRow.job_id == job)).first()
        assert stage is not None
        shard = ShardRow(owner_id="owner", job_id=job, stage_id=stage.id, number=0, queue="cpu", state="running")
        chore = Chore(owner_id="owner", capture_id=capture, kind="import", state="running", pid=1)
        session.add_all([shard, chore])
        session.get_one(Capture, capture).deleted_s = time.time()
    swept(api)
    assert [row.id for row in rows(api, Job)] == [job]
    change(api, ShardRow, shard.id, state="cancelled")
    swept(api)
    assert (rows(api, Job), [row.id for row in rows(api, Capture)]) == ([], [capture])
    change(api, Chore, chore.id, state="cancelled", ended_s=time.time())
    swept(api)
    assert [row.id for row in rows(api, Capture)] == [capture]  # its process may still write
    change(api, Chore, chore.id, pid=None)
    swept(api)
    assert (rows(api, Capture), stored(api)) == ([], set())


def test_what_a_queued_job_will_take_over_stays(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECON_TEST_ORDERS", str(api.service.orders))
    capture = api.service.add_toy_capture(2)
    source = _computed(api, capture)
    before = stored(api)
    waits = api.service.submit(capture)
    swept(api)
    assert stored(api) == before  # its files are not listed yet: it may want any of them
    change(api, Job, waits, source=source)
    orphan = "features-0123456789abcdef"
    push(api, f"{orphan}/0000", {"n.txt": b"1"})
    swept(api)
    assert stored(api) == before  # none of its stages has begun
    change(api, Job, waits, deleted_s=time.time())
    swept(api)
    assert not any(name.startswith("results/") for name in stored(api))


def _computed(api: Api, capture: str) -> str:
    """The store as a job on this capture leaves it; the key of its source."""
    place = api.service.node.place("owner")
    (file,) = [row for row in rows(api, File) if row.capture_id == capture]
    source = prepare(place, [Upload(file.name, file.object)])
    with local_source(place, source, [file.name]) as folder:
        run = Run(folder, Config(), place.store, toy_pipeline.STAGES)
        for stage in run.stages:
            for index in range(len(run.shards(stage))):
                run.run_shard(stage, index, Work())
    place.release()
    return source


def test_rules_by_age_and_dates_of_their_own(api: Api) -> None:
    day_s, now_s = 24 * 3600.0, time.time()
    old = finished_job(api, FILES, ended_s=now_s - 2 * day_s)
    young = finished_job(api, FILES, ended_s=now_s - day_s / 2)
    dated = finished_job(api, FILES, ended_s=now_s, expires_s=now_s - 1)
    live = finished_job(api, FILES, state="queued", ended_s=None, expires_s=now_s - 1)
    strangers = finished_job(api, FILES, "stranger", ended_s=now_s - 2 * day_s)
    swept(api)
    assert {job.id for job in rows(api, Job)} == {old, young, live, strangers}, dated
    change(api, Owner, "owner", keep_results_s=day_s)
    swept(api)
    assert {job.id for job in rows(api, Job)} == {young, live, strangers}


def test_jobs_of_a_deleted_capture_are_gone_at_once(api: Api) -> None:
    job, kept = finished_job(api, FILES), finished_job(api, FILES)
    assert api.client.delete(f"/v1/captures/{api.service.job(job).capture_id}").status_code == 204
    assert [item["id"] for item in api.client.get("/v1/jobs").json()["items"]] == [kept]
    for path in ("", "/artifacts", "/artifacts/points.ply", "/artifacts.zip", "/events"):
        assert api.client.get(f"/v1/jobs/{job}{path}").status_code == 404, path
    assert api.client.post(f"/v1/jobs/{job}/rerun", json={}).status_code == 404


@pytest.mark.api_settings(keep_captures_s=1000, keep_results_s=5000)
def test_no_job_begins_on_files_that_are_going_and_none_go_under_a_job(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    going, used = (api.service.job(finished_job(api, FILES)).capture_id for _ in range(2))
    for id in (going, used):
        change(api, Capture, id, created_s=time.time() - 2000)
    asked: list[Any] = []
    monkeypatch.setattr("api.retention._drop_uploads", lambda _service, id: asked.append((id, begun(api, id))))
    service: Service = api.app.state.service
    with ThreadPoolExecutor() as pool:
        with service.node.database.writing() as session:
            capture = kept_capture(session, used, Caller("owner", "key", frozenset()))
            sweep_of_both = pool.submit(sweep, service, thorough=False)
            time.sleep(0.5)
            create_job(session, "owner", capture.id, Config())
        assert sweep_of_both.result()
    assert asked == [(going, (409, "conflict"))]
    found = {row.id: row for row in rows(api, Capture)}
    assert (found[used].state, found[going].state) == ("ready", "failed")
    assert {row.capture_id for row in rows(api, File)} == {used}


def begun(api: Api, capture_id: str) -> tuple[int, str]:
    answer = api.client.post("/v1/jobs", json={"capture_id": capture_id})
    return answer.status_code, answer.json()["code"]


@pytest.mark.api_settings(keep_captures_s=1000, keep_results_s=5000)
def test_uploads_go_before_the_results_that_are_kept_for_longer(api: Api) -> None:
    used, running = finished_job(api, FILES), finished_job(api, FILES, state="running", ended_s=None)
    unused = api.service.add_toy_capture(2)
    fresh = api.service.add_toy_capture(2)
    capture, busy = api.service.job(used).capture_id, api.service.job(running).capture_id
    looked_at = api.service.add_toy_capture(2)
    with api.service.node.database.writing() as session:
        start_inspection(session, session.get_one(Capture, looked_at))
    for id in (capture, busy, unused, looked_at):
        change(api, Capture, id, created_s=time.time() - 2000)
    swept(api, thorough=False)
    found = {row.id: row for row in rows(api, Capture)}
    assert set(found) == {capture, busy, fresh, looked_at}
    change(api, Capture, looked_at, deleted_s=time.time())
    swept(api, thorough=False)
    assert (found[capture].state, found[capture].error["code"]) == ("failed", "expired")
    assert {row.capture_id for row in rows(api, File)} == {busy, fresh}
    assert {name.split("/")[1] for name in stored(api) if name.startswith("uploads/")} == {busy, fresh}
    assert api.client.get(f"/v1/jobs/{used}/artifacts.zip").status_code == 200
    change(api, Job, used, ended_s=time.time() - 6000)
    swept(api)
    assert {row.id for row in rows(api, Capture)} == {busy, fresh}


def test_uploads_without_a_file_and_old_rows_go(api: Api) -> None:
    capture = api.service.add_toy_capture(1)
    uploads = api.service.node.place("owner").uploads
    uploads.write("gone/0", b"left by a killed import")
    upload = uploads.start_upload("gone/1")
    uploads.send_part("gone/1", upload, 1, b"half")
    used = uploads.start_upload(f"{capture}/1")
    uploads.send_part(f"{capture}/1", used, 1, b"half")
    old_s = time.time() - 31 * 24 * 3600
    with api.service.node.database.writing() as session:
        common = {"owner_id": "owner", "capture_id": capture}
        session.add(File(name="b.jpg", size=9, object=f"{capture}/1", upload=used, part_bytes=5 * 2**20, **common))
        session.add_all(Chore(kind="import", state=state, ended_s=ended_s, **common) for state, ended_s in _ended(old_s))
        session.add(Webhook(id="hook", owner_id="owner", url="http://x", secret="s"))
        session.flush()
        told = {"owner_id": "owner", "webhook_id": "hook", "kind": "job.done", "told": {}}
        session.add_all([Delivery(created_s=old_s, state="failed", **told), Delivery(state="delivered", **told)])
        answer = {"owner_id": "owner", "request_sha256": "", "status": 201, "body": {}}
        session.add_all([Answer(key="old", created_s=time.time() - 25 * 3600, **answer), Answer(key="new", **answer)])
    swept(api, older_s=3600)
    assert uploads.find("gone/0") is not None
    assert len(uploads.parts("gone/1", upload)) == 1
    swept(api)
    assert uploads.find("gone/0") is None
    with pytest.raises(KeyError):
        uploads.parts("gone/1", upload)
    assert len(uploads.parts(f"{capture}/1", used)) == 1
    assert any(name.startswith(f"uploads/{capture}/0") for name in stored(api))
    assert sorted(row.state for row in rows(api, Chore)) == ["done", "pending"]
    assert [row.state for row in rows(api, Delivery)] == ["delivered"]
    assert [row.key for row in rows(api, Answer)] == ["new"]


def _ended(old_s: float) -> list[tuple[str, float | None]]:
    return [("done", old_s), ("failed", old_s), ("done", time.time()), ("pending", None)]


def test_one_process_sweeps_at_a_time(api: Api) -> None:
    service: Service = api.app.state.service
    with _alone(service.node.database) as is_alone:
        assert is_alone
        assert not sweep(service, thorough=False)
    assert sweep(service, thorough=False)
