"""A job's record from its creation to its end."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from recon.config import Config
from recon.errors import InputError, ReconError
from recon.pipeline import stages_until
from workers.announce import announce
from workers.database import clock, owned
from workers.models import Capture, Event, Job, ShardRow, StageRow
from workers.tracing import traceparent

SOURCE = "source"
"""The step before the pipeline's stages: listing the capture's files."""
LIVE = ("queued", "running")
RETRIED = ("failed", "cancelled")
"""Ends from which a job can go on."""
COMPLETE = ("done", "cached")
"""States of a stage that needs nothing more."""
PRIORITIES = range(10)


def create_job(
    session: Session,
    owner_id: str,
    capture_id: str,
    config: Config,
    *,
    preset: str = "default",
    until: str | None = None,
    priority: int = 4,
) -> Job:
    """A queued job. The caller commits, then tells its event and sends ``advance``; if that is lost, workers find the job.

    KeyError for a capture that is not the owner's, ConfigError for an unknown stage, InputError for a priority out of range.
    """
    owned(session, Capture, capture_id, owner_id)
    stages = stages_until(until)
    if priority not in PRIORITIES:
        raise InputError(f"priority is {priority}", f"It is {PRIORITIES[0]} to {PRIORITIES[-1]}, higher first")
    values = config.model_dump(mode="json")
    job = Job(owner_id=owner_id, capture_id=capture_id, config=values, preset=preset, until=until, priority=priority)
    job.advanced_s = session.scalars(select(clock())).one()
    job.traceparent = traceparent()
    session.add(job)
    session.flush()
    for position, name in enumerate((SOURCE, *(stage.name for stage in stages))):
        session.add(StageRow(owner_id=owner_id, job_id=job.id, name=name, position=position))
    note(session, job, "job", {"state": "queued"})
    return job


def locked(session: Session, job_id: str) -> Job | None:
    """The job, which nobody else changes until this transaction ends; None if it was deleted."""
    return session.scalar(select(Job).where(Job.id == job_id).with_for_update())


def end_job(session: Session, job: Job, state: str, error: dict[str, Any] | None = None) -> bool:
    """Bring a live job to its end: done, failed or cancelled. False if it had ended before.

    Shards that wait are taken back at once; those that run are ended by their workers, who look every second.
    """
    if job.state not in LIVE:
        return False
    job.state, job.error = state, error
    job.ended_s = session.scalar(select(clock()))
    _end_rows(session, job, "cancelled" if state == "cancelled" else "failed")
    note(session, job, "job", {"state": state, **({"error": error} if error else {})})
    return True


def cancel_job(session: Session, job: Job) -> bool:
    """Stop a job. Its processes end within two seconds; what was computed stays for the next one. False if it had ended."""
    return end_job(session, job, "cancelled")


def retry_job(session: Session, job: Job) -> bool:
    """Have a failed or cancelled job go on where it stopped. The caller has it locked, commits, then sends ``advance``.

    False if it did not end so, or while the processes of its shards are still being ended.
    """
    running = select(ShardRow.id).where(ShardRow.job_id == job.id, ShardRow.state == "running").limit(1)
    if job.state not in RETRIED or session.scalar(running) is not None:
        return False
    for stage in session.scalars(select(StageRow).where(StageRow.job_id == job.id, StageRow.state.not_in(COMPLETE))):
        undone = delete(ShardRow).where(ShardRow.stage_id == stage.id, ShardRow.state != "done")  # the others say what they took
        session.execute(undone, execution_options={"synchronize_session": False})
        stage.state, stage.shards, stage.shards_done, stage.message = "waiting", 0, 0, ""
        stage.started_s = stage.ended_s = None
    job.state, job.stage, job.error = "queued", None, None
    job.started_s = job.ended_s = None
    job.advanced_s = session.scalars(select(clock())).one()
    note(session, job, "job", {"state": "queued"})
    return True


def fail_job(session: Session, job: Job, error: ReconError, stage: str) -> bool:
    """End a job with the reason. False if it had ended before."""
    return end_job(session, job, "failed", {**in_words(error), "stage": stage})


def in_words(error: ReconError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "remedy": error.remedy}


def _end_rows(session: Session, job: Job, state: str) -> None:
    pending = update(ShardRow).where(ShardRow.job_id == job.id, ShardRow.state == "pending")
    session.execute(pending.values(state="cancelled"), execution_options={"synchronize_session": False})
    running = update(StageRow).where(StageRow.job_id == job.id, StageRow.state == "running")
    session.execute(running.values(state=state, ended_s=clock()), execution_options={"synchronize_session": False})


def note(session: Session, job: Job, kind: str, told: dict[str, Any]) -> None:
    """Keep an event that must outlive the stream. A job's states are also told to its owner's webhooks."""
    session.add(Event(owner_id=job.owner_id, job_id=job.id, kind=kind, told=told))
    if kind == "job":
        announce(session, job.owner_id, f"job.{told['state']}", {"job_id": job.id, "capture_id": job.capture_id, **told})
