"""``recon serve`` as a real process: started, stopped, started again, killed."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image
from servers import wait_until
from sqlalchemy import select

from api import crew as crews
from api.client import Recon
from api.crew import Crew
from api.local import first_key
from api.serve import serve
from recon.errors import Busy, ConfigError, InputError
from workers.broker import EmbeddedBroker
from workers.database import Database
from workers.models import Key, Owner
from workers.settings import Settings


@dataclass
class Served:
    """A home, and the ``recon serve`` processes that were started on it."""

    home: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "RECON_HOME": str(self.home), "RECON_STOP_S": "1", "RECON_CORES": "1", "RECON_MEMORY_MB": "2000"}
        command = [sys.executable, "-m", "recon", "serve", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        self.processes.append(process)
        return process

    def serving(self, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        """A process that answers, and its URL."""
        process = self.start("--port", "0", "--json", *arguments)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("{"):
                told = json.loads(line)
                assert told["event"] == "serving", told
                return process, str(told["url"])
        raise AssertionError("".join(lines))

    def alive(self) -> list[str]:
        """All processes of this home, whoever began them."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("RECON_HOME") == str(self.home) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted((self.home / "logs").glob("*")))

    def key(self) -> str:
        return (self.home / "key").read_text().strip()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path / "home")
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stop(process: subprocess.Popen[str], number: int = signal.SIGINT) -> float:
    """Seconds until the process has ended well."""
    start = time.monotonic()
    process.send_signal(number)
    assert process.wait(20) == 0, process.stdout and process.stdout.read()
    return time.monotonic() - start


def photo(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (96, 128, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def test_serve_starts_stops_and_goes_on(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(2):
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / f"{seed}.jpg").write_bytes(photo(seed))
    process, url = served.serving("--workers", "0")
    assert httpx.get(f"{url}/healthz").json()["status"] == "ok"
    assert "server" not in httpx.get(f"{url}/healthz").headers
    assert (served.home / "key").stat().st_mode & 0o777 == 0o600
    assert served.home.stat().st_mode & 0o777 == 0o700
    key = served.key()
    with Recon(url, key) as recon:
        assert recon.ask("GET", "/v1/owner")["name"] == "local"
        assert recon.ask("GET", "/v1/keys")["items"][0]["scopes"] == ["read", "write", "admin"]
        job = recon.submit(recon.upload(tmp_path / "photos")["id"], "fast", until="ingest")["id"]
        assert recon.job(job)["state"] == "queued"

    monkeypatch.setenv("RECON_HOME", str(served.home))
    with pytest.raises(Busy, match=url):
        serve(None, 0, api_only=False, workers=0, queues=("cpu",), on_ready=print)

    with httpx.stream("GET", f"{url}/v1/jobs/{job}/events", headers={"Authorization": f"Bearer {key}"}) as events:
        assert events.status_code == 200
        assert stop(process) < 10
    assert served.alive() == []
    assert not (served.home / "api.json").exists()

    process, url = served.serving()
    assert served.key() == key
    with Recon(url, key) as recon:
        assert recon.wait(job)["state"] == "done", served.logs()
    assert {psutil.Process(child.pid).nice() for child in psutil.Process(process.pid).children() if "worker" in child.cmdline()} == {10}
    assert stop(process, signal.SIGTERM) < 10
    assert served.alive() == []


def test_kill_9_leaves_nothing_and_the_next_start_is_clean(served: Served) -> None:
    process = served.start("--port", "0")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    (url,) = re.findall(r"at (http://127\.0\.0\.1:\d+) ", lines[0])
    assert str(served.home / "key") in lines[2]
    assert [line.split()[0] for line in lines[3:]] == ["export", "curl", "curl"]
    assert httpx.get(f"{url}/readyz").status_code == 200
    wait_until(lambda: "ready" in served.logs(), 30, "the worker is up")
    process.kill()
    process.wait()
    wait_until(lambda: served.alive() == [], 10, "all have ended")
    assert (served.home / "api.json").exists()
    process, url = served.serving()
    assert httpx.get(f"{url}/readyz").status_code == 200
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)  # at once
    assert process.wait(10) in (0, 130)
    wait_until(lambda: served.alive() == [], 30, "all have ended")


def test_what_serve_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECON_HOME", str(tmp_path / "home"))
    with pytest.raises(ConfigError, match="tpu"):
        serve(None, 0, api_only=True, workers=0, queues=("cpu", "tpu"), on_ready=print)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match=str(taken.getsockname()[1])):
        serve("127.0.0.1", taken.getsockname()[1], api_only=True, workers=0, queues=("cpu",), on_ready=print)
    with pytest.raises(InputError, match=r"nowhere\.invalid"):
        serve("nowhere.invalid", 0, api_only=True, workers=0, queues=("cpu",), on_ready=print)


def test_a_first_key_is_made_once_and_again_when_it_no_longer_holds(database: Database, tmp_path: Path) -> None:
    path = first_key(database, tmp_path, only_if_new=True)
    assert path is not None
    key = path.read_text()
    assert first_key(database, tmp_path, only_if_new=False) == path
    assert path.read_text() == key
    other = tmp_path / "other"
    other.mkdir()
    assert first_key(database, other, only_if_new=True) is None  # another API of this fleet
    with database.writing() as session:
        session.scalars(select(Key)).one().revoked_s = 1.0
    assert first_key(database, tmp_path, only_if_new=False) == path
    assert path.read_text() != key
    with database.reading() as session:
        assert [owner.id for owner in session.scalars(select(Owner))] == ["local"]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "LOOK_S", 0.02)
    monkeypatch.setattr(crews, "WAIT_S", 0.01)


def test_a_worker_that_always_dies_is_given_up(hasty: None, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    crew = Crew([[sys.executable, "-c", "print('began', flush=True); raise SystemExit(3)"]], tmp_path, None, 1)
    crew.start()
    wait_until(lambda: "not begun again" in caplog.text, 20, "the worker is given up")
    time.sleep(0.2)
    crew.close()
    assert (tmp_path / "worker1.txt").read_text().count("began") == 5
    assert [row.levelno for row in caplog.records].count(logging.ERROR) == 1


def test_workers_and_the_broker_are_begun_again(hasty: None, tmp_path: Path) -> None:
    with EmbeddedBroker(Settings(home=tmp_path)) as broker:
        crew = Crew([[sys.executable, "-c", "import time; time.sleep(100)"]], tmp_path / "logs", broker, 1)
        crew.start()
        (post,) = crew.posts
        wait_until(lambda: post.runs, 30, "the worker runs")
        assert post.process is not None
        assert broker.process is not None
        before = {post.process.pid, broker.process.pid}
        post.process.kill()
        broker.process.kill()
        wait_until(lambda: post.runs and post.process is not None and post.process.pid not in before, 10, "another worker runs")
        wait_until(lambda: broker.answers() and broker.process is not None and broker.process.pid not in before, 10, "another broker runs")
        crew.close()
        assert not post.runs


def test_a_worker_that_does_not_stop_is_killed_with_all_it_began(hasty: None, tmp_path: Path) -> None:
    stubborn = (
        "import subprocess, signal as s; s.signal(15, s.SIG_IGN); p = subprocess.Popen(['sleep', '99']); print(p.pid, flush=True); p.wait()"
    )
    crew = Crew([[sys.executable, "-c", stubborn]], tmp_path, None, 0.3)
    crew.start()
    log = tmp_path / "worker1.txt"
    wait_until(lambda: log.exists() and bool(log.read_text().strip()), 10, "the worker is up")
    crew.close()
    wait_until(lambda: not _lives(int(log.read_text())), 30, "its child has ended")


def _lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
