"""The command line as a user meets it: exit codes, messages, JSON."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Told

Recon = Callable[..., Told]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code", "told"),
    [
        (["process", "absent.mp4"], 3, "not_found", "absent.mp4"),
        (["process", ".", "--set", "mesh.face=3"], 2, "config", "Did you mean 'mesh.faces'?"),
        (["process", ".", "--until", "meshes"], 2, "config", "there is no stage 'meshes'. Stages are ingest"),
        (["process", ".", "--config", "absent.toml"], 3, "not_found", "absent.toml can't be read"),
        (["batch", "absent"], 3, "not_found", "absent is not a folder"),
        (["inspect", "absent"], 3, "not_found", "absent"),
        (["eval", "absent", "absent"], 3, "not_found", "absent"),
    ],
)
def test_a_wrong_call_is_told_in_words_and_by_its_exit_code(
    recon: Recon, tmp_path: Path, arguments: list[str], exit_code: int, code: str, told: str
) -> None:
    done = recon(*arguments, cwd=tmp_path)
    assert done.code == exit_code
    assert done.last["code"] == code
    assert told in f"{done.last['message']}. {done.last['remedy']}"


def test_doctor_finds_every_needed_part_here(recon: Recon) -> None:
    done = recon("doctor")
    assert done.code == 0
    parts = {part["name"]: part for part in done.last["parts"]}
    assert all(part["works"] for part in parts.values() if part["needed"])
    assert "h264" in parts["video (ffmpeg libraries)"]["detail"]
    assert "GB free" in parts["memory"]["detail"]
    assert all(part["remedy"] for part in parts.values() if not part["works"])


def test_without_json_an_error_stands_on_standard_error() -> None:
    done = subprocess.run([sys.executable, "-m", "recon", "process", "absent.mp4"], capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stdout == ""
    assert "Error:" in done.stderr
    assert "absent.mp4" in done.stderr


def test_help_names_every_command() -> None:
    done = subprocess.run([sys.executable, "-m", "recon", "--help"], capture_output=True, text=True, check=True)
    for command in ("process", "batch", "inspect", "doctor", "simulate", "eval", "bench"):
        assert command in done.stdout
