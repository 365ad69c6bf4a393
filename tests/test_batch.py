from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Told

from recon.batch import outcome, signature
from recon.simulate import simulate

Recon = Callable[..., Told]


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight small drone photos."""
    folder = tmp_path_factory.mktemp("flight")
    truth = simulate("drone", folder, images=8, size=(480, 360))
    return folder / truth.capture


@pytest.mark.slow
def test_one_failure_does_not_stop_the_rest_and_a_second_run_repeats_only_that(recon: Recon, tmp_path: Path, flight: Path) -> None:
    captures = tmp_path / "captures"
    shutil.copytree(flight, captures / "good")
    (captures / "empty").mkdir()
    (captures / "notes.txt").write_text("not a capture")
    arguments = ("batch", captures, "-o", tmp_path / "out", "--preset", "fast", "--set", "products.turntable_s=0", "--jobs", 2)
    first = recon(*arguments)
    assert first.code == 10
    states = {row["capture"]: row for row in first.last["captures"]}
    assert {name: row["state"] for name, row in states.items()} == {"good": "done", "empty": "failed"}
    assert states["empty"]["code"] == "empty_capture"
    assert states["good"]["registered"] == 8
    assert Path(states["good"]["report"]).is_file()
    assert json.loads((tmp_path / "out" / "batch.json").read_text())["captures"] == sorted(
        first.last["captures"], key=lambda r: r["capture"]
    )
    shutil.copytree(flight, captures / "empty", dirs_exist_ok=True)
    second = recon(*arguments)
    assert second.code == 0
    assert {line["capture"] for line in second.lines if line["event"] == "capture"} == {"empty"}


def test_watch_takes_a_capture_once_it_stopped_growing(tmp_path: Path) -> None:
    captures = tmp_path / "captures"
    captures.mkdir()
    command = [sys.executable, "-m", "recon", "batch", str(captures), "-o", str(tmp_path / "out"), "--watch", "--settle-s", "2", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    growing = captures / "late"
    growing.mkdir()
    for n in range(6):
        (growing / f"{n}.txt").write_text("no image")
        time.sleep(0.5)
        assert not (tmp_path / "out" / "batch.json").exists(), "taken while it was still growing"
    states = [json.loads(process.stdout.readline())["state"] for _ in range(2)]
    process.send_signal(signal.SIGTERM)  # as a job in the background gets it, which ignores SIGINT
    rest = process.communicate(timeout=30)[0]
    assert states == ["running", "failed"]
    assert json.loads(rest.splitlines()[-1])["captures"][0]["code"] == "empty_capture"


def test_the_signature_changes_with_the_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    first = signature(tmp_path)
    assert signature(tmp_path) == first
    (tmp_path / "b").write_text("y")
    second = signature(tmp_path)
    assert second != first
    (tmp_path / "b").unlink()
    os.utime(tmp_path / "a", (1, 1))
    assert len({first, second, signature(tmp_path)}) == 3


def test_a_process_that_ended_without_a_word_is_a_failure() -> None:
    assert outcome("", -9) == {"state": "failed", "code": "crashed", "exit_code": -9, "message": "the process ended with exit code -9"}
