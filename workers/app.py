"""The queue: Celery over Redis or Valkey. Messages only say that there is work; the database says which (``workers/claims.py``)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from workers.settings import Settings

log = logging.getLogger(__name__)

QUEUES = ("cpu", "gpu")
ADVANCE_QUEUE = "advance"
"""Of short messages, which every worker takes."""
RUN_SHARD, ADVANCE, RUN_CHORE = "recon.run_shard", "recon.advance", "recon.run_chore"


def make_app(settings: Settings) -> Celery:
    """The Celery app: enough to send messages. ``workers/tasks.py`` adds what a worker does with them."""
    app = Celery("recon", broker=settings.broker_url)
    app.conf.update(
        task_ignore_result=True,  # what came of a shard is in the database
        task_acks_late=False,  # so a shard that outlives the broker's visibility timeout is not run twice
        task_create_missing_queues=True,
        task_default_queue=ADVANCE_QUEUE,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,  # a worker that is busy leaves messages to others
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_proc_alive_timeout=60.0,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"visibility_timeout": 600, "socket_connect_timeout": 5, "health_check_interval": 25},
    )
    return app


class Tickets:
    """Sends messages. One that can't be sent is no loss: workers look for forgotten work every few seconds."""

    def __init__(self, app: Celery) -> None:
        self.app = app

    def send(self, queues: Sequence[str]) -> None:
        """One ticket for each queue named, which may be named many times."""
        self._send([(RUN_SHARD, (), queue) for queue in queues])

    def advance(self, job_id: str) -> None:
        """Have some worker look what a job needs next."""
        self._send([(ADVANCE, (job_id,), ADVANCE_QUEUE)])

    def chore(self, chore_id: str) -> None:
        """Have some worker do a chore, if nobody has begun it."""
        self._send([(RUN_CHORE, (chore_id,), ADVANCE_QUEUE)])

    def waiting(self, queue: str) -> int:
        """Messages in a queue that no worker has taken."""
        with self.app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            return int(channel.client.llen(queue))

    def _send(self, messages: Sequence[tuple[str, tuple[str, ...], str]]) -> None:
        try:
            with (
                self.app.connection_for_write(transport_options={"socket_connect_timeout": 2, "max_retries": 0}) as connection,
                connection.Producer() as producer,
            ):
                for name, arguments, queue in messages:
                    self.app.send_task(name, arguments, queue=queue, producer=producer, retry=False)
        except (OperationalError, redis.RedisError, OSError) as error:
            log.warning("%d messages were not sent, and will be sent later: %s", len(messages), error)
