"""Routes of jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import redis
from fastapi import APIRouter, Query, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.errors import Conflict
from api.idempotency import KeyHeader, once
from api.jobs import schemas
from api.jobs.create import check_quota, kept_capture, make_job, make_rerun
from api.jobs.schemas import CaptureId, JobId
from api.jobs.shown import show
from api.paging import Cursor, Limit, Page, page_of
from api.problems import responses
from api.service import Caller, Reader, Service, ServiceDep, Writer, mine
from workers import models
from workers.errors import BrokerAway
from workers.jobs import RETRIED, cancel_job, locked, retry_job
from workers.models import Capture

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.post("", status_code=201, summary="Start a job", response_model=schemas.Job, responses=responses(401, 403, 404, 409, 422))
def create_job(wanted: schemas.NewJob, caller: Writer, service: ServiceDep, key: KeyHeader = None) -> Response:
    """Reconstruct a capture that is ready. What an earlier job of yours has computed of it already is not computed again."""
    return _created(service, caller, key, "POST /v1/jobs", wanted, lambda session: make_job(service, session, caller, wanted))


@router.get("", summary="List jobs", responses=responses(401, 403, 422))
def list_jobs(
    caller: Reader,
    service: ServiceDep,
    capture_id: Annotated[CaptureId | None, Query(description="only those of that capture")] = None,
    state: Annotated[schemas.State | None, Query(description="only those in that state")] = None,
    search: Annotated[str | None, Query(max_length=200, description="only those whose capture's name has this, in any case")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[schemas.Job]:
    """Your jobs, the newest first."""
    query = select(models.Job).where(models.Job.owner_id == caller.owner_id, models.Job.deleted_s.is_(None))
    if capture_id is not None:
        query = query.where(models.Job.capture_id == capture_id)
    if state is not None:
        query = query.where(models.Job.state == state)
    if search and "\0" not in search:  # which is in no name, and PostgreSQL knows no such text
        named = select(Capture.id).where(Capture.owner_id == caller.owner_id, Capture.name.icontains(search, autoescape=True))
        query = query.where(models.Job.capture_id.in_(named))
    with service.node.database.reading() as session:
        page = page_of(session, query, models.Job, limit, cursor, _as_it_is)
        return Page[schemas.Job](items=show(service, session, page.items), next=page.next)


@router.get("/{id}", summary="Look at a job", response_model=schemas.Job, responses=responses(401, 403, 404, 422))
def get_job(id: JobId, caller: Reader, service: ServiceDep) -> Response:
    """Its state, its stages, how far it is, how long it will still take and what it has cost."""
    with service.node.database.reading() as session:
        shown = _one(service, session, mine(session, models.Job, id, caller))
    return Response(shown.model_dump_json(), media_type="application/json")  # asked often: not validated once more


@router.post("/{id}/cancel", summary="Cancel a job", responses=responses(401, 403, 404, 422))
def cancel(id: JobId, caller: Writer, service: ServiceDep) -> schemas.Job:
    """Its processes end within two seconds. What was computed stays for later jobs. A job that has ended is left as it is."""
    with service.node.database.writing() as session:
        job = _held(session, id, caller)
        was_live = cancel_job(session, job)
        shown = _one(service, session, job)
    if was_live:
        service.node.events.tell(id, "job", {"state": "cancelled"})
    return shown


@router.post("/{id}/retry", summary="Try a job again", responses=responses(401, 403, 404, 409, 422))
def retry(id: JobId, caller: Writer, service: ServiceDep) -> schemas.Job:
    """Have a job that failed or was cancelled go on where it stopped. Its events begin anew."""
    with service.node.database.writing() as session:
        mine_is = (models.Job.id == id, models.Job.owner_id == caller.owner_id)
        capture_id = session.scalar(select(models.Job.capture_id).where(*mine_is))
        if capture_id is not None:  # before the job: who deletes a capture holds it, and then asks for its jobs
            kept_capture(session, capture_id, caller)
        job = _held(session, id, caller)
        if job.state not in RETRIED:
            raise Conflict(f"the job is {job.state}", "Only one that failed or was cancelled can be tried again; see /rerun")
        check_quota(service, session, caller)
        if not retry_job(session, job):
            raise Conflict("processes of the job are still being ended", "Try again in two seconds")
        shown = _one(service, session, job)
        _forget_events(service, id)
    _begin(service, id)
    return shown


@router.post(
    "/{id}/rerun",
    status_code=201,
    summary="Run a job again with other options",
    response_model=schemas.Job,
    responses=responses(401, 403, 404, 409, 422),
)
def rerun(id: JobId, wanted: schemas.Rerun, caller: Writer, service: ServiceDep, key: KeyHeader = None) -> Response:
    """A new job for the same capture, with these options over the old job's. Only what depends on them is computed."""

    def make(session: Session) -> models.Job:
        return make_rerun(service, session, caller, mine(session, models.Job, id, caller), wanted)

    return _created(service, caller, key, f"POST /v1/jobs/{id}/rerun", wanted, make)


@router.delete("/{id}", status_code=204, summary="Delete a job", responses=responses(401, 403, 404, 422))
def delete_job(id: JobId, caller: Writer, service: ServiceDep) -> Response:
    """Its results go too, but for those that another job has in common with it. One that runs is cancelled first."""
    with service.node.database.writing() as session:
        job = _held(session, id, caller)
        was_live = cancel_job(session, job)
        job.deleted_s = time.time()
    if was_live:
        service.node.events.tell(id, "job", {"state": "cancelled"})
    return Response(status_code=204)


def _created(
    service: Service,
    caller: Caller,
    key: str | None,
    route: str,
    wanted: schemas.NewJob | schemas.Rerun,
    make: Callable[[Session], models.Job],
) -> Response:
    made: list[str] = []

    def make_once(session: Session) -> schemas.Job:
        job = make(session)
        made.append(job.id)
        return _one(service, session, job)

    answer = once(service, caller, key, route, wanted, make_once)
    for id in made:
        if id.encode() in answer.body:  # else the same request at the same time was first, and ours undone
            _begin(service, id)
    return answer


def _begin(service: Service, id: str) -> None:
    service.node.events.tell(id, "job", {"state": "queued"})
    service.node.tickets.advance(id)


def _forget_events(service: Service, id: str) -> None:
    """An end among them would stop those who listen to a job that goes on."""
    try:
        service.node.events.forget(id)
    except redis.RedisError as error:
        raise BrokerAway(f"the broker does not answer: {error}", "Try again in a moment") from error


def _held(session: Session, id: str, caller: Caller) -> models.Job:
    """The caller's job, which nobody else changes until the transaction ends."""
    locked(session, id)  # first, so that it is read as whoever held it before left it
    return mine(session, models.Job, id, caller)


def _one(service: Service, session: Session, job: models.Job) -> schemas.Job:
    (shown,) = show(service, session, [job])
    return shown


def _as_it_is(job: models.Job) -> models.Job:
    return job
