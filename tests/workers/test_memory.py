"""Shards side by side only as far as memory goes; what a killed process held is free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from workers.memory import device_held, reserved


def test_no_more_runs_at_once_than_fits(tmp_path: Path) -> None:
    running, most, lock = 0, 0, threading.Lock()

    def run() -> None:
        nonlocal running, most
        with reserved(tmp_path, 1000, of_mb=2100):
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.05)
            with lock:
                running -= 1

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


def test_what_needs_more_than_there_is_runs_alone(tmp_path: Path) -> None:
    with reserved(tmp_path, 9000, of_mb=1000):
        entered = threading.Event()

        def small() -> None:
            with reserved(tmp_path, 1, of_mb=1000):
                entered.set()

        thread = threading.Thread(target=small)
        thread.start()
        assert not entered.wait(0.3)
    thread.join(5)
    assert entered.is_set()


HOLDER = """
import sys, time
from pathlib import Path
from workers.memory import device_held, reserved
with reserved(Path(sys.argv[1]), 900, 1000), device_held(Path(sys.argv[1]), "cuda:0"):
    print(flush=True)
    time.sleep(60)
"""


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent.parent
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, cwd=root)
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with reserved(tmp_path, 900, 1000), device_held(tmp_path, "cuda:0"), device_held(tmp_path, "cpu"):
        pass
