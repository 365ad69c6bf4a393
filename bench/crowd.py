"""Many clients of one job in few CPU seconds: bare HTTP/1.1 over asyncio, so that who measures does not slow down what is measured."""

from __future__ import annotations

import asyncio
import random
import time
from urllib.parse import urlsplit

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def ask_often(url: str, key: str, path: str, rate_hz: float, until_s: float) -> list[float]:
    """GET at a fixed rate, whether answers came or not: seconds from when each was due to its last byte."""
    idle: list[Connection] = []
    waiting: set[asyncio.Task[None]] = set()
    seconds: list[float] = []

    async def ask(due_s: float) -> None:
        connection = idle.pop() if idle else await _connect(url)
        reader, writer = connection
        writer.write(_request(url, key, path))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head:
            raise RuntimeError(head.decode())
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        seconds.append(time.monotonic() - due_s)
        idle.append(connection)

    next_s = time.monotonic()
    while next_s < until_s:
        task = asyncio.create_task(ask(next_s))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
        next_s += 1 / rate_hz
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))
    await asyncio.gather(*waiting)
    for _, writer in idle:
        writer.close()
    return seconds


def listen_all(url: str, key: str, path: str, listeners: int, seconds: float) -> list[list[str]]:
    """Ids of the events that each listener was told, up to the same one."""

    async def all_of_them() -> list[list[str]]:
        until_s = time.monotonic() + seconds
        return await asyncio.gather(*(_listen(url, key, path, until_s, seconds, random.Random(i)) for i in range(listeners)))

    told = asyncio.run(all_of_them())
    last = min(max(ids, key=_place) for ids in told)
    return [[id for id in ids if _place(id) <= _place(last)] for ids in told]


async def _listen(url: str, key: str, path: str, until_s: float, seconds: float, rng: random.Random) -> list[str]:
    """Over two connections: the first is cut somewhere in the middle."""
    ids: list[str] = []
    await asyncio.sleep(rng.uniform(0, seconds / 8))
    for end_s in (until_s - seconds * rng.uniform(0.3, 0.7), until_s):
        reader, writer = await _connect(url)
        try:
            async with asyncio.timeout(max(0.0, end_s - time.monotonic())):
                writer.write(_request(url, key, path, f"Last-Event-ID: {ids[-1]}\r\n" if ids else ""))
                while line := await reader.readline():
                    if line.startswith(b"id:"):
                        ids.append(line[3:].strip().decode())
        except TimeoutError:
            continue
        finally:
            writer.close()
    return ids


async def _connect(url: str) -> Connection:
    where = urlsplit(url)
    return await asyncio.open_connection(where.hostname, where.port)


def _request(url: str, key: str, path: str, more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {key}\r\n{more}\r\n".encode()


def _place(id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in id.split("-"))
