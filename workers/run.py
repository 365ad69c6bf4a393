"""Starts a worker in this process."""

from __future__ import annotations

import logging
import os

from recon.errors import ConfigError
from workers.logs import log_as_json
from workers.settings import load_settings

log = logging.getLogger(__name__)

MB_A_PROCESS = 1000
"""Least memory that a process of the pool is started for: what a typical shard needs (``Stage.memory_mb``)."""


def run_worker(queues: tuple[str, ...], concurrency: int = 0) -> None:
    """Serve these queues until SIGTERM or Ctrl-C, which give unfinished shards back. Raises ConfigError for an unknown queue."""
    os.environ["REMAP_SIGTERM"] = "SIGQUIT"  # read when billiard is imported: SIGTERM waits ``stop_s``, then gives shards back
    from workers.app import ADVANCE_QUEUE, QUEUES

    unknown = [queue for queue in queues if queue not in QUEUES]
    if unknown or not queues:
        raise ConfigError(f"there is no queue '{', '.join(unknown)}'", f"Queues are {', '.join(QUEUES)}")
    settings = load_settings()
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # keys and secrets are in it
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s")
    if settings.json_logs:
        log_as_json()
    for chatty in ("alembic", "botocore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    from workers.broker import EmbeddedBroker
    from workers.places import sweep
    from workers.tasks import app, node

    if not settings.broker and not EmbeddedBroker(settings).answers():
        log.warning("no broker answers at %s: waiting for one. Set RECON_BROKER to use another", settings.broker_socket)
    node().database.upgrade()
    sweep(settings)
    at_once = concurrency or max(1, min(settings.usable_cores, settings.usable_memory_mb // MB_A_PROCESS))
    app.conf.worker_concurrency = at_once
    app.conf.worker_max_memory_per_child = settings.usable_memory_mb * 1024 // at_once  # kB; a larger process is replaced after its shard
    arguments = ["worker", "--queues", ",".join((*queues, ADVANCE_QUEUE)), "--concurrency", str(at_once), "--hostname", node().worker]
    app.worker_main([*arguments, "--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"])
