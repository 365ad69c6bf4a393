"""What it takes to have a job made: a capture that is ready, room in the owner's quota, options that exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.errors import Conflict
from api.jobs import schemas
from api.jobs.shown import expected_s
from api.quotas import quota_of
from api.service import Caller, Service, mine
from recon.config import Config, layered
from workers import models
from workers.errors import OverQuota
from workers.jobs import LIVE, create_job
from workers.models import Capture, File, Owner


def make_job(service: Service, session: Session, caller: Caller, wanted: schemas.NewJob) -> models.Job:
    return _made(service, session, caller, wanted, layered(wanted.preset, wanted.config))


def make_rerun(service: Service, session: Session, caller: Caller, old: models.Job, wanted: schemas.Rerun) -> models.Job:
    """A new job for the same capture. What the old one changed of its preset stays changed, under the new options."""
    new = schemas.NewJob(
        capture_id=old.capture_id,
        preset=wanted.preset or old.preset,
        until=wanted.until if "until" in wanted.model_fields_set else old.until,
        priority=old.priority if wanted.priority is None else wanted.priority,
    )
    return _made(service, session, caller, new, layered(new.preset, _changes(old), wanted.config))


def kept_capture(session: Session, id: str, caller: Caller) -> Capture:
    """The caller's capture. Until the transaction ends nothing of it is deleted, and its files do not expire."""
    session.get(Capture, id, with_for_update={"read": True})
    return mine(session, Capture, id, caller)


def check_quota(service: Service, session: Session, caller: Caller) -> Owner:
    """OverQuota unless the owner may have one more job queued or running. Holds until the transaction ends."""
    owner = session.scalars(select(Owner).where(Owner.id == caller.owner_id).with_for_update(key_share=True)).one()
    most = quota_of(owner, service.api).jobs
    live = session.scalar(select(func.count()).where(models.Job.owner_id == caller.owner_id, models.Job.state.in_(LIVE))) or 0
    if live >= most:
        raise OverQuota(f"{live} of your jobs are queued or running, and {most} may be", "Wait until one has ended, or cancel one")
    return owner


def _made(service: Service, session: Session, caller: Caller, wanted: schemas.NewJob, config: Config) -> models.Job:
    capture = kept_capture(session, wanted.capture_id, caller)
    _check_ready(session, capture)
    owner = check_quota(service, session, caller)
    job = create_job(session, owner.id, capture.id, config, preset=wanted.preset, until=wanted.until, priority=wanted.priority)
    job.expected_s = expected_s(capture, wanted.preset)
    return job


def _check_ready(session: Session, capture: Capture) -> None:
    """Conflict, saying what is missing, unless the capture is complete."""
    if capture.state == "ready":
        return
    if capture.state == "failed":
        error = capture.error or {}
        raise Conflict(f"the capture can't be used: {error.get('message', 'unknown')}", error.get("remedy", ""))
    counted = session.execute(select(File.state, func.count()).where(File.capture_id == capture.id).group_by(File.state))
    states = {state: count for state, count in counted}  # noqa: C416  (rows are no pairs to mypy)
    missing = sum(count for state, count in states.items() if state != "whole")
    if not states:
        raise Conflict("the capture has no file yet", "Upload photos, a video or a zip, then POST /v1/captures/{id}/complete")
    if missing:
        raise Conflict(
            f"{missing} of the capture's {sum(states.values())} files have not arrived whole",
            "Upload or delete them (GET /v1/captures/{id}/files), then POST /v1/captures/{id}/complete",
        )
    raise Conflict("the capture is not complete yet", "POST /v1/captures/{id}/complete once all its files are there")


def _changes(job: models.Job) -> Mapping[str, Any]:
    """The options in which a job differs from its preset."""
    usual = layered(job.preset).model_dump(mode="json")
    changes: dict[str, Any] = {}
    for name, value in job.config.items():
        if isinstance(value, dict):
            changes[name] = {key: chosen for key, chosen in value.items() if chosen != usual.get(name, {}).get(key)}
        elif value != usual.get(name):
            changes[name] = value
    return changes
