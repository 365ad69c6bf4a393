"""The worker: the Celery app with its tasks, and what surrounds them in each process."""

from __future__ import annotations

import logging
import os
import secrets
import signal
from typing import Any

from celery import bootsteps, signals

from recon.system import end_with_parent
from workers.advance import advance as advance_job
from workers.app import ADVANCE, RUN_CHORE, RUN_SHARD, make_app
from workers.errors import DatabaseAway, StoreAway
from workers.lease import Lease
from workers.node import Node
from workers.run_chore import run_chore as run_chore_of
from workers.settings import load_settings
from workers.shards import run_next
from workers.tracing import close as close_traces

log = logging.getLogger(__name__)

settings = load_settings()
app = make_app(settings)
_worker = f"{settings.node}-{os.getpid()}-{secrets.token_hex(3)}"
_nodes: dict[int, Node] = {}


def node() -> Node:
    """This process's own. One that was forked keeps its parent's too, since to let it go would close the parent's connections."""
    if os.getpid() not in _nodes:
        _nodes[os.getpid()] = Node(settings, app, _worker)
    return _nodes[os.getpid()]


@app.task(name=RUN_SHARD, bind=True)
def run_shard(self: Any) -> None:
    """Run the shard whose turn it is on the queue that this ticket came by."""
    try:
        run_next(node(), self.request.delivery_info["routing_key"])
    except DatabaseAway as error:
        log.warning("%s", error.message)  # nothing was claimed; the ticket is sent anew when the database is back


@app.task(name=ADVANCE)
def advance(job_id: str) -> None:
    """Look what a job needs next."""
    try:
        advance_job(node(), job_id)
    except (StoreAway, DatabaseAway) as error:
        log.warning("job %s is advanced later: %s", job_id, error.message)


@app.task(name=RUN_CHORE)
def run_chore(chore_id: str) -> None:
    """Inspect a capture, or import files into it."""
    try:
        run_chore_of(node(), chore_id)
    except DatabaseAway as error:
        log.warning("%s", error.message)


class _Beside(bootsteps.StartStopStep):  # type: ignore[misc,unused-ignore]
    """The lease starts after the pool and ends before it."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.lease = Lease(node())

    def start(self, parent: Any) -> None:  # noqa: ARG002
        self.lease.start()
        self._handle_signals()

    def _handle_signals(self) -> None:
        """SIGTERM and Ctrl-C stop alike, a second one at once. Celery's handler comes last: it ends processes, but not what they began."""
        stop = signal.getsignal(signal.SIGQUIT)

        def handle(number: int, frame: Any) -> None:
            if self.lease.is_stopping:
                self.lease.hurry()
                return
            self.lease.wind_up(settings.stop_s)
            if callable(stop):
                stop(number, frame)

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, handle)

    def stop(self, parent: Any) -> None:  # noqa: ARG002
        self.lease.close()

    terminate = stop


app.steps["worker"].add(_Beside)


@signals.worker_process_init.connect
def _process_started(**_: Any) -> None:
    """In each process of the pool: end with the worker, even if that is killed, and use no more threads than there are cores."""
    end_with_parent()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, str(settings.usable_cores))


@signals.worker_process_shutdown.connect
def _process_ends(**_: Any) -> None:
    close_traces()
