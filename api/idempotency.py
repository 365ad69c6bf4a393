"""Idempotency-Key: a create that is sent again is answered as the first time, and creates nothing more."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.errors import Conflict
from api.service import Caller, Service
from workers.models import Answer

KEPT_S = 24 * 3600.0

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern="^[!-~]+$",
        description="Any text of yours. A request that is repeated with it within a day gets the first answer again.",
    ),
]


def once(
    service: Service,
    caller: Caller,
    key: str | None,
    route: str,
    body: BaseModel | None,
    make: Callable[[Session], BaseModel],
    status: int = 201,
) -> JSONResponse:
    """Run ``make`` in one transaction together with the note that it ran, and answer with what it returned.

    Conflict if the key came before with another request.
    """
    request = hashlib.sha256(f"{route}\n{body.model_dump_json() if body else ''}".encode()).hexdigest()
    try:
        with service.node.database.writing() as session:
            old = delete(Answer).where(Answer.owner_id == caller.owner_id, Answer.created_s < time.time() - KEPT_S)
            session.execute(old)
            known = _known(session, caller, key, request)
            if known is None:
                made = make(session)
                known = Answer(owner_id=caller.owner_id, key=key or "", request_sha256=request, status=status, body=_plain(made))
                if key is not None:
                    session.add(known)
    except IntegrityError:  # the same request at the same time was first
        with service.node.database.reading() as session:
            found = _known(session, caller, key, request)
        if found is None:
            raise
        known = found
    return JSONResponse(known.body, known.status or status)


def _known(session: Session, caller: Caller, key: str | None, request: str) -> Answer | None:
    if key is None:
        return None
    answer = session.scalar(select(Answer).where(Answer.owner_id == caller.owner_id, Answer.key == key))
    if answer is not None and answer.request_sha256 != request:
        raise Conflict("this Idempotency-Key came before with another request", "Use a new one for each thing that you create")
    return answer


def _plain(made: BaseModel) -> dict[str, Any]:
    return dict(json.loads(made.model_dump_json()))
