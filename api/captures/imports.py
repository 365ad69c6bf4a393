"""Files that the service fetches by itself: from a URL, or from a bucket that those who run it offer."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.captures.rows import held_capture, reopened
from api.captures.schemas import Id
from api.errors import Conflict
from api.idempotency import KeyHeader, once
from api.outside import check_outside
from api.paging import Cursor, Limit, Page, page_of
from api.problems import responses
from api.quotas import quota_of
from api.service import Caller, Reader, Service, ServiceDep, Writer, absent, mine
from workers.chores import IMPORT, LIVE, cancel_chore, start_import
from workers.errors import OverQuota
from workers.imports import source_bucket
from workers.intake import drop_unfinished
from workers.models import Capture, Chore, Owner

router = APIRouter(prefix="/v1", tags=["captures"])

MAX_LIVE = 20
"""Imports of an owner that wait or run."""


class NewImport(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"url": "https://example.org/flight.zip"}]})

    url: Annotated[str, Field(min_length=8, max_length=2000, pattern="^(https?|s3)://", description="http(s):// or s3://bucket/prefix")]


class ImportFailure(BaseModel):
    """Why nothing more came."""

    code: str = Field(examples=["input"])
    message: str
    remedy: str


class Import(BaseModel):
    """Files on their way into a capture."""

    id: str
    capture_id: str
    url: str
    state: Literal["pending", "running", "done", "failed", "cancelled"]
    files: int = Field(description="that are there")
    bytes: int = Field(description="that are there, of the file that is coming in as well")
    error: ImportFailure | None
    created_s: float
    ended_s: float | None


@router.post(
    "/captures/{capture_id}/imports",
    status_code=202,
    summary="Import files",
    response_model=Import,
    responses=responses(401, 403, 404, 409, 422),
)
def create_import(capture_id: Id, body: NewImport, service: ServiceDep, caller: Writer, key: KeyHeader = None) -> JSONResponse:
    """Have the service fetch a file from a public web server, or all files below a prefix of a bucket that it offers.

    The import goes on by itself, over broken connections too. Complete the capture once it is `done`.
    """
    if body.url.startswith("s3://"):
        source_bucket(service.settings, body.url)
    else:
        check_outside(service, body.url)
    answer = once(
        service,
        caller,
        key,
        f"POST /v1/captures/{capture_id}/imports",
        body,
        lambda session: _start(session, service, caller, capture_id, body),
        202,
    )
    service.node.tickets.chore(_id_in(answer))
    return answer


@router.get("/captures/{capture_id}/imports", summary="List a capture's imports", responses=responses(401, 403, 404, 422))
def list_imports(capture_id: Id, service: ServiceDep, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page[Import]:
    """Newest first."""
    with service.node.database.reading() as session:
        mine(session, Capture, capture_id, caller)
        query = select(Chore).where(Chore.capture_id == capture_id, Chore.kind == IMPORT)
        return page_of(session, query, Chore, limit, cursor, shown)


@router.get("/imports/{import_id}", summary="Get an import", responses=responses(401, 403, 404, 422))
def get_import(import_id: Id, service: ServiceDep, caller: Reader) -> Import:
    """How far it is, or why it failed."""
    with service.node.database.reading() as session:
        return shown(_import(session, import_id, caller))


@router.delete("/imports/{import_id}", status_code=204, summary="Cancel an import", responses=responses(401, 403, 404, 409, 422))
def cancel_import(import_id: Id, service: ServiceDep, caller: Writer) -> Response:
    """It stops within seconds. Files that are whole stay in the capture; the half of one goes."""
    with service.node.database.writing() as session:
        chore = _import(session, import_id, caller)
        if not cancel_chore(session, chore) and chore.state != "cancelled":
            raise Conflict(f"the import is {chore.state}", "Delete its files instead")
    drop_unfinished(service.node, chore)
    return Response(status_code=204)


def shown(chore: Chore) -> Import:
    error = ImportFailure.model_validate(chore.error) if chore.error else None
    return Import.model_validate(
        {
            "id": chore.id,
            "capture_id": chore.capture_id,
            "url": chore.what["url"],
            "state": chore.state,
            "files": chore.what["files"],
            "bytes": chore.what["bytes"],
            "error": error,
            "created_s": chore.created_s,
            "ended_s": chore.ended_s,
        }
    )


def _start(session: Session, service: Service, caller: Caller, capture_id: str, body: NewImport) -> Import:
    capture = held_capture(session, capture_id, caller)
    live = select(func.count()).where(Chore.owner_id == caller.owner_id, Chore.kind == IMPORT, Chore.state.in_(LIVE))
    if (session.scalar(live) or 0) >= MAX_LIVE:
        raise OverQuota(f"{MAX_LIVE} of your imports wait or run", "Wait until one has ended")
    owner = session.get_one(Owner, caller.owner_id)
    quota = quota_of(owner, service.api)
    reopened(capture)
    return shown(start_import(session, capture, body.url, quota.upload_bytes, quota.storage_bytes))


def _import(session: Session, import_id: str, caller: Caller) -> Chore:
    chore = mine(session, Chore, import_id, caller)
    if chore.kind != IMPORT:
        raise absent(Chore, import_id)
    mine(session, Capture, chore.capture_id, caller)  # one that was deleted takes its imports along
    return chore


def _id_in(answer: JSONResponse) -> str:
    return str(json.loads(bytes(answer.body))["id"])
