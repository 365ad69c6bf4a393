"""Health, metrics, request ids, JSON logs."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api_fixtures import Api
from fastapi import FastAPI
from finished_jobs import finished_job
from servers import free_ports, wait_until
from sqlalchemy import select

from api.health import _states
from api.metrics import _cards
from api.service import Service
from api.settings import ApiSettings
from workers.logs import JsonLines
from workers.models import Job, ShardRow, StageRow
from workers.settings import Settings

WITH_TWO_CARDS = "0, 37, 8123, 81559\n1, [N/A], 5, 81559\n"


def metrics(api: Api) -> dict[str, float]:
    text = httpx.get(f"{api.url}/metrics").text
    rows = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in rows}


def test_parts_that_are_away_are_named(api: Api) -> None:
    assert httpx.get(f"{api.url}/healthz").json()["status"] == "ok"
    ready = httpx.get(f"{api.url}/readyz")
    assert (ready.status_code, ready.json()) == (200, dict.fromkeys(("status", "database", "broker", "store"), "ready"))
    api.service.broker.stop()
    started_s = time.monotonic()
    away = httpx.get(f"{api.url}/readyz", timeout=10)
    assert time.monotonic() - started_s < 5
    assert away.status_code == 503
    assert away.json() == {"status": "away", "database": "ready", "broker": "away", "store": "ready"}
    assert int(away.headers["retry-after"]) > 0
    assert httpx.get(f"{api.url}/healthz").status_code == 200
    assert "recon_workers" not in metrics(api)  # nobody knows
    api.service.broker.start()
    assert httpx.get(f"{api.url}/readyz").status_code == 200


def test_a_store_that_is_away_is_named_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    (port,) = free_ports(1)
    where = {"store": "s3://recon", "s3_endpoint": f"http://127.0.0.1:{port}", "s3_region": "us-east-1"}
    service = Service(Settings(home=tmp_path, **where), ApiSettings(secret="any"))
    started_s = time.monotonic()
    assert _states(service) == {"database": "ready", "broker": "away", "store": "away"}
    assert time.monotonic() - started_s < 4
    service.close()


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_metrics_of_requests_name_routes_and_never_ids(api: Api) -> None:
    job = finished_job(api, {"a.ply": b"ply"})
    api.client.get(f"/v1/jobs/{job}/artifacts")
    api.client.get("/v1/jobs/absent/artifacts")
    api.client.get(f"/v1/nowhere/{job}")
    api.client.request("BREW", "/v1/owner")
    found = metrics(api)
    assert found['recon_requests_total{method="GET",route="/v1/jobs/{id}/artifacts",status="200"}'] == 1
    assert found['recon_requests_total{method="GET",route="/v1/jobs/{id}/artifacts",status="404"}'] == 1
    assert found['recon_requests_total{method="GET",route="none",status="404"}'] == 1
    assert found['recon_requests_total{method="other",route="/v1/owner",status="405"}'] == 1
    assert found['recon_request_seconds_count{method="GET",route="/v1/jobs/{id}/artifacts"}'] == 2
    assert not any(job in name for name in found)


def test_metrics_of_queues_jobs_and_stages(api: Api) -> None:
    api.app.state.metrics.state.kept_s = 0
    now_s = time.time()
    finished_job(api, {"a.ply": b"12345"}, state="failed", error={"code": "no_overlap", "message": "", "remedy": ""})
    old = finished_job(
        api, {"b.ply": b"1"}, state="failed", ended_s=now_s - 2 * 86400, error={"code": "no_overlap", "message": "", "remedy": ""}
    )
    job = api.service.submit(api.service.add_toy_capture(3))
    with api.service.node.database.writing() as session:
        session.get_one(Job, job).state = "running"
        for stage in session.scalars(select(StageRow).where(StageRow.job_id.in_((job, old)), StageRow.name != "source")):
            stage.state, stage.started_s, stage.ended_s = "done", now_s - 3, now_s
            if stage.job_id == old:
                stage.started_s, stage.ended_s = now_s - 3 * 86400, now_s - 2 * 86400
        session.add(ShardRow(owner_id="owner", job_id=job, stage_id=stage.id, number=0, queue="gpu"))
    found = metrics(api)
    assert found['recon_stages_day{stage="features"}'] == 1
    assert found['recon_stage_seconds_day{stage="features"}'] == pytest.approx(3)
    assert found['recon_jobs_failed_day{code="no_overlap"}'] == 1
    assert (found['recon_jobs{state="running"}'], found['recon_jobs{state="queued"}']) == (1, 0)
    assert (found['recon_queue_shards{queue="cpu"}'], found["recon_workers"]) == (0, 0)
    assert found['recon_stored_bytes{kind="results"}'] == 6
    assert found['recon_stored_bytes{kind="uploads"}'] == 3 * len('{"n": 1}')


def test_graphics_cards_as_their_driver_lists_them() -> None:
    found = {metric.name: {sample.labels["card"]: sample.value for sample in metric.samples} for metric in _cards(WITH_TWO_CARDS)}
    assert found["recon_gpu_use"] == {"0": 0.37}
    assert found["recon_gpu_memory_used_bytes"] == {"0": 8123 * 2.0**20, "1": 5 * 2.0**20}
    assert list(_cards("No devices were found\n")) == []


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_a_request_has_an_id_whatever_comes_of_it(api: Api) -> None:
    app: FastAPI = api.app

    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("by nought")

    own = api.client.get("/v1/owner", headers={"X-Request-Id": "mine-1.2_3"})
    assert own.headers["x-request-id"] == "mine-1.2_3"
    for insane in ("a b", "x" * 65, 'quote"', "<script>"):
        made = api.client.get("/v1/owner", headers={"X-Request-Id": insane}).headers["x-request-id"]
        assert len(made) == 16, insane
    fault = httpx.get(f"{api.url}/broken", headers={"X-Request-Id": "fault"})
    assert (fault.status_code, fault.json()["code"], fault.headers["x-request-id"]) == (500, "fault", "fault")
    assert httpx.get(f"{api.url}/v1/owner").headers["x-request-id"]
    assert metrics(api)['recon_requests_total{method="GET",route="/broken",status="500"}'] == 1


@pytest.fixture
def own_logging() -> Iterator[None]:
    """The root logger as it was, afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
@pytest.mark.service_settings(json_logs=True)
def test_logs_are_json_and_say_what_they_are_about(own_logging: None, api: Api) -> None:
    (handler,) = [handler for handler in logging.getLogger().handlers if isinstance(handler.formatter, JsonLines)]
    assert isinstance(handler, logging.StreamHandler)
    written = io.StringIO()
    handler.setStream(written)
    job = finished_job(api, {"a.ply": b"ply"})
    token = api.client.get(f"/v1/jobs/{job}/artifacts").json()["items"][0]["url"].partition("token=")[2]
    api.client.get(f"/v1/jobs/{job}/artifacts/a.ply", params={"token": token, "stream": 1}, headers={"X-Request-Id": "mine"})
    wait_until(lambda: '"mine"' in written.getvalue(), 30, "the request is logged, after its answer")
    try:
        raise ZeroDivisionError("by nought")
    except ZeroDivisionError:
        logging.getLogger("recon").exception("two\nlines")
    text = written.getvalue()
    assert token not in text
    lines = [json.loads(line) for line in text.splitlines()]
    (seen,) = [line for line in lines if line.get("request") == "mine"]
    assert (seen["level"], seen["logger"], seen["job"], seen["owner"]) == ("INFO", "api.requests", job, "owner")
    assert (seen["message"], seen["status"]) == ("GET /v1/jobs/{id}/artifacts/{name} 200", 200)
    assert seen["time"].startswith("20")
    assert "ZeroDivisionError" in lines[-1]["exc_info"]
