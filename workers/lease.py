"""What a worker does beside its shards and chores: it renews their lease, ends those that nobody wants, finds forgotten work."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable

import psutil
import redis
from kombu.exceptions import OperationalError

from recon.errors import OutOfMemory, ReconError, StageCrashed
from recon.pipeline import PIPELINE
from workers import chores, claims
from workers.advance import tell_failed
from workers.app import ADVANCE_QUEUE
from workers.claims import PLANNING
from workers.errors import DatabaseAway
from workers.intake import drop_unfinished
from workers.jobs import fail_job, locked
from workers.models import Chore, ShardRow, StageRow
from workers.node import Node
from workers.places import sweep

log = logging.getLogger(__name__)

LOOK_S = 0.75
"""Between two looks: an unwanted shard ends within two seconds."""


class Lease:
    """A thread of the worker's main process: the processes that compute may be deep in a library for minutes."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        # a process forked while this thread is inside a library would inherit that library's locks, taken for ever
        self._looking = threading.Lock()
        os.register_at_fork(before=self._looking.acquire, after_in_parent=self._looking.release, after_in_child=self._looking.release)
        self._reached_since_s: float | None = None
        self._sign = node.settings.folder / "alive" / f"{node.settings.node}-{os.getpid()}"
        self.is_stopping = False
        self._hurried = False

    def wind_up(self, wait_s: float) -> None:
        """Give running shards that long to end, then close. The main thread waits here, so no other shard begins."""
        self.is_stopping = True  # processes that end from now on were told to: that is no fault of their shards
        end_s = time.monotonic() + wait_s
        while time.monotonic() < end_s and not self._hurried and self._is_busy():
            time.sleep(0.1)
        self.close()

    def hurry(self) -> None:
        """Wait no longer."""
        self._hurried = True

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End, and give this worker's work back to others, with its processes ended and no attempt counted."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join(10)
        self._sign.unlink(missing_ok=True)
        try:
            with self.node.database.writing() as session:
                given = claims.give_back_all(session, self.node.worker)
                left = chores.give_back_all(session, self.node.worker)
        except DatabaseAway as error:
            log.warning("shards could not be given back, others take them in %.0f s: %s", self.node.settings.lease_s, error.message)
            return
        end_processes(pid for pid, _ in (*given, *left) if pid is not None)
        self.node.tickets.send([queue for _, queue in given])
        for _, chore_id in left:
            self.node.tickets.chore(chore_id)
        if given or left:
            log.info("gave %d shards and %d chores back", len(given), len(left))

    def _is_busy(self) -> bool:
        try:
            with self.node.database.reading() as session:
                return claims.is_busy(session, self.node.worker)
        except DatabaseAway:
            return True

    def _keep(self) -> None:
        sweep_s, next_sweep_s = self.node.settings.lease_s / 6, 0.0
        while not self._ended.is_set():
            with self._looking:
                try:
                    self._show()
                    self.look()
                    if time.monotonic() >= next_sweep_s:
                        next_sweep_s = time.monotonic() + sweep_s
                        self.sweep()
                except DatabaseAway as error:
                    self._reached_since_s = None
                    log.warning("%s", error.message)
                except (redis.RedisError, OperationalError, OSError) as error:
                    log.warning("the broker does not answer: %s", error)
                except Exception:
                    log.exception("a fault while looking after shards")
            self._ended.wait(LOOK_S)

    def _show(self) -> None:
        """Touch the file that a container's health check looks for: it says that this thread runs, whatever else is away."""
        self._sign.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sign.touch()

    def look(self) -> None:
        """Renew the lease, end unwanted work, take back what was left by a process that died."""
        with self.node.database.writing() as session:
            alive = _own_processes()
            dead = claims.keep_alive(session, ShardRow, self.node.worker, alive)
            lost = claims.keep_alive(session, Chore, self.node.worker, alive)
            stopped = chores.unwanted(session, self.node.worker)
            unwanted = claims.unwanted(session, self.node.worker)
            for row in unwanted:
                row.state = "cancelled"
        end_processes([*stopped, *(row.pid for row in unwanted if row.pid is not None)])
        for row in dead if not self.is_stopping else []:
            self.take_back(row)
        for chore in lost if not self.is_stopping else []:
            self.take_back_chore(chore)

    def sweep(self) -> None:
        """Find shards of workers that vanished, tickets that were lost, jobs that nobody advances."""
        now_s = time.monotonic()
        self._reached_since_s = self._reached_since_s or now_s
        with self.node.database.reading() as session:
            vanished = claims.expired(session, ShardRow, self.node.settings.lease_s)
            waiting = claims.waiting(session)
            idle = claims.idle_jobs(session, self.node.settings.lease_s / 2)
            left, due = claims.expired(session, Chore, self.node.settings.lease_s), chores.due(session)
        if now_s - self._reached_since_s > self.node.settings.lease_s / 2:  # else the others were cut off as long as we were
            for row in vanished:
                log.warning("worker %s was not heard of for %.0f s: its shard runs again", row.worker, self.node.settings.lease_s)
                self.take_back(row)
            for chore in left:
                self.take_back_chore(chore)
        for queue, count in waiting.items():
            self.node.tickets.send([queue] * max(0, count - self.node.tickets.waiting(queue)))
        for job_id in idle:
            self.node.tickets.advance(job_id)
        for chore_id in due if due and self.node.tickets.waiting(ADVANCE_QUEUE) < len(due) else []:
            self.node.tickets.chore(chore_id)

    def take_back(self, row: ShardRow) -> None:
        """Let a shard whose process died run again, or end its job if that happened too often."""
        sweep(self.node.settings)
        error: ReconError | None = None
        with self.node.database.writing() as session:
            job = locked(session, row.job_id)
            if job is None or not claims.take_back(session, row):
                return
            stage = session.get_one(StageRow, row.stage_id)
            if row.attempts >= self.node.settings.attempts:
                error = self._reason(row, stage)
                fail_job(session, job, error, stage.name)
        log.warning("the process of shard %d of stage '%s' of job %s died (attempt %d)", row.number, stage.name, row.job_id, row.attempts)
        if error is not None:
            tell_failed(self.node, row.job_id, error, stage.name)
            return
        told = {"stage": stage.name, "shard": row.number, "message": "a worker process died; the shard runs again", "code": "crashed"}
        self.node.events.tell(row.job_id, "warning", told)
        self.node.tickets.send([row.queue])

    def take_back_chore(self, lost: Chore) -> None:
        """Likewise for a chore."""
        sweep(self.node.settings)
        what = "looking at the capture" if lost.kind == chores.INSPECT else "the import"
        error = StageCrashed(f"{what}: the worker process died {lost.attempts} times", "Please report it with the log")
        with self.node.database.writing() as session:
            state = chores.take_back(session, lost, self.node.settings.attempts, error)
        if state == "failed":
            drop_unfinished(self.node, lost)
        elif state is not None:
            self.node.tickets.chore(lost.id)
        log.warning("the process of a chore (%s) of capture %s died (attempt %d)", lost.kind, lost.capture_id, lost.attempts)

    def _reason(self, row: ShardRow, stage: StageRow) -> ReconError:
        what = "its planning" if row.number == PLANNING else f"shard {row.number} of {stage.shards}"
        where = f"stage '{stage.name}', {what}: the worker process died {row.attempts} times"
        needed_mb = next((known.memory_mb for known in PIPELINE if known.name == stage.name), 0)
        free_mb = psutil.virtual_memory().available / 2**20
        if min(self.node.settings.usable_memory_mb, free_mb) < needed_mb:
            return OutOfMemory(
                f"{where}; {free_mb:.0f} MB of memory are free there and the stage needs about {needed_mb} MB",
                "Run it on a larger machine, or with preset fast",
            )
        return StageCrashed(where, "A library crashed on this input. Please report it with the log; another preset may pass")


def end_processes(pids: Iterable[int]) -> None:
    """Kill these children of ours, with all that they started."""
    for pid in pids:
        try:
            process = psutil.Process(pid)
            if process.ppid() != os.getpid():
                continue  # the number belongs to somebody else by now
            tree = [*process.children(recursive=True), process]
        except psutil.NoSuchProcess:
            continue
        for member in tree:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue


def _own_processes() -> set[int]:
    """Processes of the pool that are alive."""
    return {child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE}
