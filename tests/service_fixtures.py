"""A database of each kind, and a whole service: broker, database, store and worker processes, all real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import toy_pipeline
from servers import ACCESS_KEY, SECRET_KEY, Postgres, SeaweedFS, wait_until
from sqlalchemy import select

from recon.config import Config
from workers.app import make_app
from workers.broker import EmbeddedBroker
from workers.database import Database
from workers.jobs import create_job
from workers.models import Capture, File, Job, Owner, StageRow
from workers.node import Node
from workers.settings import Settings


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with its tables."""
    url = f"sqlite:///{tmp_path / 'recon.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres").new_database()
    made = Database(url)
    made.upgrade()
    yield made
    made.close()


@dataclass
class Service:
    """What ``recon serve`` is made of, piece by piece, so that each can be killed."""

    settings: Settings
    folder: Path
    broker: EmbeddedBroker
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node = Node(self.settings, make_app(self.settings))
        self.node.database.upgrade()
        self.orders = self.folder / "orders"
        self.orders.mkdir()
        (self.orders / "trace").touch()

    def start_worker(self, *, real: bool = False, processes: int = 2, queues: str = "cpu,gpu") -> subprocess.Popen[bytes]:
        command = [sys.executable, toy_pipeline.__file__, str(processes), queues]
        if real:
            command = [sys.executable, "-m", "recon", "worker", "--concurrency", str(processes), "--queues", queues]
        self.workers.append(self._start(command, f"worker{len(self.workers)}.log"))
        return self.workers[-1]

    def start_api(self, port: int) -> subprocess.Popen[bytes]:
        """An API process of its own, for the toy pipeline."""
        return self._start([sys.executable, toy_pipeline.__file__, "api", str(port)], "api.log")

    def _start(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        values = self.settings.model_dump(exclude_defaults=True)
        environment = {f"RECON_{name.upper()}": str(value) for name, value in values.items()}
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "RECON_TEST_ORDERS": str(self.orders)}
        with (self.folder / log).open("ab") as out:
            return subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **environment, **keys})

    def stop_workers(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGKILL)
            worker.wait()
        self.workers.clear()

    def add_capture(self, files: dict[str, Path | bytes], owner: str = "owner") -> str:
        place = self.node.place(owner)
        with self.node.database.writing() as session:
            if session.get(Owner, owner) is None:
                session.add(Owner(id=owner, name=owner))
                session.flush()
            capture = Capture(owner_id=owner, name="capture", state="ready")
            session.add(capture)
            session.flush()
            for i, (name, content) in enumerate(files.items()):
                key = f"{capture.id}/{i}"
                place.uploads.write(key, content if isinstance(content, bytes) else content.read_bytes())
                size = len(content) if isinstance(content, bytes) else content.stat().st_size
                session.add(File(owner_id=owner, capture_id=capture.id, name=name, size=size, state="whole", object=key, part_bytes=size))
            return capture.id

    def add_toy_capture(self, n: int, owner: str = "owner") -> str:
        return self.add_capture({"n.jpg": json.dumps({"n": n}).encode()}, owner)

    def submit(self, capture: str, config: Config | None = None, owner: str = "owner", **options: Any) -> str:
        with self.node.database.writing() as session:
            job = create_job(session, owner, capture, config or Config(), **options)
        self.node.tickets.advance(job.id)
        return job.id

    def job(self, id: str) -> Job:
        with self.node.database.reading() as session:
            return session.get_one(Job, id)

    def stages(self, id: str) -> dict[str, str]:
        with self.node.database.reading() as session:
            return {
                row.name: row.state for row in session.scalars(select(StageRow).where(StageRow.job_id == id).order_by(StageRow.position))
            }

    def wait(self, id: str, seconds: float = 30) -> Job:
        try:
            wait_until(lambda: self.job(id).state not in ("queued", "running"), seconds, f"job {id} ends")
        except AssertionError as error:
            logs = [path.read_text()[-3000:] for path in sorted(self.folder.glob("worker*.log"))]
            raise AssertionError(f"{error}: {self.job(id).state}, {self.stages(id)}\n" + "\n---\n".join(logs)) from None
        return self.job(id)

    def trace(self) -> list[list[int]]:
        """Shards that began: number, pid of the worker, pid of its process, the job's seed."""
        return [[int(word) for word in line.split()] for line in (self.orders / "trace").read_text().splitlines()]

    def total(self, id: str) -> int:
        """What the toy pipeline computed."""
        from workers.models import Artifact

        with self.node.database.reading() as session:
            artifact = session.scalars(select(Artifact).where(Artifact.job_id == id)).one()
        return int((self.node.place(self.job(id).owner_id).store.pull(artifact.folder) / artifact.name).read_text())


@pytest.fixture(params=["embedded", "fleet"])
def service(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Embedded: SQLite and a local store. Fleet: PostgreSQL and S3. Both with a real broker; no worker runs yet."""
    monkeypatch.setattr("recon.pipeline.PIPELINE", toy_pipeline.STAGES)
    yield from made(request, tmp_path, monkeypatch)


def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    values: dict[str, Any] = {"home": tmp_path / "home", "lease_s": 3, "stop_s": 0.5, "memory_mb": 4000, "cores": 2}
    if request.param == "fleet":
        seaweed: SeaweedFS = request.getfixturevalue("seaweed")
        postgres: Postgres = request.getfixturevalue("postgres")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        values |= {"store": f"s3://recon/{tmp_path.name}", "s3_endpoint": seaweed.endpoint, "s3_region": "us-east-1"}
        values |= {"database": postgres.new_database()}
    values |= getattr(request.node.get_closest_marker("service_settings"), "kwargs", {})
    settings = Settings(**values)
    with EmbeddedBroker(settings) as broker:
        built = Service(settings, tmp_path, broker)
        yield built
        built.stop_workers()
        built.node.database.close()
        built.node.events.client.close()
        built.node.app.close()


@pytest.fixture(params=["embedded", "fleet"])
def real_service(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """The same with the real pipeline."""
    yield from made(request, tmp_path, monkeypatch)
