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
from typing import Any

import psutil
import pytest
from conftest import Told

from recon.batch import Batch, outcome, signature
from recon.capture.records import write_json
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


def test_watch_tries_again_what_an_earlier_session_left_undone_and_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"done": "done", "failed": "failed", "killed": "running", "options": "done", "gone": "done"}
    rows = []
    for name, state in states.items():
        (tmp_path / "captures" / name).mkdir(parents=True)
        arguments = ["--preset", "high"] if name == "options" else []
        rows.append({"capture": name, "state": state, "signature": signature(tmp_path / "captures" / name), "arguments": arguments})
        (tmp_path / "out" / name).mkdir(parents=True)
        if name != "gone":
            (tmp_path / "out" / name / "report.json").write_text("{}")
    write_json(tmp_path / "out" / "batch.json", {"captures": rows})
    started: list[str] = []
    polls = iter(range(3))

    def collect(_: Batch) -> None:
        if next(polls, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(Batch, "_start", lambda _, name, *__: started.append(name))
    monkeypatch.setattr(Batch, "_collect", collect)
    Batch(tmp_path / "captures", tmp_path / "out", (), 9, 0.0, list[Any]().append).watch()
    assert started == ["failed", "gone", "killed", "options"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_capture_does_not_outlive_a_killed_batch(tmp_path: Path) -> None:
    (tmp_path / "captures").mkdir()
    shutil.copy(Path(__file__).parent.parent / "sample_data/walk/walk.mp4", tmp_path / "captures")
    command = [sys.executable, "-m", "recon", "batch", str(tmp_path / "captures"), "-o", str(tmp_path / "out"), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["state"] == "running"
    (child,) = psutil.Process(process.pid).children()
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs([child], timeout=20)
    assert not alive


def test_captures_are_folders_zips_and_what_counts_as_a_video(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.MPG", "c.zip", "d.txt", "e.wmv", ".hidden.mp4"):
        (tmp_path / name).touch()
    for name in ("f", "result/.recon"):
        (tmp_path / name).mkdir(parents=True)
    found = Batch(tmp_path, tmp_path / "out", (), 1, 1.0, list[Any]().append)._captures()
    assert [path.name for path in found] == ["a.mp4", "b.MPG", "c.zip", "e.wmv", "f"]


def test_the_signature_passes_over_what_went_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("x")
    only_a = signature(tmp_path)
    (tmp_path / "b").write_text("y")
    (tmp_path / "leads nowhere").symlink_to(tmp_path / "absent")
    stat = Path.stat

    def gone(path: Path, **options: bool) -> os.stat_result:
        if path.name == "b":
            raise FileNotFoundError(path)
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", gone)
    assert signature(tmp_path) == only_a


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
