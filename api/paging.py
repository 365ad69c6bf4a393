"""Lists by pages: newest first, each page naming where the next begins."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field
from sqlalchemy import Select, and_, or_
from sqlalchemy.orm import Session

from api.errors import BadRequest

Item = TypeVar("Item")
Limit = Annotated[int, Query(ge=1, le=500, description="rows of a page")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before")]


class Page(BaseModel, Generic[Item]):
    items: list[Item]
    next: str | None = Field(None, description="pass as `cursor` for the page after this one; null on the last")


def page_of(session: Session, query: Select[Any], kind: Any, limit: int, cursor: str | None, shown: Callable[[Any], Item]) -> Page[Item]:
    """One page of ``kind``'s rows, which must have ``created_s`` and ``id``."""
    if cursor is not None:
        at_s, id = _parse(cursor)
        query = query.where(or_(kind.created_s < at_s, and_(kind.created_s == at_s, kind.id < id)))
    rows: Sequence[Any] = session.scalars(query.order_by(kind.created_s.desc(), kind.id.desc()).limit(limit + 1)).all()
    more = rows[limit - 1] if len(rows) > limit else None
    return Page(items=[shown(row) for row in rows[:limit]], next=None if more is None else _cursor(more.created_s, more.id))


def _cursor(at_s: float, id: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([at_s, id]).encode()).decode()


def _parse(cursor: str) -> tuple[float, str]:
    try:
        at_s, id = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
        return float(at_s), str(id)
    except (ValueError, TypeError, binascii.Error):
        raise BadRequest("'cursor' is not one that a page named", "Leave it out for the first page") from None
