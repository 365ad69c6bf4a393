"""What a job needs next: looked up in the store and the database, written as shards, told to the queue. Safe to repeat."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from recon.config import parse
from recon.errors import ReconError, StageFailed
from recon.pipeline import Run, stages_until
from recon.stage import Stage
from recon.storage import DONE, sha256_of
from workers.claims import PLANNING
from workers.database import clock
from workers.errors import BrokerAway, DatabaseAway, StoreAway
from workers.events import Kind
from workers.jobs import COMPLETE, LIVE, SOURCE, end_job, fail_job, in_words, locked, note
from workers.models import Artifact, Job, ShardRow, StageRow
from workers.node import Node
from workers.places import Place
from workers.s3 import S3Store
from workers.sources import local_source

log = logging.getLogger(__name__)

PUBLISHED = ("products", "report")
"""Stages whose files a user takes away, as of ``recon process``."""
PREVIEWS: dict[str, dict[str, str]] = {"georef": {"sparse.ply": "preview/sparse.ply"}, "preview": {"points.ply": "preview/points.ply"}}
"""Stage -> file in its folder -> name of the artifact, that its user gets while the job still runs."""


def advance(node: Node, job_id: str) -> None:
    """Do for a job all that can be done without computing. Called whenever a stage may have become complete.

    A fault of the job ends it with the reason. StoreAway and DatabaseAway are raised: the job is looked at again later.
    """
    with node.database.writing() as session:
        job = locked(session, job_id)
        if job is None or job.state not in LIVE:
            return
        job.advanced_s = session.scalars(select(clock())).one()
        begins = job.state == "queued"
        if begins:
            job.state, job.started_s = "running", job.advanced_s
            note(session, job, "job", {"state": "running"})
    if begins:
        node.events.tell(job_id, "job", {"state": "running"})
    place = node.place(job.owner_id)
    try:
        while _step(node, place, job_id):
            pass
    except (StoreAway, DatabaseAway, BrokerAway):
        raise
    except ReconError as error:
        stop(node, job_id, error, "")
    except Exception as error:
        log.exception("job %s can't be advanced", job_id)
        fault = StageFailed(
            f"the job can't go on: {type(error).__name__}: {error}", "Results it builds on may have been deleted: run it again"
        )
        stop(node, job_id, fault, "")
    finally:
        place.release()


def stop(node: Node, job_id: str, error: ReconError, stage: str) -> None:
    """End a job with the reason, and tell it."""
    with node.database.writing() as session:
        job = locked(session, job_id)
        if job is None or not fail_job(session, job, error, stage):
            return
    tell_failed(node, job_id, error, stage)


def tell_failed(node: Node, job_id: str, error: ReconError, stage: str) -> None:
    node.events.tell(job_id, "job", {"state": "failed", "error": {**in_words(error), "stage": stage}})


def _step(node: Node, place: Place, job_id: str) -> bool:
    """Bring the first unfinished stage one step further. False if there is nothing to do but wait, or the job has ended."""
    with node.database.reading() as session:
        job = session.get(Job, job_id)
        if job is None or job.state not in LIVE:
            return False
        rows = list(session.scalars(select(StageRow).where(StageRow.job_id == job_id).order_by(StageRow.position)))
        row = next((row for row in rows if row.state not in COMPLETE), None)
        shards = {} if row is None else {s.number: s.state for s in session.scalars(select(ShardRow).where(ShardRow.stage_id == row.id))}
    if row is None:
        return _finish(node, place, job)
    if row.name == SOURCE:
        return _begin_source(node, job, row, shards)
    if any(state in ("pending", "running") for state in shards.values()):
        return False
    assert job.source is not None
    with local_source(place, job.source, ()) as folder:
        run = Run(folder, parse(job.config), place.store, stages_until(job.until))
        return _bring_on(node, run, run.stage(row.name), row, shards)


def _begin_source(node: Node, job: Job, row: StageRow, shards: dict[int, str]) -> bool:
    if not shards:
        return _put(node, row, None, [0], 1, "cpu")
    if shards[0] != "done":
        return False
    assert job.source is not None
    return _end_stage(node, row, job.source.partition("/")[0], "done", 1)


def _bring_on(node: Node, run: Run, stage: Stage, row: StageRow, shards: dict[int, str]) -> bool:
    """Plan, shards, end: whichever comes next. What another job of the same recipe has made already is not made again."""
    key = run.keys[stage.name]
    plan = run.planned(stage)
    if plan is None:
        if shards:  # planned by our record, but not in the store: it was deleted
            return _put_again(node, row)
        return _put(node, row, key, [PLANNING], 0, "cpu")
    pending = run.pending(stage)
    if not pending:
        made = any(number >= 0 for number in shards)
        return _end_stage(node, row, key, "done" if made or not plan else "cached", len(plan), _previews(run, stage))
    if any(number in shards for number in pending):
        return _put_again(node, row)
    return _put(node, row, key, pending, len(plan), "gpu" if stage.gpu else "cpu")


def _put(node: Node, row: StageRow, key: str | None, numbers: list[int], total: int, queue: str) -> bool:
    """Write shards that wait, then send as many tickets."""
    with node.database.writing() as session:
        job = locked(session, row.job_id)
        present = set(session.scalars(select(ShardRow.number).where(ShardRow.stage_id == row.id)))
        if job is None or job.state not in LIVE or present & set(numbers):
            return False  # another process was first
        stage = session.get_one(StageRow, row.id)
        stage.key = key
        stage.shards, stage.shards_done = total, total - len(numbers) if total else 0
        if stage.state == "waiting":
            stage.state, stage.started_s, job.stage = "running", session.scalar(select(clock())), stage.name
        common = {"owner_id": row.owner_id, "job_id": row.job_id, "stage_id": row.id, "queue": queue}
        session.add_all(ShardRow(number=number, **common) for number in numbers)
        told = _state(stage)
        note(session, job, "stage", told)
    node.events.tell(row.job_id, "stage", told)
    node.tickets.send([queue] * len(numbers))
    return False


def _put_again(node: Node, row: StageRow) -> bool:
    """Forget what we noted of a stage whose folders are gone from the store, so that it is made anew."""
    log.warning("job %s: results of stage '%s' are gone from the store; they are made again", row.job_id, row.name)
    with node.database.writing() as session:
        for shard in session.scalars(select(ShardRow).where(ShardRow.stage_id == row.id)):
            session.delete(shard)
    return True


def _end_stage(node: Node, row: StageRow, key: str, state: str, shards: int, previews: Sequence[dict[str, Any]] = ()) -> bool:
    with node.database.writing() as session:
        job = locked(session, row.job_id)
        stage = session.get(StageRow, row.id)
        if job is None or stage is None or job.state not in LIVE or stage.state in COMPLETE:
            return job is not None and job.state in LIVE
        stage.key, stage.state, stage.shards, stage.shards_done = key, state, shards, shards
        stage.ended_s = session.scalar(select(clock()))
        stage.started_s = stage.started_s or stage.ended_s
        told: list[tuple[Kind, dict[str, Any]]] = [("stage", _state(stage))]
        told += [("artifact", {"name": preview["name"], "kind": "preview"}) for preview in previews]
        _list(session, job, previews, "preview")
        for kind, what in told:
            note(session, job, kind, what)
    for kind, what in told:
        node.events.tell(row.job_id, kind, what)
    return True


def _finish(node: Node, place: Place, job: Job) -> bool:
    """List what the user takes away, and end the job."""
    assert job.source is not None
    with local_source(place, job.source, ()) as folder:
        run = Run(folder, parse(job.config), place.store, stages_until(job.until))
        found = [artifact for name in PUBLISHED if name in run.keys for artifact in _artifacts(run, run.stage(name))]
    with node.database.writing() as session:
        current = locked(session, job.id)
        if current is None or not end_job(session, current, "done"):
            return False
        _list(session, current, found, "result")
    node.events.tell(job.id, "job", {"state": "done"})
    return False


def _previews(run: Run, stage: Stage) -> list[dict[str, Any]]:
    """What a stage that is done shows before the job ends."""
    names = PREVIEWS.get(stage.name, {})
    return [{**row, "name": names[row["name"]], "path": row["name"]} for row in _artifacts(run, stage, names)] if names else []


def _artifacts(run: Run, stage: Stage, only: Collection[str] | None = None) -> list[dict[str, Any]]:
    """The files of a stage's folders, or of those the ones called so."""
    found = []
    for index in range(len(run.shards(stage))):
        key = run.shard_key(stage, index)
        files = run.store.manifest(key)["files"] if isinstance(run.store, S3Store) else _measured(run.store.pull(key), only)
        wanted = {name: stated for name, stated in files.items() if only is None or name in only}
        found += [{"name": name, "folder": key, "size": stated["size"], "sha256": stated["sha256"]} for name, stated in wanted.items()]
    return found


def _measured(folder: Path, only: Collection[str] | None) -> dict[str, Any]:
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    wanted = [name for name in names if name != DONE and (only is None or name in only)]
    return {name: {"size": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)} for name in wanted}


def _list(session: Session, job: Job, found: Iterable[dict[str, Any]], kind: str) -> None:
    session.add_all(Artifact(owner_id=job.owner_id, job_id=job.id, kind=kind, **row) for row in found)


def _state(stage: StageRow) -> dict[str, Any]:
    return {"stage": stage.name, "state": stage.state, "shards": stage.shards, "shards_done": stage.shards_done}
