"""What was deleted, or is past its time, is removed: rows, uploads, and by ``api/orphans.py`` the folders that no job needs any more."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
from filelock import FileLock, Timeout
from sqlalchemy import Select, and_, delete, func, or_, select, update

from api.idempotency import KEPT_S
from api.orphans import HOUR_S, sweep_folders, sweep_uploads
from api.service import Service
from recon.errors import InputError
from workers.chores import LIVE as LIVE_CHORES
from workers.chores import cancel_chore
from workers.database import Database
from workers.jobs import LIVE, cancel_job, in_words
from workers.models import Answer, Capture, Chore, Delivery, File, Job, Owner, ShardRow

log = logging.getLogger(__name__)

KEPT_ROWS_S = 30 * 24 * 3600.0
"""Of chores that ended, and deliveries."""
AT_ONCE = 200
"""Rows that one transaction removes: SQLite has one writer at a time."""
_LOCK = 7262637  # any number that no other program of this database uses
_BULK = {"synchronize_session": False}


def sweep(service: Service, *, thorough: bool, older_s: float = HOUR_S) -> bool:
    """One turn; False if another process is at it. ``thorough``: look for orphans of all owners, not of those with rows removed only.

    Of the store nothing goes that was written within ``older_s``: what made it may not have noted it yet.
    """
    with _alone(service.node.database) as is_alone:
        if not is_alone:
            return False
        _expire(service)
        _forget(service)
        owners = _remove_jobs(service) | _remove_captures(service)
        if thorough:
            with service.node.database.reading() as session:
                owners = set(session.scalars(select(Owner.id)))
        for owner_id in sorted(owners):
            with service.place(owner_id) as place:
                sweep_folders(service.node, place, older_s)
                if thorough:
                    sweep_uploads(service.node, place, older_s)
    return True


@contextmanager
def _alone(database: Database) -> Iterator[bool]:
    """Whether nobody else does the same; if so, nobody begins until the end."""
    if not database.is_sqlite:
        with database.reading() as session:
            yield bool(session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK))))
        return
    lock = FileLock(f"{database.url.database}.sweep", blocking=False)
    with suppress(Timeout):
        lock.acquire()
    try:
        yield lock.is_locked
    finally:
        lock.release()


# -- past their time


def _expire(service: Service) -> None:
    """Mark as deleted what its own date, its owner's rule or the service's says. Uploads may go before the results made of them."""
    now_s = time.time()
    with service.node.database.writing() as session:
        results = _past(Job.expires_s, Job.ended_s, Owner.keep_results_s, service.api.keep_results_s, now_s)
        jobs = select(Job.id).join(Owner, Owner.id == Job.owner_id).where(Job.deleted_s.is_(None), Job.state.not_in(LIVE), results)
        session.execute(update(Job).where(Job.id.in_(jobs)).values(deleted_s=now_s), execution_options=_BULK)
        past = _past_captures(service, now_s)
        unused = past.where(~_jobs(Job.deleted_s.is_(None)).exists())
        session.execute(update(Capture).where(Capture.id.in_(unused)).values(deleted_s=now_s), execution_options=_BULK)
    for capture_id in _closed(service, now_s):
        _drop_uploads(service, capture_id)
        with service.node.database.writing() as session:
            session.execute(delete(File).where(File.capture_id == capture_id), execution_options=_BULK)


def _past(own: Any, since: Any, rule: Any, default: float | None, now_s: float) -> Any:
    return or_(own <= now_s, since + (rule if default is None else func.coalesce(rule, default)) <= now_s)


def _past_captures(service: Service, now_s: float) -> Select[str]:
    """Captures past their time that nothing is being done to."""
    past = _past(Capture.expires_s, Capture.created_s, Owner.keep_captures_s, service.api.keep_captures_s, now_s)
    chores = select(Chore.id).where(Chore.capture_id == Capture.id, Chore.state.in_(LIVE_CHORES))
    query = select(Capture.id).join(Owner, Owner.id == Capture.owner_id)
    return query.where(Capture.deleted_s.is_(None), past, ~chores.exists())


def _jobs(*which: Any) -> Select[str]:
    return select(Job.id).where(Job.capture_id == Capture.id, *which)


def _closed(service: Service, now_s: float) -> list[str]:
    """Captures whose files are past their time, and that no job is at work on: from now on none can begin.

    They stay, with the jobs whose results are kept for longer.
    """
    reason = InputError("the capture's files were removed: they were past their time", "Upload them again, into a new capture")
    has_files = select(File.id).where(File.capture_id == Capture.id).exists()
    is_used = _jobs(Job.state.in_(LIVE)).exists()
    with service.node.database.writing() as session:
        past = list(session.scalars(_past_captures(service, now_s).where(~is_used, has_files).limit(AT_ONCE).with_for_update(of=Capture)))
        # asked again, now that they are held: a job may have been made of one meanwhile
        closed = list(session.scalars(select(Capture.id).where(Capture.id.in_(past), ~is_used)))
        error = {**in_words(reason), "code": "expired"}
        session.execute(update(Capture).where(Capture.id.in_(closed)).values(state="failed", error=error), execution_options=_BULK)
    return closed


def _forget(service: Service) -> None:
    """Rows that only say what has been."""
    now_s = time.time()
    with service.node.database.writing() as session:
        for old in (
            delete(Answer).where(Answer.created_s < now_s - KEPT_S),
            delete(Chore).where(Chore.state.not_in(LIVE_CHORES), Chore.ended_s < now_s - KEPT_ROWS_S),
            delete(Delivery).where(Delivery.created_s < now_s - KEPT_ROWS_S),
        ):
            session.execute(old, execution_options=_BULK)


# -- deleted


def _remove_jobs(service: Service) -> set[str]:
    """Rows of deleted jobs, once none of their shards runs. Returns their owners."""
    with service.node.database.writing() as session:
        for job in session.scalars(_deleted_jobs().where(Job.state.in_(LIVE)).with_for_update(of=Job)):
            cancel_job(session, job)
        running = select(ShardRow.id).where(ShardRow.job_id == Job.id, ShardRow.state == "running")
        gone = list(session.scalars(_deleted_jobs().where(~running.exists()).limit(AT_ONCE)))
        session.execute(delete(Job).where(Job.id.in_([job.id for job in gone])), execution_options=_BULK)
    _forget_events(service, [job.id for job in gone])
    return {job.owner_id for job in gone}


def _deleted_jobs() -> Select[Job]:
    """Those of deleted captures too."""
    return select(Job).join(Capture, Capture.id == Job.capture_id).where(or_(Job.deleted_s.is_not(None), Capture.deleted_s.is_not(None)))


def _forget_events(service: Service, jobs: list[str]) -> None:
    try:
        for job_id in jobs:
            service.node.events.forget(job_id)
    except redis.RedisError as error:
        log.warning("events of deleted jobs stay until they expire: %s", error)


def _remove_captures(service: Service) -> set[str]:
    """Deleted captures with their uploads, once no job is left and no chore is at work. Returns their owners."""
    with service.node.database.writing() as session:
        for chore in session.scalars(_deleted_chores().where(Chore.state == "pending").with_for_update(of=Chore)):
            cancel_chore(session, chore)
        gone = list(session.scalars(select(Capture).where(_is_removable()).limit(AT_ONCE)))
    for capture in gone:
        _drop_uploads(service, capture.id)
        with service.node.database.writing() as session:
            session.execute(delete(Capture).where(Capture.id == capture.id), execution_options=_BULK)
    return {capture.owner_id for capture in gone}


def _deleted_chores() -> Select[Chore]:
    return select(Chore).join(Capture, Capture.id == Chore.capture_id).where(Capture.deleted_s.is_not(None))


def _is_removable() -> Any:
    # one that was cancelled has a process until its worker has ended that, within seconds
    at_work = or_(Chore.state == "running", and_(Chore.pid.is_not(None), Chore.ended_s > time.time() - 60))
    busy = select(Chore.id).where(Chore.capture_id == Capture.id, at_work)
    return and_(Capture.deleted_s.is_not(None), ~_jobs().exists(), ~busy.exists())


def _drop_uploads(service: Service, capture_id: str) -> None:
    """The bytes of a capture's files, also of those that have not arrived in whole."""
    with service.node.database.reading() as session:
        files = list(session.scalars(select(File).where(File.capture_id == capture_id)))
    if not files:
        return
    with service.place(files[0].owner_id) as place:
        for file in files:
            if file.upload is not None:
                place.uploads.drop_upload(file.object, file.upload)
        place.uploads.delete([file.object for file in files])
