"""What a job tells while it works: a Redis stream a job, whose ids serve as Last-Event-ID."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from workers.errors import BrokerAway

log = logging.getLogger(__name__)

Kind = Literal["job", "stage", "progress", "log", "warning"]
KEPT = 5000
"""Events a job."""
KEPT_S = 7 * 24 * 3600
QUIET_S = 5.0
START = "0-0"


@dataclass(frozen=True)
class Told:
    """One event. ``id`` grows; reading after it misses nothing that is still kept."""

    id: str
    kind: str
    told: dict[str, Any]


def connect(broker_url: str) -> redis.Redis:
    """A client of the broker; commands wait a few seconds for a server that restarts."""
    url = broker_url.replace("redis+socket://", "unix://", 1)
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), 4)
    return redis.Redis.from_url(url, retry=retry, socket_connect_timeout=5, socket_timeout=30, health_check_interval=30)


class EventLog:
    """The events of all jobs."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._quiet_until_s = 0.0

    def tell(self, job_id: str, kind: Kind, told: Mapping[str, Any]) -> None:
        """Append an event. Nothing is raised, and a broker that is away is left alone for a while: no job fails or waits
        because nobody can listen."""
        if time.monotonic() < self._quiet_until_s:
            return
        try:
            pipe = self.client.pipeline(transaction=False)
            pipe.xadd(_key(job_id), {"kind": kind, "told": json.dumps(dict(told))}, maxlen=KEPT, approximate=True)
            pipe.expire(_key(job_id), KEPT_S)
            pipe.execute()
        except redis.RedisError as error:
            self._quiet_until_s = time.monotonic() + QUIET_S
            log.warning("an event of job %s was not told: %s", job_id, error)

    def read(self, job_id: str, after: str = START, wait_s: float = 0.0, count: int = 500) -> list[Told]:
        """Events after that id, oldest first, waiting for one if there is none. BrokerAway if the server is."""
        try:
            answer = self.client.xread({_key(job_id): after}, count=count, block=int(wait_s * 1000) or None)
        except redis.RedisError as error:
            raise BrokerAway(f"the broker does not answer: {error}", "Check RECON_BROKER and that the server runs") from error
        rows: Any = answer.values() if isinstance(answer, dict) else [rows for _, rows in answer or []]
        return [_told(row) for rows in rows for row in _flat(rows)]

    def follow(self, job_id: str, after: str = START, wait_s: float = 10.0) -> Iterator[Told | None]:
        """Events for ever; None each time ``wait_s`` passes without one, so that the caller can look around."""
        while True:
            events = self.read(job_id, after, wait_s)
            yield from events
            if not events:
                yield None
            else:
                after = events[-1].id

    def forget(self, job_id: str) -> None:
        self.client.delete(_key(job_id))


def _key(job_id: str) -> str:
    return f"recon:events:{job_id}"


def _flat(rows: Any) -> Any:
    """RESP3 answers nest the rows of a stream once more than RESP2."""
    return rows[0] if rows and isinstance(rows[0], list) else rows


def _told(row: Any) -> Told:
    id, fields = row
    return Told(id.decode(), fields[b"kind"].decode(), json.loads(fields[b"told"]))
