"""What a job tells while it works: a Redis stream a job, whose ids serve as Last-Event-ID."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from workers.errors import BrokerAway

log = logging.getLogger(__name__)

Kind = Literal["job", "stage", "artifact", "progress", "log", "warning"]
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
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), 4)
    return redis.Redis.from_url(address(broker_url), retry=retry, socket_connect_timeout=5, socket_timeout=30, health_check_interval=30)


def address(broker_url: str) -> str:
    """The broker's URL as redis-py spells it."""
    return broker_url.replace("redis+socket://", "unix://", 1)


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
            self.append(job_id, [(kind, told)])
        except BrokerAway as error:
            self._quiet_until_s = time.monotonic() + QUIET_S
            log.warning("an event of job %s was not told: %s", job_id, error.message)

    def append(self, job_id: str, events: Iterable[tuple[str, Mapping[str, Any]]], *, instead_of: str = "") -> None:
        """Append events; BrokerAway if the server is. ``instead_of``: the id of one that is taken away."""
        pipe = self.client.pipeline(transaction=bool(instead_of))
        if instead_of:
            pipe.xdel(stream_key(job_id), instead_of)
        for kind, told in events:
            pipe.xadd(stream_key(job_id), {"kind": kind, "told": json.dumps(dict(told))}, maxlen=KEPT, approximate=True)
        pipe.expire(stream_key(job_id), KEPT_S)
        with _away_told():
            pipe.execute()

    def read(self, job_id: str, after: str = START, wait_s: float = 0.0, count: int = 500) -> list[Told]:
        """Events after that id, oldest first, waiting for one if there is none. BrokerAway if the server is."""
        with _away_told():
            return told_in(self.client.xread({stream_key(job_id): after}, count=count, block=int(wait_s * 1000) or None))

    def ends(self, job_id: str) -> tuple[Told, Told] | None:
        """The oldest and the newest event that are kept; None if there is none. BrokerAway if the server is."""
        with _away_told():
            first: Any = self.client.xrange(stream_key(job_id), count=1)
            last: Any = self.client.xrevrange(stream_key(job_id), count=1)
        return (_told(first[0]), _told(last[0])) if first and last else None

    def follow(self, job_id: str, after: str = START, wait_s: float = 10.0) -> Iterator[Told | None]:
        """Events for ever; None each time ``wait_s`` passes without one, so that the caller can look around."""
        while True:
            events = self.read(job_id, after, wait_s)
            yield from events
            if not events:
                yield None
            else:
                after = events[-1].id

    def is_first(self, job_id: str, what: str) -> bool:
        """Whether nobody asked this of these two before, within a day. BrokerAway if the server is."""
        with _away_told():
            return bool(self.client.set(f"{stream_key(job_id)}:{what}", 1, nx=True, ex=24 * 3600))

    def forget(self, job_id: str) -> None:
        """Drop a job's events, or raise redis.RedisError."""
        self.client.delete(stream_key(job_id))


def stream_key(job_id: str) -> str:
    return f"recon:events:{job_id}"


def told_in(answer: Any) -> list[Told]:
    """The events in an answer to XREAD of one stream."""
    rows: Any = answer.values() if isinstance(answer, dict) else [rows for _, rows in answer or []]
    return [_told(row) for rows in rows for row in _flat(rows)]


@contextmanager
def _away_told() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise BrokerAway(f"the broker does not answer: {error}", "Check RECON_BROKER and that the server runs") from error


def _flat(rows: Any) -> Any:
    """RESP3 answers nest the rows of a stream once more than RESP2."""
    return rows[0] if rows and isinstance(rows[0], list) else rows


def _told(row: Any) -> Told:
    id, fields = row
    return Told(id.decode(), fields[b"kind"].decode(), json.loads(fields[b"told"]))
