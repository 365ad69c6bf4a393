"""What the operating system grants a process: cores, one to itself, and to end with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CLAIM = "recon-core"


def core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """On Linux, let this process be killed when the one that started it ends, even by kill -9; elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def give_memory_back() -> None:
    """With glibc, hand freed memory back to the system: it keeps hundreds of megabytes, which the next shard's come on top of."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


@contextmanager
def on_one_core() -> Iterator[None]:
    """On Linux, keep this thread and those that it starts on one core, where no other process of ours keeps to it; else as before.

    For libraries that start a thread for every little step and wait for it: each wakes another core, which costs more than the step.
    """
    if sys.platform != "linux":
        yield
        return
    cores = sorted(os.sched_getaffinity(0))
    here = ctypes.CDLL(None).sched_getcpu()  # the scheduler's choice is one where little else runs
    for core in (*[core for core in cores if core >= here], *[core for core in cores if core < here]):
        with socket.socket(socket.AF_UNIX) as claim:
            try:
                claim.bind(f"\0{_CLAIM}-{core}")  # a name that ends with the process that holds it
            except OSError:
                continue
            os.sched_setaffinity(0, {core})
            try:
                yield
            finally:
                os.sched_setaffinity(0, cores)
            return
    yield
