"""One shard on a worker: claimed, run, and its end noted, whatever that is."""

from __future__ import annotations

import errno
import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session
from threadpoolctl import threadpool_limits

from recon.config import parse
from recon.errors import Cancelled, DiskFull, ReconError, ResourceError, StageFailed
from recon.executor import Machine
from recon.pipeline import Run, stages_until
from recon.stage import Stage, Work
from workers.advance import advance, stop
from workers.claims import PLANNING, Claim, claim, drop, finish, give_back, progress
from workers.database import owned
from workers.errors import BrokerAway, DatabaseAway, StoreAway
from workers.jobs import SOURCE, locked
from workers.logs import about
from workers.memory import best_device, device_held, reserved
from workers.models import Capture, File
from workers.node import Node
from workers.places import Place
from workers.sources import Upload, local_source, prepare
from workers.tracing import span

log = logging.getLogger(__name__)

TICK_S = 1.0


def run_next(node: Node, queue: str) -> bool:
    """Run the shard whose turn it is, and all that follows from its end. False if none waits."""
    with node.database.writing() as session:
        claimed = claim(session, queue, node.worker, os.getpid())
    if claimed is None:
        return False
    with about(job=claimed.job_id, stage=claimed.stage, shard=claimed.number, owner=claimed.owner_id):
        _run_claimed(node, claimed)
    return True


def _run_claimed(node: Node, claimed: Claim) -> None:
    place = node.place(claimed.owner_id)
    error: ReconError | None = None
    try:
        traced = span(claimed.stage, claimed.traceparent, job=claimed.job_id, shard=claimed.number, attempt=claimed.attempt)
        with _logs_told(node, claimed), traced:
            _run(node, place, claimed)
    except ReconError as raised:
        error = raised
    except Exception as raised:
        log.error("%s of job %s failed\n%s", claimed.where, claimed.job_id, traceback.format_exc())
        error = fault(node, claimed.where, raised)
    finally:
        place.release()
    _ended(node, claimed) if error is None else _failed(node, claimed, error)


def fault(node: Node, where: str, raised: Exception) -> ReconError:
    """What went wrong around a shard or in a chore; within a shard ``Run`` says so itself."""
    if isinstance(raised, OSError) and raised.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"{where}: the disk of {node.settings.folder} on {node.settings.node} is full", "Free some space there")
    reason = f"{type(raised).__name__}: {raised}"
    return StageFailed(f"{where} failed: {reason}", "This is a fault in recon: please report it with the log")


def _run(node: Node, place: Place, claimed: Claim) -> None:
    if claimed.stage == SOURCE:
        _list_source(node, place, claimed)
        return
    assert claimed.source is not None
    with local_source(place, claimed.source, _files_needed(place, claimed)) as folder:
        run = _run_of(place, claimed, folder)
        stage = run.stage(claimed.stage)
        if claimed.number == PLANNING:
            run.shards(stage)
            return
        stage = stage.sized(run.shards(stage))
        locks = node.settings.folder / "machine"
        machine = Machine(node.settings.usable_cores, node.settings.usable_memory_mb)
        at_once = min(machine.at_once(stage, claimed.of), node.app.conf.worker_concurrency or machine.cores)
        threads = max(1, machine.cores // at_once)
        device = best_device() if stage.gpu else "cpu"
        with reserved(locks, stage.memory_mb, machine.memory_mb), device_held(locks, device), threadpool_limits(limits=threads):
            run.run_shard(stage, claimed.number, Work(run.config.seed, threads, device, _teller(node, claimed)))


def _run_of(place: Place, claimed: Claim, folder: Path) -> Run:
    return Run(folder, parse(claimed.config), place.store, stages_until(claimed.until))


def _files_needed(place: Place, claimed: Claim) -> tuple[str, ...]:
    """Names of the capture's files that a shard reads: a video is fetched where it is decoded, and nowhere else."""
    assert claimed.source is not None
    if claimed.number == PLANNING or "source" not in _stage(claimed).needs:
        return ()
    with local_source(place, claimed.source, ()) as folder:
        run = _run_of(place, claimed, folder)
        return tuple(run.shards(_stage(claimed))[claimed.number]["files"])


def _stage(claimed: Claim) -> Stage:
    return next(stage for stage in stages_until(claimed.until) if stage.name == claimed.stage)


def _list_source(node: Node, place: Place, claimed: Claim) -> None:
    with node.database.reading() as session:
        owned(session, Capture, claimed.capture_id, claimed.owner_id)
        files = session.scalars(select(File).where(File.capture_id == claimed.capture_id, File.state == "whole").order_by(File.name))
        uploads = [Upload(file.name, file.object) for file in files]
    key = prepare(place, uploads)
    with node.database.writing() as session:
        job = locked(session, claimed.job_id)
        if job is not None:
            job.source = key


def _teller(node: Node, claimed: Claim) -> Callable[..., None]:
    """``Work.tell``: notes progress at most once a second, and stops a shard that nobody wants any more."""
    last_s = 0.0

    def tell(fraction: float, message: str = "") -> None:
        nonlocal last_s
        if time.monotonic() - last_s < TICK_S:
            return
        last_s = time.monotonic()
        try:
            with node.database.writing() as session:
                state = progress(session, claimed, min(1.0, max(0.0, fraction)), message)
        except DatabaseAway as error:
            log.warning("progress of %s was not noted: %s", claimed.where, error.message)
            return
        if state is None:
            raise Cancelled(f"{claimed.where} was stopped")
        node.events.tell(claimed.job_id, "progress", state)

    return tell


def _failed(node: Node, claimed: Claim, error: ReconError) -> None:
    """Another try where that may help, else the end of the job."""
    if isinstance(error, Cancelled):
        log.info("%s of job %s was stopped", claimed.where, claimed.job_id)
        insist(lambda: _write(node, lambda session: drop(session, claimed)))
        return
    is_away = isinstance(error, StoreAway | DatabaseAway | BrokerAway)
    if not is_away and not (isinstance(error, ResourceError) and claimed.attempt < node.settings.attempts):
        insist(lambda: stop(node, claimed.job_id, error, claimed.stage))
        return
    wait_s = node.settings.lease_s / 6
    log.warning("%s of job %s: %s; again in %.0f s", claimed.where, claimed.job_id, error, wait_s)
    node.events.tell(claimed.job_id, "warning", {"message": f"{claimed.where}: {error.message}; trying again", "code": error.code})
    insist(lambda: _write(node, lambda session: give_back(session, claimed, wait_s, counted=not is_away)))


def _ended(node: Node, claimed: Claim) -> None:
    insist(lambda: _write(node, lambda session: finish(session, claimed)))
    try:
        advance(node, claimed.job_id)
    except (StoreAway, DatabaseAway) as error:
        log.warning("job %s is advanced later: %s", claimed.job_id, error.message)


def _write(node: Node, change: Callable[[Session], object]) -> None:
    with node.database.writing() as session:
        change(session)


def insist(write: Callable[[], None]) -> None:
    """Write to the database however long it is away: until then this process could claim nothing else anyway."""
    while True:
        try:
            return write()
        except DatabaseAway as error:
            log.warning("%s; trying again", error.message)
            time.sleep(TICK_S)


class _Teller(logging.Handler):
    def __init__(self, node: Node, claimed: Claim) -> None:
        super().__init__(logging.INFO)
        self.node, self.claimed = node, claimed

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warning" if record.levelno >= logging.WARNING else "log"
        told = {"stage": self.claimed.stage, "shard": self.claimed.number, "message": record.getMessage()[:500]}
        self.node.events.tell(self.claimed.job_id, kind, told)  # type: ignore[arg-type]


@contextmanager
def _logs_told(node: Node, claimed: Claim) -> Iterator[None]:
    """What recon logs while it runs this shard goes to the job's events too."""
    handler = _Teller(node, claimed)
    logger = logging.getLogger("recon")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
