"""``recon process`` killed and stopped while it works: nothing is lost, and the result is that of an undisturbed run."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Told

from recon.simulate import simulate

Recon = Callable[..., Told]
UNTIL = "matches"


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flight")
    return folder / simulate("drone", folder, images=6, size=(320, 240)).capture


def stopped(number: int, capture: Path, out: Path, stage: str) -> tuple[int, str]:
    """Exit code and output of a run that gets a signal as soon as it works on a stage."""
    command = [sys.executable, "-m", "recon", "process", str(capture), "-o", str(out), "--until", UNTIL, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        event = json.loads(line)
        if event.get("stage") == stage and event["state"] in ("started", "running"):
            process.send_signal(number)
            break
    rest = process.communicate(timeout=60)[0]
    return process.returncode, "".join(lines) + rest


def hear_ctrl_c() -> None:
    """A suite in the background starts its children with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def contents(out: Path) -> dict[str, str]:
    """Hash of every file that stages made; DONE holds times."""
    folders = [folder for folder in (out / ".recon").iterdir() if "-" in folder.name and folder.is_dir()]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.name != "DONE"]
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_run_that_was_killed_again_and_again_ends_as_an_undisturbed_one(recon: Recon, tmp_path: Path, flight: Path) -> None:
    for stage in ("ingest", "features", "features", "matches"):
        code, text = stopped(signal.SIGKILL, flight, tmp_path / "killed", stage)
        assert code == -signal.SIGKILL, text
    last = recon("process", flight, "-o", tmp_path / "killed", "--until", UNTIL)
    assert last.code == 0, last.text
    assert "ingest" not in last.last["ran"], "what was finished is not done again"
    assert recon("process", flight, "-o", tmp_path / "undisturbed", "--until", UNTIL).code == 0
    found = contents(tmp_path / "killed")
    assert {name.split("/")[1].split("-")[0] for name in found} == {"ingest", "select", "features", "pairs", "matches"}
    assert found == contents(tmp_path / "undisturbed")
    assert not list((tmp_path / "killed" / ".recon").glob("scratch/*"))


def test_ctrl_c_stops_with_its_own_code_and_the_next_run_goes_on(recon: Recon, tmp_path: Path, flight: Path) -> None:
    code, text = stopped(signal.SIGINT, flight, tmp_path / "out", "features")
    last = json.loads(text.splitlines()[-1])
    assert (code, last["code"], last["exit_code"]) == (130, "cancelled", 130), text
    assert "goes on where it stopped" in last["remedy"]
    done = recon("process", flight, "-o", tmp_path / "out", "--until", UNTIL)
    assert done.code == 0, done.text
    assert done.last["ran"] == ["features", "pairs", "matches"]
