"""The local executor: runs the shards of each stage in worker processes, as many at once as cores and memory allow."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from threadpoolctl import threadpool_limits

from recon.errors import OutOfMemory, StageCrashed
from recon.pipeline import Run
from recon.progress import Event, Listener, silent
from recon.stage import Stage, Work, one
from recon.system import core_count, end_with_parent

log = logging.getLogger(__name__)

_TICK_S = 0.25
_READY_AT_ONCE = 4
"""Workers that start with the pool, before there are shards for them: starting one takes most of a second."""
_OF_MOST = ("cv2", "numba", "pycolmap")
"""Libraries that most stages need."""
_REPORT_IT = "A library crashed on this input. Please report it with the log; another preset may pass"
_context = multiprocessing.get_context("spawn")  # forking a process that has threads (OpenMP, BLAS) can deadlock


@dataclass(frozen=True)
class Machine:
    """What a run may use. None of it changes the result."""

    cores: int = field(default_factory=core_count)
    memory_mb: int = field(default_factory=lambda: int(psutil.virtual_memory().available / 2**20))

    def at_once(self, stage: Stage, pending: int) -> int:
        """Shards of a stage to run side by side."""
        return max(1, min(self.cores, pending, self.memory_mb // stage.memory_mb))


class LocalExecutor:
    """Runs a pipeline on this machine. A context manager: its worker processes end with it."""

    def __init__(self, machine: Machine | None = None, listener: Listener = silent, log_file: Path | None = None) -> None:
        self.machine = machine or Machine()
        self.listener = listener
        self.log_file = log_file
        self._pool: ProcessPoolExecutor | None = None
        self._libraries: tuple[str, ...] = ()
        self._told: Queue[tuple[str, int, float, str]] = _context.Queue()
        self._running: Any = _context.Value("i", 1, lock=False)

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def run(self, run: Run, stages: Sequence[Stage]) -> list[str]:
        """Bring the given stages up to date, in order. Returns the names of those that had anything to do.

        Raises the first shard's ReconError; shards that were done by then are kept.
        """
        self._libraries = (*_OF_MOST, *(library for stage in stages for library in stage.loads))
        return [stage.name for stage in stages if self._bring_up_to_date(run, stage)]

    def _bring_up_to_date(self, run: Run, stage: Stage) -> bool:
        if run.is_done(stage):
            total = len(run.shards(stage))
            self.listener(Event(stage.name, "cached", total, total, 1.0))
            return False
        self._plan(run, stage)
        stage = stage.sized(run.shards(stage))
        pending = run.pending(stage)
        total = len(run.shards(stage))
        state = _StageProgress(stage.name, total, total - len(pending), self.listener)
        state.tell("started")
        try:
            self._run_shards(run, stage, pending, state)
        except BrokenProcessPool:
            self._retry_alone(run, stage, state)
        state.tell("done")
        return True

    def _plan(self, run: Run, stage: Stage) -> None:
        """Split the stage in a worker: it may read models, and what reads models may crash."""
        try:
            future = self._workers().submit(_split, run, stage.name)
            while not future.done():
                wait([future], timeout=_TICK_S)
            future.result()
        except BrokenProcessPool:
            raise StageCrashed(f"stage '{stage.name}': the worker process died while planning it", _REPORT_IT) from None

    def _run_shards(self, run: Run, stage: Stage, pending: list[int], state: _StageProgress) -> None:
        at_once = self.machine.at_once(stage, len(pending))
        work = Work(run.config.seed, max(1, self.machine.cores // at_once))
        waiting = iter(pending)
        running: set[Future[int]] = set()
        pool = self._workers()
        while True:
            while len(running) < at_once and (index := next(waiting, None)) is not None:
                running.add(pool.submit(_run_shard, run, stage.name, index, work))
            self._running.value = max(1, len(running))
            if not running:
                return
            finished, running = wait(running, timeout=_TICK_S, return_when=FIRST_COMPLETED)
            for future in finished:
                state.finish(future.result())
            self._drain(state)
            state.tell("running")

    def _retry_alone(self, run: Run, stage: Stage, state: _StageProgress) -> None:
        """A worker died, and took its neighbours along: run what is left one by one, to see which shard it is."""
        log.warning("a worker process of stage '%s' died: its shards run again one by one", stage.name)
        for index in run.pending(stage):
            self._stop()
            try:
                self._run_shards(run, stage, [index], state)
            except BrokenProcessPool:
                raise _crash(stage, index, run, self.machine) from None

    def _workers(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.machine.cores,
                _context,
                _start_worker,
                (self._told, self._running, os.getpid(), self.log_file, self.machine.cores),
            )
            for _ in range(min(self.machine.cores, _READY_AT_ONCE)):
                self._pool.submit(_get_ready, self._libraries)
        return self._pool

    def _stop(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        # at the end they are idle, and take half a second to leave by themselves; on an error nobody waits for a shard of minutes
        for worker in list((pool._processes or {}).values()):
            worker.kill()
        pool.shutdown(wait=True, cancel_futures=True)
        self._told = _context.Queue()  # a killed worker may have left its lock taken

    def _drain(self, state: _StageProgress) -> None:
        while True:
            try:
                stage, index, fraction, message = self._told.get_nowait()
            except queue.Empty:
                return
            if stage == state.stage:
                state.fractions[index] = fraction
                state.message = message or state.message


class _StageProgress:
    """Adds up what the shards of one stage tell."""

    def __init__(self, stage: str, shards: int, done: int, listener: Listener) -> None:
        self.stage = stage
        self.shards = shards
        self.done = done
        self.listener = listener
        self.message = ""
        self.fractions: dict[int, float] = {}
        self.started_s = time.monotonic()

    def finish(self, index: int) -> None:
        self.done += 1
        self.fractions.pop(index, None)

    def tell(self, state: Any) -> None:
        fraction = min(1.0, (self.done + sum(self.fractions.values())) / max(1, self.shards))
        self.listener(Event(self.stage, state, self.shards, self.done, fraction, time.monotonic() - self.started_s, self.message))


def _crash(stage: Stage, index: int, run: Run, machine: Machine) -> StageCrashed | OutOfMemory:
    where = f"stage '{stage.name}', shard {index} of {len(run.shards(stage))}"
    free_mb = psutil.virtual_memory().available / 2**20
    if machine.memory_mb < stage.memory_mb or free_mb < stage.memory_mb:
        return OutOfMemory(
            f"{where}: the worker process was killed; {free_mb:.0f} MB of memory are free and the stage needs about {stage.memory_mb} MB",
            "Close other programs or use --preset fast; the run goes on from this shard",
        )
    return StageCrashed(
        f"{where}: the worker process died twice, without a word",
        _REPORT_IT,
    )


_tell_parent: Callable[[str, int, float, str], None] = lambda *_: None  # noqa: E731
_cores_left: Callable[[], int] = one


def _start_worker(told: Queue[tuple[str, int, float, str]], running: Any, parent: int, log_file: Path | None, cores: int) -> None:
    global _tell_parent, _cores_left
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    _die_with(parent)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, str(cores))
    if log_file is not None:
        logging.basicConfig(filename=log_file, level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s")
    last = [0.0]

    def tell(stage: str, index: int, fraction: float, message: str) -> None:
        now = time.monotonic()
        if now - last[0] > _TICK_S or message:
            last[0] = now
            told.put((stage, index, fraction, message))

    told.cancel_join_thread()
    _tell_parent = tell
    _cores_left = lambda: max(1, cores // running.value)  # noqa: E731


def _die_with(parent: int) -> None:
    """Let this worker end when its parent does, even by kill -9."""
    end_with_parent()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _get_ready(libraries: Sequence[str]) -> None:
    """In a worker process: load them, beside the first shards."""
    threading.Thread(target=lambda: list(map(importlib.import_module, libraries)), daemon=True).start()


def _split(run: Run, name: str) -> None:
    """In a worker process: plan a stage."""
    run.shards(run.stage(name))


def _run_shard(run: Run, name: str, index: int, work: Work) -> int:
    """In a worker process: one shard. Returns its index."""
    stage = run.stage(name)

    def tell(fraction: float, message: str = "") -> None:
        _tell_parent(name, index, min(1.0, max(0.0, fraction)), message)

    with threadpool_limits(limits=work.threads):
        run.run_shard(stage, index, Work(work.seed, work.threads, _device() if stage.gpu else "cpu", tell, _cores_left))
    return index


def _device() -> str:
    import pycolmap

    return "cuda:0" if pycolmap.has_cuda and pycolmap.get_num_cuda_devices() > 0 else "cpu"
