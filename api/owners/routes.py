"""``/v1/owner`` and ``/v1/keys``."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.errors import Conflict, Forbidden
from api.idempotency import KeyHeader, once
from api.keys import make_key
from api.owners import schemas
from api.paging import Cursor, Limit, Page, page_of
from api.problems import responses
from api.quotas import quota_of
from api.service import Admin, Reader, ServiceDep, mine
from recon.errors import InputError
from workers.jobs import LIVE
from workers.models import Capture, Job, Key, Owner
from workers.stored import stored_bytes

KeyId = Annotated[str, Path(pattern="^[0-9A-Za-z]{1,40}$", description="of a key", examples=["8c1d0a7c1b2a4e5f6a7b"])]
router = APIRouter(prefix="/v1", tags=["owner"])


@router.get("/owner", summary="Whose key this is", responses=responses(401, 403))
def get_owner(caller: Reader, service: ServiceDep) -> schemas.Owner:
    """Name, limits, and how much of them is used."""
    with service.node.database.reading() as session:
        owner = session.get_one(Owner, caller.owner_id)
        quota = quota_of(owner, service.api)
        return schemas.Owner(
            id=owner.id,
            name=owner.name,
            created_s=owner.created_s,
            limits=schemas.Limits(
                storage_bytes=quota.storage_bytes,
                upload_bytes=quota.upload_bytes,
                jobs=quota.jobs,
            ),
            usage=schemas.Usage(
                storage_bytes=stored_bytes(session, owner.id),
                captures=_count(session, Capture.owner_id == owner.id, Capture.deleted_s.is_(None)),
                jobs_live=_count(session, Job.owner_id == owner.id, Job.state.in_(LIVE)),
            ),
        )


@router.get("/keys", summary="List API keys", responses=responses(401, 403, 422))
def list_keys(caller: Admin, service: ServiceDep, limit: Limit = 100, cursor: Cursor = None) -> Page[schemas.Key]:
    """Newest first, those revoked or expired too. The keys themselves are never shown again."""
    with service.node.database.reading() as session:
        return page_of(session, select(Key).where(Key.owner_id == caller.owner_id), Key, limit, cursor, _shown)


@router.post(
    "/keys",
    summary="Make an API key",
    status_code=201,
    response_model=schemas.MadeKey,
    responses=responses(401, 403, 409, 422),
)
def create_key(wanted: schemas.NewKey, caller: Admin, service: ServiceDep, key: KeyHeader = None) -> JSONResponse:
    """Another key of this owner. Keep `key` from the answer: of it the service keeps a hash only."""
    if extra := set(wanted.scopes) - caller.scopes:
        raise Forbidden(f"the API key may not give scopes that it lacks: {', '.join(sorted(extra))}", "Use another key")
    if wanted.expires_s is not None and wanted.expires_s <= time.time():
        raise InputError("'expires_s' is in the past", "Give seconds since 1970, or leave it out")
    made: dict[str, str] = {}

    def make(session: Session) -> schemas.MadeKey:
        row, secret = make_key(session, caller.owner_id, wanted.name, sorted(set(wanted.scopes)), wanted.expires_s)
        made[row.id] = secret
        return schemas.MadeKey(**_shown(row).model_dump(), key=None)  # the answer is kept for repetitions; the key must not be

    answer = once(service, caller, key, "create_key", wanted, make)
    body = json.loads(bytes(answer.body))
    return JSONResponse({**body, "key": made.get(body["id"])}, answer.status_code)


@router.delete("/keys/{id}", summary="Revoke an API key", status_code=204, responses=responses(401, 403, 404, 409, 422))
def revoke_key(id: KeyId, caller: Admin, service: ServiceDep) -> Response:
    """It is refused from now on. URLs that were signed for it hold until they expire."""
    if id == caller.key_id:
        raise Conflict("this is the key in use", "Revoke it with another one")
    with service.node.database.writing() as session:
        row = mine(session, Key, id, caller)
        row.revoked_s = row.revoked_s or time.time()
    return Response(status_code=204)


def _shown(row: Key) -> schemas.Key:
    return schemas.Key(
        id=row.id,
        name=row.name,
        hint=row.hint,
        scopes=row.scopes,
        created_s=row.created_s,
        used_s=row.used_s,
        expires_s=row.expires_s,
        revoked_s=row.revoked_s,
    )


def _count(session: Session, *which: Any) -> int:
    return session.scalar(select(func.count()).where(*which)) or 0
