"""Jobs as they are shown: rows of the database with progress, forecast and cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from api.jobs import schemas
from api.jobs.eta import Interval, Present, progress, time_left
from api.jobs.past import finished
from api.quotas import quota_of
from api.service import Service
from workers import models
from workers.database import clock
from workers.jobs import COMPLETE, LIVE
from workers.models import Artifact, Capture, Owner, ShardRow, StageRow

PICTURES = ("thumbnail.jpg", "preview.png")
Worked = tuple[float, float]
"""Of a stage's shards: the sum of the fractions of those that run, and the seconds that all have taken."""


def show(service: Service, session: Session, jobs: Sequence[models.Job]) -> list[schemas.Job]:
    ids = [job.id for job in jobs]
    stages: defaultdict[str, list[StageRow]] = defaultdict(list)
    for stage in session.scalars(select(StageRow).where(StageRow.job_id.in_(ids)).order_by(StageRow.position)):
        stages[stage.job_id].append(stage)
    worked = _worked(session, ids)
    captures = select(Capture.id, Capture.name).where(Capture.id.in_([job.capture_id for job in jobs]))
    names = {id: name for id, name in session.execute(captures)}  # noqa: C416  (rows are no pairs to mypy)
    pictures = _pictures(session, ids)
    return [
        _shown(service, session, job, stages[job.id], worked, name=names.get(job.capture_id, ""), thumbnail=pictures.get(job.id))
        for job in jobs
    ]


def expected_s(capture: Capture | None, preset: str) -> float | None:
    """Seconds of a whole job, as the capture's inspection expects them."""
    costs = (capture.inspection or {}).get("costs", ()) if capture else ()
    return next((60.0 * cost["minutes"] for cost in costs if cost["preset"] == preset), None)


def _pictures(session: Session, job_ids: Sequence[str]) -> dict[str, str]:
    """Job -> the artifact that shows it, the smallest one there is."""
    query = select(Artifact.job_id, Artifact.name).where(Artifact.job_id.in_(job_ids), Artifact.name.in_(PICTURES))
    found = {(id, name) for id, name in session.execute(query)}
    return {id: name for name in PICTURES[::-1] for id in job_ids if (id, name) in found}


def _shown(
    service: Service, session: Session, job: models.Job, rows: list[StageRow], worked: dict[int, Worked], **more: Any
) -> schemas.Job:
    stages = [_stage(row, worked.get(row.id, (0.0, 0.0))[0]) for row in rows]
    compute_s = sum(worked[row.id][1] for row in rows if row.id in worked)
    names = ("id", "capture_id", "state", "preset", "config", "until", "priority", "stage", "error")
    times = ("created_s", "started_s", "ended_s")
    left = _time_left(service, session, job, stages) if job.state in LIVE else None
    return schemas.Job(
        **{name: getattr(job, name) for name in (*names, *times)},
        **more,
        stages=stages,
        progress=round(progress((stage.name, stage.fraction) for stage in stages), 4),
        eta=None if left is None else schemas.Eta(**{name: round(value, 1) for name, value in asdict(left).items()}),
        expires_s=_expires_s(service, session, job),
        cost=schemas.Cost(compute_s=round(compute_s, 3), price=round(compute_s / 3600 * service.api.price_hour, 4)),
    )


def _expires_s(service: Service, session: Session, job: models.Job) -> float | None:
    """When its results go: at its own date or by its owner's rule, whichever is sooner."""
    owner = session.get_one(Owner, job.owner_id)
    keep_s = quota_of(owner, service.api).keep_results_s
    by_rule = [] if keep_s is None or job.ended_s is None else [job.ended_s + keep_s]
    return min([*by_rule, *([] if job.expires_s is None else [job.expires_s])], default=None)


def _stage(row: StageRow, open_fractions: float) -> schemas.Stage:
    fraction = 1.0 if row.state in COMPLETE else min(1.0, (row.shards_done + open_fractions) / max(1, row.shards))
    names = ("name", "state", "shards", "shards_done", "message", "started_s", "ended_s")
    return schemas.Stage(**{name: getattr(row, name) for name in names}, fraction=round(fraction, 4))


def _time_left(service: Service, session: Session, job: models.Job, stages: Sequence[schemas.Stage]) -> Interval | None:
    expected = job.expected_s or expected_s(session.get(Capture, job.capture_id), job.preset)
    current = next((stage for stage in stages if stage.state == "running"), None)
    since_s = (current.started_s if current else None) or 0.0
    now_s = session.scalars(select(clock())).one()
    present = Present(
        expected,
        {stage.name: _seconds(stage) for stage in stages if stage.state == "done"},
        current.name if current else None,
        current.fraction if current else 0.0,
        max(0.0, now_s - since_s) if current else 0.0,
        tuple(stage.name for stage in stages if stage.state == "waiting"),
    )
    return time_left(present, finished(service, session))


def _seconds(stage: schemas.Stage) -> float:
    return max(0.0, (stage.ended_s or 0.0) - (stage.started_s or 0.0))


def _worked(session: Session, job_ids: Sequence[str]) -> dict[int, Worked]:
    """Stage -> what its shards are at."""
    runs = ShardRow.state == "running"
    was_ended = and_(ShardRow.state.in_(("cancelled", "failed")), ShardRow.worker.is_not(None))
    until: Any = case(
        (ShardRow.state == "done", ShardRow.ended_s),
        (runs, func.coalesce(models.Job.ended_s, clock())),
        (was_ended, models.Job.ended_s),
        else_=ShardRow.started_s,
    )
    open_fractions = func.sum(case((and_(runs, ShardRow.number >= 0), ShardRow.fraction), else_=0.0))
    seconds = func.sum(func.coalesce(until - ShardRow.started_s, 0.0))
    query = select(ShardRow.stage_id, open_fractions, seconds).join(models.Job, models.Job.id == ShardRow.job_id)
    rows = session.execute(query.where(ShardRow.job_id.in_(job_ids)).group_by(ShardRow.stage_id))
    return {stage_id: (fraction, max(0.0, taken)) for stage_id, fraction, taken in rows}
