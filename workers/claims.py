"""Who runs which shard, in the database: claimed in fair turns, kept by a lease, taken back from the dead.

The queue's messages ("tickets") name no shard: a ticket says "there is work", and the worker that gets it picks the shard whose
owner has the least running. So nobody waits behind another's thousand shards, a message that is lost or comes twice does no harm,
and which shards are left never depends on the broker.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, aliased

from workers.database import clock
from workers.jobs import LIVE
from workers.models import Chore, Job, ShardRow, StageRow

Work = TypeVar("Work", ShardRow, Chore)
"""What a worker's processes do under a lease."""
PLANNING = -1
"""Number of the "shard" that splits its stage."""


@dataclass(frozen=True)
class Claim:
    """A shard that this process runs. ``attempt`` counts from 1."""

    shard_id: int
    job_id: str
    capture_id: str
    owner_id: str
    stage_id: int
    stage: str
    number: int
    attempt: int
    config: Mapping[str, Any]
    source: str | None
    until: str | None
    of: int
    """Shards of the stage, done ones included."""
    traceparent: str | None = None

    @property
    def where(self) -> str:
        what = "its planning" if self.number == PLANNING else f"shard {self.number} of {self.of}"
        return f"stage '{self.stage}', {what}"


def claim(session: Session, queue: str, worker: str, pid: int) -> Claim | None:
    """Take the shard of that queue whose turn it is; None if none waits."""
    # a process runs one shard at a time: another in its name was claimed just before the database went away
    stale = update(ShardRow).where(ShardRow.worker == worker, ShardRow.pid == pid, ShardRow.state == "running")
    session.execute(stale.values(state="pending", worker=None, pid=None), execution_options={"synchronize_session": False})
    shard = session.scalar(_next_shard(queue))
    if shard is None:
        return None
    shard.state, shard.worker, shard.pid, shard.fraction = "running", worker, pid, 0.0
    shard.attempts += 1
    shard.seen_s = shard.started_s = session.scalar(select(clock()))
    job = session.get_one(Job, shard.job_id)
    stage = session.get_one(StageRow, shard.stage_id)
    return Claim(
        shard.id, job.id, job.capture_id, job.owner_id, stage.id, stage.name, shard.number, shard.attempts,
        job.config, job.source, job.until, stage.shards, job.traceparent,
    )  # fmt: skip


def _next_shard(queue: str) -> Any:
    """Owners with the least running come first, then jobs of higher priority, then older ones."""
    other = aliased(ShardRow)
    running = (
        select(func.count()).where(other.owner_id == ShardRow.owner_id, other.state == "running").correlate(ShardRow).scalar_subquery()
    )
    return (
        select(ShardRow)
        .join(Job, Job.id == ShardRow.job_id)
        .where(ShardRow.queue == queue, ShardRow.state == "pending", ShardRow.not_before_s <= clock(), Job.state.in_(LIVE))
        .order_by(running, Job.priority.desc(), Job.created_s, ShardRow.id)
        .limit(1)
        .with_for_update(of=ShardRow, skip_locked=True)
    )


def progress(session: Session, claimed: Claim, fraction: float, message: str) -> dict[str, Any] | None:
    """Note how far a shard is. Returns the stage's state in all, or None if the shard is no longer ours: stop then."""
    mine = update(ShardRow).where(ShardRow.id == claimed.shard_id, *_ours(claimed))
    if (
        _changed(session, mine.values(fraction=fraction)) == 0
        or session.scalar(select(Job.state).where(Job.id == claimed.job_id)) not in LIVE
    ):
        return None
    if message:
        session.execute(update(StageRow).where(StageRow.id == claimed.stage_id).values(message=message[:200]))
    stage = session.get_one(StageRow, claimed.stage_id)
    open_shards = select(func.coalesce(func.sum(ShardRow.fraction), 0.0)).where(
        ShardRow.stage_id == stage.id, ShardRow.state == "running", ShardRow.number >= 0
    )
    total = (stage.shards_done + float(session.scalar(open_shards) or 0.0)) / max(1, stage.shards)
    return {
        "stage": stage.name,
        "shards": stage.shards,
        "shards_done": stage.shards_done,
        "fraction": min(1.0, total),
        "message": stage.message,
    }


def finish(session: Session, claimed: Claim) -> bool:
    """Note that a shard is in the store. False if it was noted before: another worker had it too."""
    done = (
        update(ShardRow)
        .where(ShardRow.id == claimed.shard_id, ShardRow.state != "done")
        .values(state="done", fraction=1.0, ended_s=clock())
    )
    if _changed(session, done) == 0:
        return False
    if claimed.number >= 0:
        session.execute(update(StageRow).where(StageRow.id == claimed.stage_id).values(shards_done=StageRow.shards_done + 1))
    return True


def give_back(session: Session, claimed: Claim, wait_s: float = 0.0, *, counted: bool = False) -> bool:
    """Let another try run the shard, after ``wait_s``. ``counted``: this one was an attempt. False if it is no longer ours."""
    values: dict[str, Any] = {"state": "pending", "worker": None, "pid": None, "not_before_s": clock() + wait_s, "fraction": 0.0}
    if not counted:
        values["attempts"] = ShardRow.attempts - 1
    return _changed(session, update(ShardRow).where(ShardRow.id == claimed.shard_id, *_ours(claimed)).values(**values)) > 0


def drop(session: Session, claimed: Claim) -> None:
    """Note that a shard of an ended job was stopped, so that its process is not taken for one that still runs it."""
    _changed(session, update(ShardRow).where(ShardRow.id == claimed.shard_id, *_ours(claimed)).values(state="cancelled"))


def give_back_all(session: Session, worker: str) -> list[tuple[int | None, str]]:
    """All shards of a worker that stops on request: no attempt is counted. Returns each one's process and queue."""
    rows = list(session.scalars(select(ShardRow).where(ShardRow.worker == worker, ShardRow.state == "running").with_for_update()))
    found = [(row.pid, row.queue) for row in rows]
    for row in rows:
        row.state, row.worker, row.pid, row.fraction = "pending", None, None, 0.0
        row.attempts -= 1
    return found


def keep_alive(session: Session, kind: type[Work], worker: str, processes: Collection[int]) -> list[Work]:
    """Renew the lease of what these processes do. Returns what a process did that has ended."""
    running = list(session.scalars(select(kind).where(kind.worker == worker, kind.state == "running")))
    alive = [row.id for row in running if row.pid in processes]
    if alive:
        session.execute(update(kind).where(kind.id.in_(alive)).values(seen_s=clock()))
    return [row for row in running if row.pid not in processes]


def is_busy(session: Session, worker: str) -> bool:
    """Whether the worker runs any shard or does any chore."""
    kinds: tuple[type[ShardRow | Chore], ...] = (ShardRow, Chore)
    return any(session.scalar(select(kind.id).where(kind.worker == worker, kind.state == "running").limit(1)) is not None for kind in kinds)


def unwanted(session: Session, worker: str) -> list[ShardRow]:
    """Shards that this worker runs for jobs that have ended."""
    query = select(ShardRow).join(Job, Job.id == ShardRow.job_id)
    return list(session.scalars(query.where(ShardRow.worker == worker, ShardRow.state == "running", Job.state.not_in(LIVE))))


def expired(session: Session, kind: type[Work], lease_s: float) -> list[Work]:
    """What runs on a worker that was not heard of for that long."""
    return list(session.scalars(select(kind).where(kind.state == "running", kind.seen_s < clock() - lease_s)))


def take_back(session: Session, shard: ShardRow) -> bool:
    """A shard whose process died waits again, its attempt counted. False if it need not: done, taken back before, its job ended."""
    mine = update(ShardRow).where(ShardRow.id == shard.id, ShardRow.state == "running", ShardRow.attempts == shard.attempts)
    is_wanted = session.scalar(select(Job.state).where(Job.id == shard.job_id)) in LIVE
    values = {"state": "pending" if is_wanted else "cancelled", "worker": None, "pid": None, "fraction": 0.0}
    return _changed(session, mine.values(**values)) > 0 and is_wanted


def waiting(session: Session) -> dict[str, int]:
    """Queue -> shards that may be begun now."""
    query = select(ShardRow.queue, func.count()).join(Job, Job.id == ShardRow.job_id).group_by(ShardRow.queue)
    rows = session.execute(query.where(ShardRow.state == "pending", ShardRow.not_before_s <= clock(), Job.state.in_(LIVE)))
    return {queue: count for queue, count in rows}  # noqa: C416  (rows are no pairs to mypy)


def idle_jobs(session: Session, quiet_s: float) -> list[str]:
    """Live jobs with nothing running or waiting, that nobody advanced for that long: their message was lost."""
    busy = select(ShardRow.id).where(ShardRow.job_id == Job.id, ShardRow.state.in_(("pending", "running"))).exists()
    return list(session.scalars(select(Job.id).where(Job.state.in_(LIVE), Job.advanced_s < clock() - quiet_s, ~busy)))


def _ours(claimed: Claim) -> tuple[Any, ...]:
    return ShardRow.state == "running", ShardRow.attempts == claimed.attempt


def _changed(session: Session, statement: Any) -> int:
    return int(session.execute(statement, execution_options={"synchronize_session": False}).rowcount)  # type: ignore[attr-defined]
