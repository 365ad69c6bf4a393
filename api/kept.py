"""A job's events as the database keeps them: its states, those of its stages, its previews. They count where the broker lost its own.

The broker's stream is what clients are sent. Where it begins late, because it was trimmed, lost or never written, the rows before
its beginning come first. Rows that it lacks later on, because the broker was away when they were told, are told again: at the end
of the stream, but before the job's own end.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Sequence

from sqlalchemy import select

from workers.events import START, EventLog, Told
from workers.models import Event
from workers.node import Node

ENDED = ("done", "failed", "cancelled")
_settled: deque[tuple[str, str]] = deque(maxlen=1000)
"""Ends before which nothing lacks."""
Position = tuple[int, int]
"""An event's id: milliseconds since 1970 by the broker's clock, and a count."""


def position(id: str) -> Position:
    milliseconds, _, count = id.partition("-")
    return int(milliseconds), int(count or 0)


def text(at: Position) -> str:
    return f"{at[0]}-{at[1]}"


def is_end(event: Told | Event) -> bool:
    return event.kind == "job" and event.told.get("state") in ENDED


def rows_of(node: Node, job_id: str) -> list[Event]:
    """What the database keeps since the job was last queued, oldest first."""
    with node.database.reading() as session:
        rows = list(session.scalars(select(Event).where(Event.job_id == job_id).order_by(Event.id)))
    queued = [i for i, row in enumerate(rows) if row.kind == "job" and row.told.get("state") == "queued"]
    return rows[queued[-1] :] if queued else rows


def page(node: Node, job_id: str, after: Position, count: int = 500) -> tuple[list[Told], Position]:
    """Events after that position, at most about ``count``, and the position of the newest there is. BrokerAway, DatabaseAway."""
    told, newest = _page(node, job_id, after, count)
    end = next((one for one in told if is_end(one)), None)
    if end is not None and settle(node, job_id, end):
        return _page(node, job_id, after, count)
    return told, newest


def _page(node: Node, job_id: str, after: Position, count: int) -> tuple[list[Told], Position]:
    ends = node.events.ends(job_id)
    if ends is not None and after >= position(ends[0].id):
        return node.events.read(job_id, text(after), count=count), position(ends[1].id)
    before = older(rows_of(node, job_id), ends[0] if ends else None)
    newest = ends[1].id if ends else before[-1].id if before else START
    new = node.events.read(job_id, text(after), count=count) if ends else []
    return [told for told in before if position(told.id) > after] + new, position(newest)


def is_over(node: Node, job_id: str) -> bool:
    """Whether a job's end is among its events, or all of them are gone."""
    events = everything(node.events, job_id)
    events = older(rows_of(node, job_id), events[0] if events else None) + events
    return not events or any(is_end(told) for told in events)


def everything(events: EventLog, job_id: str) -> list[Told]:
    """All that the broker keeps of a job's events."""
    found: list[Told] = []
    while some := events.read(job_id, found[-1].id if found else START, count=1000):
        found += some
    return found


def older(rows: Sequence[Event], first: Told | None) -> list[Told]:
    """Rows from before the stream's first event, as events whose ids come before its."""
    told: list[Told] = []
    newest: Position = (0, 0)
    for row in rows[: _beginning(rows, first)]:
        at_ms = int(row.at_s * 1000) if first is None else min(int(row.at_s * 1000), position(first.id)[0] - 1)
        newest = max((at_ms, 0), (newest[0], newest[1] + 1))
        told.append(Told(text(newest), row.kind, row.told))
    return told


def lacking(rows: Sequence[Event], events: Sequence[Told], since: Position = (0, 0)) -> list[Event]:
    """Rows from after the stream's beginning that it lacks. ``since``: where it began, if nothing is left of it.

    A stage that began and ended is told about once: its beginning is old news.
    """
    begin = _beginning(rows, events[0]) if events else sum(row.at_s * 1000 <= since[0] for row in rows)
    present = Counter(_same(told) for told in events)
    missing: dict[str, list[Event]] = {}
    for row in rows[begin:]:
        if present[_same(row)] > 0:
            present[_same(row)] -= 1
            missing.pop(_subject(row), None)
        else:
            missing.setdefault(_subject(row), []).append(row)
    return sorted((row for some in missing.values() for row in some), key=lambda row: row.id)


def tell_again(node: Node, job_id: str, rows: Iterable[Event]) -> None:
    """Append rows to the stream, unless another process does."""
    for row in rows:
        if node.events.is_first(job_id, f"row{row.id}"):
            node.events.append(job_id, [(row.kind, row.told)])


def settle(node: Node, job_id: str, end: Told) -> bool:
    """Put what the stream lacks before the job's end, so that nobody stops listening too early. True if the end is another event now."""
    if (job_id, end.id) in _settled:
        return False
    events = everything(node.events, job_id)
    if not any(is_end(told) for told in events):
        return False  # the stream is lost, or was never told
    if all(told.id != end.id for told in events):
        return True  # another process was first
    missing = lacking(rows_of(node, job_id), events)
    if not missing:
        _settled.append((job_id, end.id))
        return False
    if node.events.is_first(job_id, f"end{end.id}"):
        node.events.append(job_id, [*((row.kind, row.told) for row in missing), (end.kind, end.told)], instead_of=end.id)
    return True


def _beginning(rows: Sequence[Event], first: Told | None) -> int:
    """How many of the rows are from before the stream's first event: those before its own row, else by the clock."""
    if first is None:
        return len(rows)
    at_ms = position(first.id)[0]
    same = [i for i, row in enumerate(rows) if _same(row) == _same(first)]
    if same:
        return min(same, key=lambda i: abs(rows[i].at_s * 1000 - at_ms))
    return sum(row.at_s * 1000 < at_ms for row in rows)


def _same(event: Told | Event) -> str:
    return json.dumps([event.kind, event.told], sort_keys=True)


def _subject(row: Event) -> str:
    return f"{row.kind} {row.told.get('stage') or row.told.get('name')}"
