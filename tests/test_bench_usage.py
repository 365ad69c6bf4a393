"""What the benchmark says that a command took."""

from __future__ import annotations

import sys

import pytest

from bench.usage import run

BUSY = "import time\nwhile time.process_time() < {}: pass\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans on")
def test_cpu_seconds_are_those_of_all_processes_also_of_one_left_behind() -> None:
    begin = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {BUSY.format(0.6)!r}])\n"
    usage = run([sys.executable, "-c", begin + BUSY.format(0.3) + 'print(\'{"event": "done"}\')'])
    assert (usage.code, usage.last) == (0, {"event": "done"})
    assert usage.cpu_s >= 0.9
    assert usage.peak_mb > 5


def test_a_command_that_is_killed_has_its_code_and_its_last_words() -> None:
    usage = run([sys.executable, "-c", "import os, sys\nprint('no more', file=sys.stderr, flush=True)\nos.kill(os.getpid(), 9)"])
    assert (usage.code, usage.last["message"].strip()) == (137, "no more")
    with pytest.raises(RuntimeError, match="no more"):
        usage.checked()
