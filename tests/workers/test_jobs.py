"""Jobs on real worker processes that are told to die, fail, hang and race."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from servers import Postgres, SeaweedFS, is_alive, wait_until
from service_fixtures import Service
from sqlalchemy import func, select

from recon.config import Config
from workers.jobs import cancel_job, locked
from workers.models import ShardRow


def test_a_job_runs_through_and_the_next_finds_its_results(service: Service) -> None:
    service.start_worker()
    capture = service.add_toy_capture(6)
    first = service.submit(capture)
    assert service.wait(first).state == "done", service.job(first).error
    assert service.total(first) == sum(i**2 for i in range(6))
    assert sorted(row[0] for row in service.trace()) == list(range(6))
    assert len(list((service.settings.folder / "alive").iterdir())) == 1  # what a container's health check looks at
    assert service.stages(first) == dict.fromkeys(("source", "ingest", "features", "products"), "done")
    second = service.submit(capture)
    assert service.wait(second).state == "done"
    assert service.stages(second) == {"source": "done", "ingest": "cached", "features": "cached", "products": "cached"}
    assert len(service.trace()) == 6
    third = service.submit(capture, Config(seed=7))
    assert service.wait(third).state == "done"
    assert service.stages(third)["ingest"] == "cached"
    assert service.total(third) == service.total(first)
    kinds = [(event.kind, event.told.get("stage"), event.told.get("state")) for event in service.node.events.read(first)]
    assert kinds[0] == ("job", None, "running")
    assert ("stage", "features", "done") in kinds
    assert kinds[-1] == ("job", None, "done")


@pytest.mark.parametrize("service", ["fleet"], indirect=True)
def test_shards_of_a_killed_worker_run_elsewhere(service: Service) -> None:
    service.start_worker()
    service.start_worker()
    for i in range(6):
        (service.orders / str(i)).write_text("slow")
    job = service.submit(service.add_toy_capture(6))
    wait_until(lambda: len({row[1] for row in service.trace()}) == 2, 20, "both workers have shards")
    victim = service.workers[0]
    os.kill(victim.pid, signal.SIGKILL)
    killed_s = time.monotonic()
    orphans = {row[2] for row in service.trace() if row[1] == victim.pid}
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in orphans), 2, "its processes end with it")
    assert service.wait(job, 30).state == "done", service.job(job).error
    assert time.monotonic() - killed_s < 20
    assert service.total(job) == sum(i**2 for i in range(6))


@pytest.mark.parametrize("service", ["embedded"], indirect=True)
def test_a_shard_that_kills_its_worker_fails_the_job_after_three_attempts(service: Service) -> None:
    service.start_worker()
    (service.orders / "1").write_text("die")
    job = service.wait(service.submit(service.add_toy_capture(3)))
    assert job.state == "failed"
    assert job.error is not None
    assert job.error["code"] in ("crashed", "out_of_memory")
    assert job.error["message"].startswith("stage 'features', shard 1 of 3: the worker process died 3 times")
    assert job.error["stage"] == "features"
    assert [row[0] for row in service.trace()].count(1) == 3
    (service.orders / "1").unlink()
    assert service.wait(service.submit(job.capture_id)).state == "done"


@pytest.mark.parametrize("service", ["embedded"], indirect=True)
def test_a_failure_ends_the_job_with_its_reason(service: Service) -> None:
    service.start_worker()
    capture = service.add_toy_capture(3)
    for order, code, message, attempts in (
        ("error", "no_overlap", "3 of 40 images", 1),
        ("fault", "failed", "stage 'features', shard 1 failed: ZeroDivisionError: by nought", 1),
        ("full", "disk_full", "no room", 3),  # another machine may have room
    ):
        (service.orders / "1").write_text(order)
        before = len([row for row in service.trace() if row[0] == 1])
        job = service.wait(service.submit(capture))
        assert job.state == "failed"
        assert job.error is not None
        assert (job.error["code"], job.error["message"], job.error["stage"]) == (code, message, "features")
        assert service.node.events.read(job.id)[-1].told["error"]["code"] == code
        assert len([row for row in service.trace() if row[0] == 1]) - before == attempts


@pytest.mark.parametrize("service", ["fleet"], indirect=True)
def test_cancelling_ends_shards_and_their_subprocesses_within_two_seconds(service: Service) -> None:
    service.start_worker()
    (service.orders / "0").write_text("sleep")
    capture = service.add_toy_capture(3)
    job = service.submit(capture)
    child = service.orders / "child"
    wait_until(lambda: child.exists() and child.read_text() != "", 20, "the shard sleeps")
    with service.node.database.writing() as session:
        record = locked(session, job)
        assert record is not None
        assert cancel_job(session, record)
    wait_until(lambda: not is_alive(int(child.read_text())), 2, "its subprocess ends")
    assert service.job(job).state == "cancelled"
    (service.orders / "0").unlink()
    again = service.submit(capture)
    assert service.wait(again).state == "done"
    assert service.job(job).state == "cancelled"


@pytest.mark.parametrize("service", ["embedded"], indirect=True)
def test_a_worker_that_is_stopped_gives_its_shards_back(service: Service) -> None:
    (service.orders / "0").write_text("sleep")
    job = service.submit(service.add_toy_capture(2))
    child = service.orders / "child"
    for number in (signal.SIGTERM, signal.SIGINT):
        worker = service.start_worker()
        wait_until(lambda: child.exists() and child.read_text() != "", 20, "the shard sleeps")
        worker.send_signal(number)
        stopped_s = time.monotonic()
        worker.wait(10)
        assert time.monotonic() - stopped_s < 8
        assert not is_alive(int(child.read_text()))
        child.unlink()
    (service.orders / "0").unlink()
    service.start_worker()
    assert service.wait(job).state == "done"
    with service.node.database.reading() as session:
        assert session.scalar(select(func.max(ShardRow.attempts)).where(ShardRow.job_id == job)) == 1
    assert service.settings.folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("service", ["embedded"], indirect=True)
def test_a_broker_that_is_killed_or_loses_everything_loses_no_job(service: Service) -> None:
    service.start_worker()
    for i in range(6):
        (service.orders / str(i)).write_text("slow")
    job = service.submit(service.add_toy_capture(6))
    wait_until(lambda: len(service.trace()) > 0, 20, "shards run")
    assert service.broker.process is not None
    service.broker.process.kill()
    service.broker.process.wait()
    time.sleep(1)
    service.broker.start()
    service.node.events.client.flushall()
    assert service.wait(job, 40).state == "done"
    assert sorted(row[0] for row in service.trace()) == list(range(6))
    assert service.total(job) == sum(i**2 for i in range(6))


@pytest.mark.parametrize("service", ["fleet"], indirect=True)
def test_a_job_outlives_the_death_of_everything(service: Service, seaweed: SeaweedFS, postgres: Postgres) -> None:
    service.start_worker()
    for i in range(6):
        (service.orders / str(i)).write_text("slow")
    job = service.submit(service.add_toy_capture(6))
    wait_until(lambda: len(service.trace()) >= 3, 20, "shards run")
    service.stop_workers()
    seaweed.kill()
    postgres.kill()
    assert service.broker.process is not None
    service.broker.process.kill()
    service.broker.process.wait()
    survivor = service.start_worker()  # comes too early: it waits for the others
    time.sleep(1.5)
    with ThreadPoolExecutor() as pool:
        for server in (postgres, seaweed):
            pool.submit(server.start)
        service.broker.start()  # it ends with the thread that began it
    if survivor.poll() is not None:  # without a database it says so and ends, as a supervisor expects
        service.start_worker()
    assert service.wait(job, 60).state == "done", service.job(job).error
    assert service.total(job) == sum(i**2 for i in range(6))


@pytest.mark.parametrize("service", ["embedded"], indirect=True)
def test_nobody_waits_behind_anothers_many_shards(service: Service) -> None:
    for i in range(20):
        (service.orders / str(i)).write_text("slow")
    greedy = service.submit(service.add_toy_capture(20, "greedy"), owner="greedy")
    service.start_worker()
    wait_until(lambda: len(service.trace()) >= 2, 20, "the first job runs")
    modest = service.submit(service.add_toy_capture(2, "modest"), Config(seed=1), owner="modest")
    assert service.wait(modest, 30).state == "done"
    assert service.job(greedy).state == "running"
    assert len([row for row in service.trace() if row[3] == 0]) < 14
