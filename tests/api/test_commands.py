"""``recon submit``, ``jobs``, ``download`` and ``keys`` as a user types them, against a real service."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from api_fixtures import Api
from typer.testing import CliRunner

from api.cli import add_commands
from api.local import announce, read_key, read_url, withdraw, write_private
from api.remote import Refused

TOY = ("--until", "products")
APP = typer.Typer()
add_commands(APP)


@pytest.fixture
def served(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Api:
    monkeypatch.setenv("RECON_URL", api.url)
    monkeypatch.setenv("RECON_KEY", key_of(api))
    monkeypatch.setenv("RECON_HOME", str(tmp_path / "elsewhere"))
    return api


def key_of(api: Api) -> str:
    return str(api.client.headers["Authorization"]).removeprefix("Bearer ")


def toy(folder: Path, n: int = 3) -> Path:
    (folder / f"toy{n}").mkdir()
    (folder / f"toy{n}" / "n.jpg").write_text(json.dumps({"n": n}))
    return folder / f"toy{n}"


def told(*arguments: object, code: int = 0) -> list[dict[str, Any]]:
    """What a command tells a machine."""
    done = CliRunner().invoke(APP, [*map(str, arguments), "--json"])
    assert done.exit_code == code, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def shown(*arguments: object) -> str:
    """What it shows to a person."""
    done = CliRunner().invoke(APP, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_submit_uploads_follows_and_downloads(served: Api, recon: Callable[..., Any], tmp_path: Path) -> None:
    served.service.start_worker()
    lines = recon("submit", toy(tmp_path), "-o", tmp_path / "out", "--set", "mesh.faces=5000", "--seed", 7, *TOY).lines
    kinds = [line["event"] for line in lines]
    assert kinds[0] == "upload"
    assert {"submitted", "stage", "job", "download"} < set(kinds)
    assert lines[-1]["event"] == "result"
    assert [Path(file).name for file in lines[-1]["files"]] == ["n.txt"]
    assert (tmp_path / "out" / "n.txt").read_text() == "5"
    (job,) = told("jobs")
    assert (job["state"], job["config"]["mesh"]["faces"], job["config"]["seed"]) == ("done", 5000, 7)
    (one,) = told("jobs", job["id"])
    assert "n.txt" in [row["name"] for row in one["results"]]
    (*_, last) = told("download", job["id"], "n.txt", "-o", tmp_path / "again")
    assert last["files"] == [str(tmp_path / "again" / "n.txt")]
    # the same for a person, whose upload is there already
    text = shown("submit", tmp_path / "toy3", "-o", tmp_path / "out2", *TOY)
    assert "features" in text
    assert "1 files in" in text
    text = shown("jobs")
    assert text.count("done") >= 2
    assert job["id"] in text
    assert "n.txt" in shown("jobs", job["id"])
    # a job that fails ends it with the reason
    (served.service.orders / "1").write_text("error")
    (*_, last) = told("submit", toy(tmp_path, 2), "-o", tmp_path / "out3", *TOY, code=4)
    assert (last["event"], last["code"], last["message"], last["remedy"]) == ("error", "no_overlap", "3 of 40 images", "film more slowly")
    (job,) = told("jobs", "--state", "failed")
    assert "3 of 40 images. film more slowly" in shown("jobs", job["id"])
    (last,) = told("download", job["id"], code=4)
    assert last["code"] == "no_overlap"


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_submit_without_waiting_and_wrong_options(served: Api, tmp_path: Path) -> None:
    assert told("submit", toy(tmp_path), "--no-wait", *TOY)[-1]["event"] == "submitted"
    (last,) = told("submit", tmp_path / "toy3", "--set", "mesh.facets=5", code=2)
    assert (last["code"], last["remedy"]) == ("config", "Did you mean 'mesh.faces'?")
    (last,) = told("submit", tmp_path / "nothing", code=3)
    assert last["code"] == "not_found"
    assert len(told("jobs")) == 1


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_keys_are_made_listed_and_revoked(served: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    (made,) = told("keys", "create", "laptop", "--scope", "read", "--days", 1)
    assert made["key"].startswith("rk_")
    assert [row["name"] for row in told("keys", "list")] == ["laptop", "test"]
    assert "laptop" in shown("keys", "list")
    monkeypatch.setenv("RECON_KEY", made["key"])
    assert told("jobs") == []
    (last,) = told("keys", "list", code=8)
    assert last["code"] == "forbidden"
    monkeypatch.setenv("RECON_KEY", key_of(served))
    assert told("keys", "revoke", made["id"]) == [{"event": "revoked", "id": made["id"]}]
    monkeypatch.setenv("RECON_KEY", made["key"])
    (last,) = told("jobs", code=8)
    assert last["code"] == "unauthorized"
    assert "recon keys create" in last["remedy"]


def test_where_no_service_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("RECON_HOME", str(tmp_path))
    (last,) = told("jobs", code=8)
    assert last["code"] == "no_service"
    assert "recon serve" in last["remedy"]
    write_private(tmp_path / "key", "rk_any")
    monkeypatch.setenv("RECON_URL", url)
    (last,) = told("jobs", code=2)
    assert last["code"] == "config"  # the key of this machine is for no other service
    monkeypatch.setenv("RECON_KEY", "rk_any")
    (last,) = told("jobs", code=8)
    assert last["code"] == "no_service"
    assert url in last["message"]


def test_what_serve_leaves_for_the_others(tmp_path: Path) -> None:
    assert (read_url(tmp_path), read_key(tmp_path)) == (None, None)
    announce(tmp_path, "http://127.0.0.1:1")
    write_private(tmp_path / "key", "rk_any\n")
    assert (read_url(tmp_path), read_key(tmp_path)) == ("http://127.0.0.1:1", "rk_any")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    withdraw(tmp_path)
    assert read_url(tmp_path) is None
    (tmp_path / "api.json").write_text('{"url": "http://127.0.0.1:1", "pid": 999999999}')  # of one that was killed
    assert read_url(tmp_path) is None


@pytest.mark.parametrize(("code", "exit_code"), [("no_overlap", 4), ("config", 2), ("failed", 1), ("crashed", 6), ("over_quota", 8)])
def test_refusals_keep_the_exit_code_of_recon_errors(code: str, exit_code: int) -> None:
    assert Refused("reason", "remedy", code).exit_code == exit_code


@pytest.mark.parametrize("module", ["api.cli", "workers.cli"])
def test_the_commands_import_nothing_heavy(module: str) -> None:
    heavy = "{'httpx', 'fastapi', 'uvicorn', 'sqlalchemy', 'celery', 'redis', 'boto3', 'pydantic', 'numpy'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    free = "{'recon', 'workers', 'pydantic', 'api'}"
    code = f"import sys, api.client; print(sorted({{name.split('.')[0] for name in sys.modules}} & {free}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['api']"
