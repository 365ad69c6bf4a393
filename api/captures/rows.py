"""Rows of captures and files: found, held, and shown."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.captures import schemas
from api.errors import Absent
from api.service import Caller, absent, mine
from workers.chores import INSPECT, LIVE
from workers.models import Capture, Chore, File

HELD = {"key_share": True}
"""FOR NO KEY UPDATE: others may still add rows that point to the held one."""


def held_capture(session: Session, id: str, caller: Caller) -> Capture:
    """The caller's capture, which nobody else changes until this transaction ends."""
    session.get(Capture, id, with_for_update=HELD)
    return mine(session, Capture, id, caller)


def my_file(session: Session, id: str, caller: Caller) -> File:
    """The caller's file, of a capture that was not deleted."""
    file = mine(session, File, id, caller)
    try:
        mine(session, Capture, file.capture_id, caller)
    except Absent:
        raise absent(File, id) from None
    return file


def reopened(capture: Capture) -> None:
    """Its files change: what was found in them holds no longer."""
    if capture.state != "open":
        capture.state, capture.inspection, capture.error = "open", None, None


def parts_total(file: File) -> int:
    return -(-file.size // file.part_bytes)


def part_size(file: File, number: int) -> int:
    return min(file.part_bytes, file.size - (number - 1) * file.part_bytes)


def shown_captures(session: Session, rows: Sequence[Capture]) -> list[schemas.Capture]:
    ids = [row.id for row in rows]
    sums = select(File.capture_id, func.count(), func.sum(File.size)).where(File.capture_id.in_(ids)).group_by(File.capture_id)
    files = {id: (count, int(size)) for id, count, size in session.execute(sums)}
    live = select(Chore.capture_id).where(Chore.capture_id.in_(ids), Chore.kind == INSPECT, Chore.state.in_(LIVE))
    inspecting = set(session.scalars(live))
    return [_shown_capture(row, *files.get(row.id, (0, 0)), row.id in inspecting) for row in rows]


def shown_file(file: File) -> schemas.File:
    return schemas.File(
        id=file.id,
        capture_id=file.capture_id,
        name=file.name,
        size=file.size,
        sha256=file.sha256,
        state=file.state,
        part_bytes=file.part_bytes,
        parts_total=parts_total(file),
        created_s=file.created_s,
    )


def _shown_capture(row: Capture, files: int, size: int, inspecting: bool) -> schemas.Capture:
    return schemas.Capture(
        id=row.id,
        name=row.name,
        state=row.state,
        files=files,
        size=size,
        created_s=row.created_s,
        expires_s=row.expires_s,
        inspection=row.inspection,
        inspecting=inspecting,
        error=row.error,
    )
