"""Captures: made, listed, completed, deleted."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from api.captures import files, schemas
from api.captures.rows import held_capture, shown_captures
from api.errors import Conflict
from api.idempotency import KeyHeader, once
from api.paging import Cursor, Limit, Page, page_of
from api.problems import responses
from api.quotas import quota_of
from api.service import Reader, ServiceDep, Writer, mine
from recon.errors import EmptyCapture
from workers.chores import IMPORT, start_inspection
from workers.chores import LIVE as LIVE_CHORES
from workers.jobs import LIVE, cancel_job
from workers.models import Capture, Chore, File, Job, Owner

_SHOWN = 3

router = APIRouter(tags=["captures"])
router.include_router(files.router)


@router.post(
    "/v1/captures",
    status_code=201,
    response_model=schemas.Capture,
    summary="Make a capture",
    responses=responses(401, 403, 409, 422),
)
def create_capture(body: schemas.NewCapture, service: ServiceDep, caller: Writer, key: KeyHeader = None) -> Response:
    """An empty capture, open for files."""

    def make(session: Session) -> schemas.Capture:
        owner = session.get_one(Owner, caller.owner_id)
        keep_s = quota_of(owner, service.api).keep_captures_s
        now_s = time.time()
        capture = Capture(owner_id=caller.owner_id, name=body.name, created_s=now_s, expires_s=keep_s and now_s + keep_s)
        session.add(capture)
        session.flush()
        return shown_captures(session, [capture])[0]

    return once(service, caller, key, "POST /v1/captures", body, make)


@router.get("/v1/captures", summary="List captures", responses=responses(401, 403, 422))
def list_captures(service: ServiceDep, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page[schemas.Capture]:
    """The newest first."""
    query = select(Capture).where(Capture.owner_id == caller.owner_id, Capture.deleted_s.is_(None))
    with service.node.database.reading() as session:
        page: Page[Any] = page_of(session, query, Capture, limit, cursor, lambda row: row)
        return Page[schemas.Capture](items=shown_captures(session, page.items), next=page.next)


@router.get("/v1/captures/{capture_id}", summary="Look at a capture", responses=responses(401, 403, 404, 422))
def get_capture(capture_id: schemas.Id, service: ServiceDep, caller: Reader) -> schemas.Capture:
    """With what was found in it, once it is complete."""
    with service.node.database.reading() as session:
        return shown_captures(session, [mine(session, Capture, capture_id, caller)])[0]


@router.patch("/v1/captures/{capture_id}", summary="Rename a capture", responses=responses(401, 403, 404, 422))
def change_capture(capture_id: schemas.Id, body: schemas.CaptureChange, service: ServiceDep, caller: Writer) -> schemas.Capture:
    """Its name is the only thing that can be changed."""
    with service.node.database.writing() as session:
        capture = held_capture(session, capture_id, caller)
        capture.name = body.name
        return shown_captures(session, [capture])[0]


@router.delete("/v1/captures/{capture_id}", status_code=204, summary="Delete a capture", responses=responses(401, 403, 404, 422))
def delete_capture(capture_id: schemas.Id, service: ServiceDep, caller: Writer) -> None:
    """Its jobs are deleted with it, those that run cancelled, and uploads end. Its files go from the store soon after."""
    with service.node.database.writing() as session:
        capture = held_capture(session, capture_id, caller)
        live = session.scalars(select(Job).where(Job.capture_id == capture.id, Job.state.in_(LIVE)).with_for_update())
        cancelled = [job.id for job in live if cancel_job(session, job)]
        capture.deleted_s = time.time()
        gone = update(Job).where(Job.capture_id == capture.id, Job.deleted_s.is_(None)).values(deleted_s=capture.deleted_s)
        session.execute(gone, execution_options={"synchronize_session": False})
    for id in cancelled:
        service.node.events.tell(id, "job", {"state": "cancelled"})


@router.post(
    "/v1/captures/{capture_id}/complete",
    summary="Complete a capture",
    responses=responses(401, 403, 404, 409, 422),
)
def complete_capture(capture_id: schemas.Id, service: ServiceDep, caller: Writer) -> schemas.Capture:
    """All its files are there: jobs may use it, and some worker looks at what it holds. A file that is added opens it again."""
    with service.node.database.writing() as session:
        capture = held_capture(session, capture_id, caller)
        chore_id = _make_ready(session, capture)
        shown = shown_captures(session, [capture])[0]
    if chore_id is not None:
        service.node.tickets.chore(chore_id)
    return shown


def _make_ready(session: Session, capture: Capture) -> str | None:
    """The id of the chore that inspects it; None if it was ready before."""
    if capture.state == "ready":
        return None
    unfinished = select(File.name).where(File.capture_id == capture.id, File.state != "whole").order_by(File.name)
    if names := list(session.scalars(unfinished)):
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        told = ", ".join(repr(name[:80]) for name in names[:_SHOWN])
        raise Conflict(f"files are not whole: {told}{more}", "Complete or delete them first")
    imports = select(Chore.id).where(Chore.capture_id == capture.id, Chore.kind == IMPORT, Chore.state.in_(LIVE_CHORES))
    if session.scalar(imports.limit(1)) is not None:
        raise Conflict("an import into the capture is not at its end", "Wait for it, or cancel it")
    if not session.scalar(select(func.count()).where(File.capture_id == capture.id)):
        raise EmptyCapture("the capture has no file", "Upload photos, a video or a zip first")
    capture.state = "ready"
    return start_inspection(session, capture).id
