"""What the operating system grants a process: cores, and to end with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys


def core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """On Linux, let this process be killed when the one that started it ends, even by kill -9; elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
