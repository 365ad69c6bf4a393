from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recon.capture import intake
from recon.system import core_count, on_one_core


def test_cores_are_counted_where_the_system_knows_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    assert core_count() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert core_count() == 7


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_a_file_is_copied_with_and_without_shared_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    (tmp_path / "a").write_bytes(bytes(range(256)) * 5000)
    intake.copy(tmp_path / "a", tmp_path / "sub" / "b")
    assert (tmp_path / "sub" / "b").read_bytes() == (tmp_path / "a").read_bytes()


@pytest.mark.skipif(sys.platform != "linux" or core_count() < 2, reason="needs Linux and two cores")
def test_processes_that_keep_to_one_core_keep_to_different_ones_and_leave_them_again() -> None:
    code = "import os; from recon.system import on_one_core\nwith on_one_core(): print(*os.sched_getaffinity(0), flush=True); input()"
    cores = os.sched_getaffinity(0)
    others = []
    for _ in cores:
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        others.append((process, {int(core) for core in process.stdout.readline().split()}))
    assert all(len(kept) == 1 for _, kept in others)
    assert set().union(*(kept for _, kept in others)) == cores
    with on_one_core():  # all are taken
        assert os.sched_getaffinity(0) == cores
    for process, _ in others:
        process.communicate("\n", timeout=30)
    with on_one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == cores
