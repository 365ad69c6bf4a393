"""Chores: what some worker does for a capture apart from jobs. Begun, claimed and kept like shards, but each by its own ticket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from recon.errors import ReconError
from workers.announce import announce
from workers.database import clock
from workers.jobs import in_words
from workers.models import Capture, Chore, File

LIVE = ("pending", "running")
INSPECT, IMPORT = "inspect", "import"
IMPORTS_AT_ONCE = 2
"""Of one owner: they may take hours, and the processes that do them run everybody's shards too."""
WAIT_S = 2.0


@dataclass(frozen=True)
class Errand:
    """A chore that this process does. ``attempt`` counts from 1."""

    chore_id: str
    owner_id: str
    capture_id: str
    kind: str
    what: Mapping[str, Any]
    attempt: int


def start_inspection(session: Session, capture: Capture) -> Chore:
    """Have the capture looked at, once: a pending inspection serves, and one that runs is stopped, since files came after it began.

    The caller commits, then sends ``Tickets.chore``; if that is lost, workers find the chore by themselves.
    """
    session.scalar(select(Capture.id).where(Capture.id == capture.id).with_for_update())
    capture.inspection, capture.error = None, None
    live = list(session.scalars(select(Chore).where(Chore.capture_id == capture.id, Chore.kind == INSPECT, Chore.state.in_(LIVE))))
    for chore in live:
        if chore.state == "running":
            _end(session, chore, "cancelled")
    pending = next((chore for chore in live if chore.state == "pending"), None)
    return pending or _add(session, capture, INSPECT, {})


def start_import(session: Session, capture: Capture, url: str, max_upload_bytes: int, max_storage_bytes: int) -> Chore:
    """Have files fetched into the capture, each at most ``max_upload_bytes``, and all that its owner stores ``max_storage_bytes``."""
    limits = {"max_upload_bytes": max_upload_bytes, "max_storage_bytes": max_storage_bytes}
    return _add(session, capture, IMPORT, {"url": url, "files": 0, "bytes": 0, **limits})


def cancel_chore(session: Session, chore: Chore) -> bool:
    """Stop a chore: its process ends within two seconds. False if it had ended."""
    if chore.state not in LIVE:
        return False
    _end(session, chore, "cancelled")
    return True


def claim(session: Session, chore_id: str, worker: str, pid: int) -> Errand | None:
    """Begin a chore that waits; None if it does not, if it is not its turn, or if its capture is gone."""
    # a process does one thing at a time: another chore in its name was claimed just before the database went away
    stale = update(Chore).where(Chore.worker == worker, Chore.pid == pid, Chore.state == "running")
    session.execute(stale.values(state="pending", worker=None, pid=None), execution_options={"synchronize_session": False})
    waits = (Chore.id == chore_id, Chore.state == "pending", Chore.not_before_s <= clock())
    chore = session.scalar(select(Chore).where(*waits).with_for_update(skip_locked=True))
    if chore is None:
        return None
    if session.get_one(Capture, chore.capture_id).deleted_s is not None:
        _end(session, chore, "cancelled")
        return None
    if chore.kind == IMPORT and _running_imports(session, chore.owner_id) >= IMPORTS_AT_ONCE:
        chore.not_before_s = _now_s(session) + WAIT_S
        return None
    chore.state, chore.worker, chore.pid = "running", worker, pid
    chore.attempts += 1
    chore.seen_s = _now_s(session)
    return Errand(chore.id, chore.owner_id, chore.capture_id, chore.kind, chore.what, chore.attempts)


def held(session: Session, errand: Errand) -> Chore | None:
    """The errand's row, locked; None if it is no longer ours: stop then."""
    ours = (Chore.id == errand.chore_id, Chore.state == "running", Chore.attempts == errand.attempt)
    return session.scalar(select(Chore).where(*ours).with_for_update())


def finish(session: Session, errand: Errand, error: ReconError | None = None) -> Chore | None:
    """Note a chore's end. None if it is no longer ours: then nothing that came of it may be kept."""
    chore = held(session, errand)
    if chore is not None:
        _end(session, chore, "done" if error is None else "failed", error)
        chore.worker, chore.pid = None, None
    return chore


def note_inspection(
    session: Session, capture_id: str, found: dict[str, Any] | None, error: ReconError | None, damaged: Sequence[File] = ()
) -> None:
    """Keep what an inspection found with its capture, and announce it; nothing if files have come since."""
    capture = session.scalar(select(Capture).where(Capture.id == capture_id).with_for_update())
    if capture is None or capture.state == "open":
        return
    capture.inspection, capture.error = found, in_words(error) if error else None
    for file in damaged:
        session.get_one(File, file.id).state = "damaged"
        capture.state = "failed"
    told = {"capture_id": capture.id, "state": capture.state, **({"error": capture.error} if capture.error else {})}
    announce(session, capture.owner_id, "capture.failed" if error else "capture.ready", told)


def give_back(session: Session, errand: Errand, wait_s: float, *, counted: bool) -> None:
    """Let another try do it, after ``wait_s``. ``counted``: this one was an attempt."""
    chore = held(session, errand)
    if chore is not None:
        _wait_again(chore, counted=counted)
        chore.not_before_s = _now_s(session) + wait_s


def leave(session: Session, errand: Errand) -> None:
    """Note that a chore is stopped, and that its process does something else from now on."""
    mine = (Chore.id == errand.chore_id, Chore.attempts == errand.attempt, Chore.state.in_(("running", "cancelled")))
    chore = session.scalar(select(Chore).where(*mine).with_for_update())
    if chore is not None:
        _end(session, chore, "cancelled")
        chore.worker, chore.pid = None, None


# -- what the worker's main process does with the chores of its processes


def unwanted(session: Session, worker: str) -> list[int]:
    """Processes that do chores which were cancelled, or whose capture was deleted. They are to be ended."""
    query = select(Chore).join(Capture, Capture.id == Chore.capture_id).where(Chore.worker == worker, Chore.pid.is_not(None))
    found = list(session.scalars(query.where(or_(Chore.state == "cancelled", Capture.deleted_s.is_not(None))).with_for_update(of=Chore)))
    processes = [chore.pid for chore in found if chore.pid is not None]
    for chore in found:
        _end(session, chore, "cancelled")
        chore.worker, chore.pid = None, None
    return processes


def give_back_all(session: Session, worker: str) -> list[tuple[int | None, str]]:
    """All chores of a worker that stops on request: no attempt is counted. Returns each one's process and id."""
    rows = list(session.scalars(select(Chore).where(Chore.worker == worker, Chore.state == "running").with_for_update()))
    found = [(row.pid, row.id) for row in rows]
    for row in rows:
        _wait_again(row, counted=False)
    return found


def take_back(session: Session, lost: Chore, attempts: int, error: ReconError) -> str | None:
    """A chore whose process died waits again, or fails with this error if that happened too often. Its state; None if it is not lost."""
    same = (Chore.id == lost.id, Chore.state == "running", Chore.attempts == lost.attempts)
    chore = session.scalar(select(Chore).where(*same).with_for_update())
    if chore is None:
        return None
    _wait_again(chore, counted=True)
    if chore.attempts >= attempts:
        _end(session, chore, "failed", error)
        if chore.kind == INSPECT:
            note_inspection(session, chore.capture_id, None, error)
    return chore.state


def due(session: Session) -> list[str]:
    """Chores that may be begun now, oldest first."""
    return list(session.scalars(select(Chore.id).where(Chore.state == "pending", Chore.not_before_s <= clock()).order_by(Chore.created_s)))


def _add(session: Session, capture: Capture, kind: str, what: dict[str, Any]) -> Chore:
    chore = Chore(owner_id=capture.owner_id, capture_id=capture.id, kind=kind, what=what)
    session.add(chore)
    session.flush()
    return chore


def _end(session: Session, chore: Chore, state: str, error: ReconError | None = None) -> None:
    chore.state, chore.ended_s = state, _now_s(session)
    chore.error = in_words(error) if error else None


def _wait_again(chore: Chore, *, counted: bool) -> None:
    chore.state, chore.worker, chore.pid = "pending", None, None
    chore.attempts -= 0 if counted else 1


def _running_imports(session: Session, owner_id: str) -> int:
    running = select(func.count()).where(Chore.owner_id == owner_id, Chore.kind == IMPORT, Chore.state == "running")
    return session.scalar(running) or 0


def _now_s(session: Session) -> float:
    return session.scalars(select(clock())).one()
