"""Run a command and note its wall seconds and the CPU seconds of all processes that it began, down to the last: FILE COMMAND...

The kernel counts what a process used when its parent waits for it, and says nothing of those that were left behind. So this one
takes in orphans where the system lets it (Linux), and waits for them, too. Needs nothing but Python's own library: it starts at once.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36


def main(told: str, command: list[str]) -> int:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    started_s = time.monotonic()
    code = subprocess.Popen(command).wait()
    seconds = time.monotonic() - started_s
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(told, "w", encoding="utf-8") as out:
        json.dump({"seconds": seconds, "cpu_s": used.ru_utime + used.ru_stime}, out)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
