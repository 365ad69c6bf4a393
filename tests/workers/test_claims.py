"""Whose turn it is, on both databases, and that no shard is ever claimed twice at once."""

from __future__ import annotations

import threading
import time

import pytest

from recon.config import Config
from recon.errors import ConfigError, InputError
from workers import claims
from workers.database import Database
from workers.jobs import cancel_job, create_job, fail_job, locked
from workers.models import Capture, Owner, ShardRow, StageRow


def add_job(database: Database, owner: str, shards: int, priority: int = 4) -> str:
    with database.writing() as session:
        if session.get(Owner, owner) is None:
            session.add(Owner(id=owner, name=owner))
            session.flush()
        capture = Capture(owner_id=owner, name="c")
        session.add(capture)
        session.flush()
        job = create_job(session, owner, capture.id, Config(), until="select", priority=priority)
        job.state = "running"
        stage = session.query(StageRow).filter_by(job_id=job.id, name="ingest").one()
        stage.shards = shards
        common = {"owner_id": owner, "job_id": job.id, "stage_id": stage.id, "queue": "cpu"}
        session.add_all(ShardRow(number=i, **common) for i in range(shards))
        return job.id


def take(database: Database, worker: str = "w", pid: int | None = None) -> claims.Claim | None:
    take.pid = getattr(take, "pid", 0) + 1  # type: ignore[attr-defined]
    with database.writing() as session:
        return claims.claim(session, "cpu", worker, pid or take.pid)  # type: ignore[attr-defined]


def owners(database: Database, count: int) -> list[str]:
    return [claimed.owner_id for _ in range(count) if (claimed := take(database)) is not None]


def test_owners_take_turns_whoever_came_first_and_however_much_they_ask(database: Database) -> None:
    add_job(database, "a", 10, priority=9)
    add_job(database, "b", 2)
    add_job(database, "c", 2)
    assert owners(database, 9) == ["a", "b", "c", "a", "b", "c", "a", "a", "a"]
    assert take(database, "other") is not None


def test_priority_orders_one_owners_jobs(database: Database) -> None:
    low, high = add_job(database, "a", 2, priority=1), add_job(database, "a", 2, priority=8)
    taken = [claimed.job_id for _ in range(4) if (claimed := take(database)) is not None]
    assert taken == [high, high, low, low]


def test_a_worker_claims_only_from_the_queues_that_it_serves(database: Database) -> None:
    add_job(database, "a", 1)
    with database.writing() as session:
        assert claims.claim(session, "gpu", "w", 1) is None
        assert claims.claim(session, "cpu", "w", 1) is not None


def test_claimers_at_once_get_each_shard_once(database: Database) -> None:
    add_job(database, "a", 40)
    taken: list[int] = []

    def claim_all(worker: str) -> None:
        pid = 0
        while True:
            pid += 1
            with database.writing() as session:
                claimed = claims.claim(session, "cpu", worker, pid)
            if claimed is None:
                return
            taken.append(claimed.number)

    threads = [threading.Thread(target=claim_all, args=(f"w{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(40))


def test_a_lease_that_is_not_renewed_expires_and_the_attempt_counts(database: Database) -> None:
    add_job(database, "a", 2)
    kept, lost = take(database, "kept", 1), take(database, "lost", 2)
    assert kept is not None
    assert lost is not None
    time.sleep(0.3)
    with database.writing() as session:
        assert claims.keep_alive(session, ShardRow, "kept", {1}) == []
    with database.writing() as session:
        (expired,) = claims.expired(session, ShardRow, 0.2)
        assert expired.id == lost.shard_id
        assert claims.take_back(session, expired)
        assert not claims.take_back(session, expired)
    again = take(database)
    assert again is not None
    assert (again.shard_id, again.attempt) == (lost.shard_id, 2)
    with database.writing() as session:
        assert claims.progress(session, lost, 0.5, "late") is None  # the first one learns that it lost it
        assert claims.progress(session, again, 0.5, "half") == {
            "stage": "ingest", "shards": 2, "shards_done": 0, "fraction": 0.25, "message": "half",
        }  # fmt: skip
        assert claims.finish(session, lost)  # what it made is as good
        assert not claims.finish(session, again)


def test_what_is_given_back_counts_no_attempt_and_may_wait(database: Database) -> None:
    add_job(database, "a", 1)
    claimed = take(database)
    assert claimed is not None
    with database.writing() as session:
        assert claims.give_back(session, claimed, wait_s=0.3)
        assert not claims.give_back(session, claimed)
    assert take(database) is None
    time.sleep(0.35)
    again = take(database)
    assert again is not None
    assert again.attempt == 1
    with database.writing() as session:
        assert claims.give_back_all(session, "w") != []
    third = take(database)
    assert third is not None
    assert third.attempt == 1


@pytest.mark.parametrize("by", ["its worker, dead", "its own process"])
def test_an_ended_jobs_shards_are_not_run_and_not_wanted(database: Database, by: str) -> None:
    job = add_job(database, "a", 3)
    running = take(database)
    assert running is not None
    with database.writing() as session:
        record = locked(session, job)
        assert record is not None
        assert cancel_job(session, record)
        assert not fail_job(session, record, InputError("late"), "ingest")
    assert take(database) is None
    with database.writing() as session:
        assert [row.id for row in claims.unwanted(session, "w")] == [running.shard_id]
        assert claims.progress(session, running, 0.5, "") is None
        assert claims.waiting(session) == {}
        (row,) = claims.expired(session, ShardRow, -1)
        if by == "its worker, dead":
            assert not claims.take_back(session, row)
        else:
            claims.drop(session, running)
    with database.reading() as session:
        assert claims.expired(session, ShardRow, -1) == []
        assert claims.unwanted(session, "w") == []


def test_a_forgotten_job_is_found(database: Database) -> None:
    job = add_job(database, "a", 0)
    busy = add_job(database, "a", 1)
    with database.writing() as session:
        assert claims.idle_jobs(session, 60) == []
        assert claims.idle_jobs(session, -1) == [job]
        assert busy not in claims.idle_jobs(session, -1)
        assert claims.waiting(session) == {"cpu": 1}


def test_a_job_is_checked_before_it_is_queued(database: Database) -> None:
    with database.writing() as session:
        session.add_all([Owner(id="a", name="a"), Owner(id="b", name="b")])
        session.flush()
        session.add(Capture(id="c", owner_id="a", name="c"))
    with database.writing() as session:
        with pytest.raises(KeyError):
            create_job(session, "b", "c", Config())
        with pytest.raises(ConfigError, match="there is no stage 'nonsense'"):
            create_job(session, "a", "c", Config(), until="nonsense")
        with pytest.raises(InputError, match="priority is 10"):
            create_job(session, "a", "c", Config(), priority=10)
