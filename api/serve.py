"""``recon serve``: everything on one machine. The API in this process; beside it workers and, unless there is one, a broker."""

from __future__ import annotations

import gc
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from filelock import FileLock, Timeout

from api.app import make_api
from api.crew import Crew
from api.local import announce, first_key, read_url, withdraw
from api.settings import ApiSettings, load_api_settings
from recon.errors import Busy, ConfigError, InputError, StageFailed
from workers.app import QUEUES
from workers.broker import EmbeddedBroker
from workers.database import Database
from workers.settings import Settings, load_settings

log = logging.getLogger(__name__)

HEADER_BYTES = 32 * 1024
KEEP_ALIVE_S = 30
OPEN_REQUESTS_S = 5
"""How long requests that are open may take when the API is told to stop."""
SWITCH_S = 0.0005
"""A thread that answers lets the one that listens go on after so long: with Python's 5 ms requests queue up behind each other."""
WIND_UP_S = 4.0
"""What a worker needs to end, besides the wait for its shards."""


@dataclass(frozen=True)
class Serving:
    """What there is to say once it answers. ``key_file`` is None where others have keys already."""

    url: str
    key_file: Path | None
    logs: Path
    workers: int


def serve(
    host: str | None,
    port: int | None,
    *,
    api_only: bool,
    workers: int,
    queues: tuple[str, ...],
    on_ready: Callable[[Serving], None],
) -> None:
    """Serve until SIGTERM or Ctrl-C; a second one stops at once. None for host or port: as the settings say.

    Raises Busy if another one serves this home, InputError if the port can't be had, ConfigError, BrokerAway, DatabaseAway.
    """
    if unknown := [queue for queue in queues if queue not in QUEUES]:
        raise ConfigError(f"there is no queue '{unknown[0]}'", f"Queues are {', '.join(QUEUES)}")
    settings, api = load_settings(), load_api_settings()
    api = api.model_copy(update={name: value for name, value in (("host", host), ("port", port)) if value is not None})
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # keys and secrets are in it
    sys.setswitchinterval(SWITCH_S)
    _set_up_logs(tells_requests=api_only or settings.json_logs)
    with ExitStack() as stack:
        if not api_only:
            stack.enter_context(_held(settings.folder))
        listener = stack.enter_context(_listen(api.host, api.port))
        is_embedded = not api_only and not settings.broker
        broker = stack.enter_context(EmbeddedBroker(settings)) if is_embedded else None
        if api_only and not settings.broker and not EmbeddedBroker(settings).answers():
            log.warning("no broker answers at %s: jobs wait until one does. Set RECON_BROKER to use another", settings.broker_socket)
        key_file = _prepare(settings, api_only)
        commands = [] if api_only else _commands(settings, workers, queues)
        crew = Crew(commands, settings.folder / "logs", broker, settings.stop_s + WIND_UP_S)
        serving = Serving(_url(api.host, listener), key_file, settings.folder / "logs", len(commands))
        stack.callback(withdraw, settings.folder)
        stack.callback(crew.close)

        def ready() -> None:
            announce(settings.folder, serving.url)
            crew.start()
            on_ready(serving)
            gc.freeze()  # what is loaded by now stays: no collection looks at it, the last one at the end included

        _run(_Server(_configured(settings, api), ready, crew), listener)


class _Server(uvicorn.Server):
    """Begins the crew once requests are answered, and stops it when they no longer are."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], crew: Crew) -> None:
        super().__init__(config)
        self._ready, self._crew = ready, crew

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._crew.stop()  # workers wind up while open requests end
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
            self._crew.hurry()
        super().handle_exit(sig, frame)


def _configured(settings: Settings, api: ApiSettings) -> uvicorn.Config:
    return uvicorn.Config(
        make_api(settings, api),
        http="h11",  # the other one takes headers of any size
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(api.public_url),  # only then is somebody before us whose headers may be believed: FORWARDED_ALLOW_IPS
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=OPEN_REQUESTS_S,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )


def _run(server: _Server, listener: socket.socket) -> None:
    try:
        server.run([listener])
    except KeyboardInterrupt:  # uvicorn raises the signal again once it has stopped
        return
    except SystemExit:
        raise StageFailed("the API did not start", "The reason is in the log above") from None


def _prepare(settings: Settings, api_only: bool) -> Path | None:
    """Tables as they must be, and a first key."""
    database = Database(settings.database_url)
    try:
        database.upgrade()
        return first_key(database, settings.folder, only_if_new=api_only)
    finally:
        database.close()


def _commands(settings: Settings, workers: int, queues: tuple[str, ...]) -> list[list[str]]:
    command = [sys.executable, "-m", "recon", "worker", "--queues", ",".join(queues)]
    if workers > 1:  # they share the cores
        command += ["--concurrency", str(max(1, settings.usable_cores // workers))]
    return [command] * workers


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """This home, for us alone."""
    lock = FileLock(folder / "serve.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        where = f", at {url}" if (url := read_url(folder)) else ""
        raise Busy(f"another 'recon serve' uses {folder}{where}", "Stop it first, or set RECON_HOME to another folder") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise InputError(f"can't listen on {host}, port {port}: {error.strerror}", "Choose another with --host or --port") from None
    with listener:
        yield listener


def _url(host: str, listener: socket.socket) -> str:
    """Where this machine reaches us."""
    port = listener.getsockname()[1]
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{here}]:{port}" if ":" in here else f"http://{here}:{port}"


def _set_up_logs(*, tells_requests: bool) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("alembic", "botocore", "uvicorn.error", "httpx", *(() if tells_requests else ("api.requests",))):
        logging.getLogger(chatty).setLevel(logging.WARNING)
