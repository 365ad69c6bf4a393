from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recon import system
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
def test_processes_that_keep_to_one_core_keep_to_different_ones_and_leave_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = f"recon-test-{os.getpid()}"  # other tests keep to cores meanwhile
    monkeypatch.setattr(system, "_CLAIM", claim)
    code = f"import os; from recon import system; system._CLAIM = '{claim}'\n"
    code += "with system.on_one_core(): print(*os.sched_getaffinity(0), flush=True); input()"
    cores = os.sched_getaffinity(0)
    others, kept = [], []
    try:
        for _ in cores:
            others.append(subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            assert others[-1].stdout is not None
            kept.append({int(core) for core in others[-1].stdout.readline().split()})
        with on_one_core():  # all are taken
            assert os.sched_getaffinity(0) == cores
    finally:
        for process in others:
            process.communicate("\n", timeout=30)
    assert all(len(one) == 1 for one in kept)
    assert set().union(*kept) == cores
    with on_one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == cores
