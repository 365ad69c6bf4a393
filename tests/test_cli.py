"""The command line as a user meets it: exit codes, messages, JSON."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from conftest import Told
from rich.console import Console

from recon import cli
from recon.errors import InputError
from recon.progress import Event
from recon.terminal import Terminal, batch_table

Recon = Callable[..., Told]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code", "told"),
    [
        (["process", "absent.mp4"], 3, "not_found", "absent.mp4"),
        (["process", ".", "--set", "mesh.face=3"], 2, "config", "Did you mean 'mesh.faces'?"),
        (["process", ".", "--until", "meshes"], 2, "config", "there is no stage 'meshes'. Stages are ingest"),
        (["process", ".", "--config", "absent.toml"], 3, "not_found", "absent.toml can't be read"),
        (["batch", "absent"], 3, "not_found", "absent is not a folder"),
        (["batch", ".", "-o", "/proc/recon-out"], 3, "input", "/proc/recon-out"),
        (["simulate", "drone", "-o", "/proc/recon-out", "--images", "3", "--size", "64x48"], 3, "input", "/proc/recon-out"),
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


def test_a_broken_extension_is_named_and_takes_nothing_else_along(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    joined: list[typer.Typer] = []
    monkeypatch.setattr(sys.modules[__name__], "join", joined.append, raising=False)
    values = ("no_such_module:add", f"{__name__}:no_such_function", f"{__name__}:join")
    monkeypatch.setattr(cli, "entry_points", lambda group: [EntryPoint(f"extra{n}", value, group) for n, value in enumerate(values)])
    cli._add_extensions()
    assert joined == [cli.app]
    told = capsys.readouterr().err.splitlines()
    assert [line.split(" (")[0] for line in told] == [f"Warning: the commands of 'extra{n}'" for n in (0, 1)]
    assert "no_such_module" in told[0]


@pytest.mark.parametrize(
    ("error", "exit_code", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x.jpg"), 5, "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/data/x.jpg"), 5, "disk_full"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/x.jpg"), 3, "input"),
    ],
)
def test_what_the_system_refuses_is_told_in_words(error: OSError, exit_code: int, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as left, cli.told(as_json=True):
        raise error
    assert left.value.exit_code == exit_code
    told = json.loads(capsys.readouterr().out)
    assert (told["code"], told["exit_code"]) == (code, exit_code)
    assert "/data/x.jpg" in told["message"]
    assert told["remedy"]


def made_from(out: Path, capture: Path) -> None:
    (out / ".recon" / "source").mkdir(parents=True)
    (out / ".recon" / "source" / "source.json").write_text(json.dumps({"path": str(capture)}))


def test_results_of_captures_of_one_name_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("site.2023", "site.2024", "x/site.2023"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("walk.mp4", "walk.zip", "x/walk.zip"):
        (tmp_path / name).touch()
    assert cli.default_out(Path("site.2023")) == Path("out/site.2023")
    assert cli.default_out(Path("site.2024")) == Path("out/site.2024")
    made_from(Path("out/site.2023"), tmp_path / "site.2023")
    assert cli.default_out(Path("site.2023")) == Path("out/site.2023")
    with pytest.raises(InputError, match=r"out/site\.2023 holds the result of .*site\.2023\. Choose another folder with -o"):
        cli.default_out(Path("x/site.2023"))
    assert cli.default_out(Path("walk.mp4")) == Path("out/walk")
    made_from(Path("out/walk"), tmp_path / "walk.mp4")
    assert cli.default_out(Path("walk.mp4")) == Path("out/walk")
    assert cli.default_out(Path("walk.zip")) == Path("out/walk.zip")
    (tmp_path / "walk.mp4").rename(tmp_path / "x" / "walk.mp4")
    assert cli.default_out(Path("x/walk.mp4")) == Path("out/walk"), "a capture that was moved goes on where it was"


def test_brackets_in_names_and_messages_are_shown_as_they_are() -> None:
    console = Console(file=io.StringIO(), width=300)
    rows = [{"capture": "[red]a[/b]", "state": "failed", "message": "pip install 'recon[raw]'"}]
    batch_table(console, rows, Path("[/i]"))
    terminal = Terminal(console)
    console.print(terminal._line(Event("ingest", "running", 1, message="[/dim].jpg")))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for text in ("[red]a[/b]", "'recon[raw]'", "[/i]", "[/dim].jpg"):
        assert text in shown


def test_inspect_unpacks_a_zip_beside_itself_and_leaves_nothing(recon: Recon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zipfile import ZipFile

    monkeypatch.setenv("TMPDIR", "/proc")  # nothing can be written there
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", b"no photo")
    done = recon("inspect", tmp_path / "a.zip")
    assert done.code == 0, done.text
    assert "not an image" in done.last["ignored"][0]["reason"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
