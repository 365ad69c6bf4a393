"""``python bound.py PARENT COMMAND...``: a command that is told to end (SIGTERM) when the process PARENT has ended, however that was."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def bound(command: Sequence[str]) -> list[str]:
    """That command for a child of ours. Linux only: elsewhere it is left as it is.

    Start it from a thread that lives as long as the child shall: Linux looks at the thread.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), *command]


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # outlives exec
    if os.getppid() == int(sys.argv[1]):  # else it ended before we asked
        os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606
