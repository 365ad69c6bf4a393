from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from recon.capture import intake
from recon.system import core_count


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
