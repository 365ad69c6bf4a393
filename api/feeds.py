"""Jobs' events for many clients at once: each job's stream is read once for all of this process, however many follow it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sse_starlette import ServerSentEvent
from starlette.concurrency import run_in_threadpool

from api.kept import Position, everything, is_end, lacking, page, position, rows_of, settle, tell_again, text
from workers.errors import BrokerAway, DatabaseAway
from workers.events import Told, address, stream_key, told_in
from workers.node import Node

log = logging.getLogger(__name__)

RECENT = 500
"""Events of a job that are held; a client that is further behind reads from the broker."""
LOOK_S = 2.0
AGAIN_S = 0.5


@dataclass(frozen=True)
class Line:
    """An event as it is sent."""

    at: Position
    sent: bytes
    is_end: bool

    @staticmethod
    def of(told: Told) -> Line:
        sent = ServerSentEvent(json.dumps(told.told), event=told.kind, id=told.id).encode()
        return Line(position(told.id), sent, is_end(told))


class Feed:
    """The newest events of one job. Its task runs as long as somebody follows."""

    def __init__(self, node: Node, job_id: str, start: Position) -> None:
        """All events after ``start`` are read; what is not newer must have been there before."""
        self.followers = 0
        self._node, self._job_id = node, job_id
        self._start = self._newest = start
        self._recent: deque[Line] = deque()
        self._news = asyncio.Event()
        self._seen_row = 0
        self._doubtful: frozenset[int] = frozenset()
        self._task = asyncio.create_task(self._follow())

    def close(self) -> None:
        self._task.cancel()

    async def after(self, at: Position) -> AsyncIterator[bytes]:
        """Events after that one, as they come, until the job ends."""
        while True:
            news = self._news  # before looking, so that none comes in between
            lines = self._held(at) if at >= self._start else await self._fetched(at)
            if not lines and at < self._start:
                at = self._start  # what was in between is lost
            elif not lines:
                await news.wait()
            else:
                end = next((i for i, line in enumerate(lines) if line.is_end), len(lines))
                yield b"".join(line.sent for line in lines[: end + 1])
                if end < len(lines):
                    return
                at = lines[-1].at

    def _held(self, at: Position) -> list[Line]:
        newer: list[Line] = []
        for line in reversed(self._recent):
            if line.at <= at:
                break
            newer.append(line)
        return newer[::-1]

    async def _fetched(self, at: Position) -> list[Line]:
        while True:
            try:
                events, _ = await run_in_threadpool(page, self._node, self._job_id, at)
            except (BrokerAway, DatabaseAway):
                await asyncio.sleep(AGAIN_S)
            else:
                return [Line.of(told) for told in events]

    async def _follow(self) -> None:
        client = Redis.from_url(
            address(self._node.settings.broker_url),
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=5,
            socket_timeout=LOOK_S + 10,
        )
        is_away, look_s = False, time.monotonic() + LOOK_S
        try:
            while True:
                try:
                    answer = await client.xread({stream_key(self._job_id): text(self._newest)}, 500, int(LOOK_S * 1000))
                    is_away = False
                    await self._take(told_in(answer))
                except (redis.RedisError, OSError) as error:
                    if not is_away:
                        log.warning("events of job %s wait for the broker: %s", self._job_id, error)
                    is_away = True
                    await asyncio.sleep(AGAIN_S)
                if not is_away and time.monotonic() >= look_s:
                    await self._look()
                    look_s = time.monotonic() + LOOK_S
        finally:
            await client.aclose()

    async def _take(self, events: Sequence[Told]) -> None:
        if not events:
            return
        self._newest = position(events[-1].id)
        end = next((told for told in events if is_end(told)), None)
        if end is not None and await self._is_early(end):
            events = [told for told in events if told is not end]  # it comes once more, after what the stream lacked
        self._recent.extend(Line.of(told) for told in events)
        while len(self._recent) > RECENT:
            self._start = self._recent.popleft().at
        self._news.set()
        self._news = asyncio.Event()

    async def _is_early(self, end: Told) -> bool:
        """Whether something was to be told before the job's end, and will be now."""
        try:
            return await run_in_threadpool(settle, self._node, self._job_id, end)
        except (BrokerAway, DatabaseAway) as error:
            log.warning("events of job %s may be missing: %s", self._job_id, error)
            return False

    async def _look(self) -> None:
        """Have what was noted while the broker was away told after all."""
        try:
            await run_in_threadpool(self._mend)
        except (BrokerAway, DatabaseAway) as error:
            log.warning("events of job %s may be late: %s", self._job_id, error)

    def _mend(self) -> None:
        rows = rows_of(self._node, self._job_id)
        if not rows or rows[-1].id == self._seen_row:
            return
        events = everything(self._node.events, self._job_id)
        missing = [] if any(is_end(told) for told in events) else lacking(rows, events, self._newest)
        # what was noted just now is told just now: only what lacks at two looks in turn is lost
        tell_again(self._node, self._job_id, [row for row in missing if row.id in self._doubtful])
        self._doubtful = frozenset(row.id for row in missing)
        if not missing:
            self._seen_row = rows[-1].id


class Feeds:
    """Those of this process."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._feeds: dict[str, Feed] = {}

    @contextmanager
    def following(self, job_id: str, newest: Position) -> Iterator[Feed]:
        """The job's feed. ``newest``: the position of the newest event that there is already."""
        feed = self._feeds.get(job_id)
        if feed is None:
            feed = self._feeds[job_id] = Feed(self._node, job_id, newest)
        feed.followers += 1
        try:
            yield feed
        finally:
            feed.followers -= 1
            if feed.followers == 0:
                del self._feeds[job_id]
                feed.close()
