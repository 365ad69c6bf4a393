"""What the service's commands show: transfers, a job while it runs, tables."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from api.client import Event
from api.client import Progress as OnProgress
from recon.cli import say
from recon.progress import Event as StageEvent
from recon.terminal import Terminal, clock

SAID_EVERY_S = 1.0


@contextmanager
def transfer(console: Console, words: str, as_json: bool) -> Iterator[OnProgress]:
    """A bar of bytes, or a JSON line at most once a second and at the end."""
    if as_json:
        yield _lines(words)
        return
    columns = (TextColumn(words), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(words, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show


def _lines(words: str) -> OnProgress:
    last_s = 0.0

    def show(done: int, total: int) -> None:
        nonlocal last_s
        if done >= total or time.monotonic() - last_s >= SAID_EVERY_S:
            last_s = time.monotonic()
            say({"event": words, "bytes": done, "of": total})

    return show


class Follow:
    """A job's events as ``recon process`` shows its own, or as JSON lines."""

    def __init__(self, console: Console, as_json: bool) -> None:
        self.console, self.as_json = console, as_json
        self.terminal = Terminal(console)
        self.began_s: dict[str, float] = {}

    def __enter__(self) -> Follow:
        if not self.as_json:
            self.terminal.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if not self.as_json:
            self.terminal.__exit__(*error)

    def take(self, event: Event) -> None:
        if self.as_json:
            say({"event": event.kind, "id": event.id, **event.told})
        elif event.kind == "warning":
            self.console.print(f"Warning: {event.told['message']}", style="yellow", markup=False)
        elif event.kind in ("stage", "progress"):
            self.terminal.take(self._stage(event.told))

    def _stage(self, told: dict[str, Any]) -> StageEvent:
        name, state = str(told["stage"]), told.get("state")
        seconds = time.monotonic() - self.began_s.setdefault(name, time.monotonic())
        shards, done = int(told.get("shards", 0)), int(told.get("shards_done", 0))
        if state == "cached":
            return StageEvent(name, "cached", shards, done)
        if state == "done":
            return StageEvent(name, "done", shards, done, 1.0, seconds)
        fraction, message = float(told.get("fraction", 0.0)), str(told.get("message", ""))
        return StageEvent(name, "started" if state else "running", shards, done, fraction, seconds, message)


def jobs_table(console: Console, jobs: Iterable[dict[str, Any]]) -> None:
    table = _table("job", "created", "state", "stage", "done", "ends in", "reason")
    for job in jobs:
        table.add_row(
            job["id"],
            _when(job["created_s"]),
            job["state"],
            job["stage"] or "",
            f"{job['progress']:.0%}",
            clock(job["eta"]["expected_s"]) if job["eta"] else "",
            (job["error"] or {}).get("code", ""),
        )
    console.print(table)


def job_details(console: Console, job: dict[str, Any], results: Iterable[dict[str, Any]]) -> None:
    """A job with its stages, its results and, if it failed, the reason."""
    jobs_table(console, [job])
    stages = _table("stage", "state", "shards", "time", "message")
    for stage in job["stages"]:
        ended_s = stage["ended_s"] or time.time()
        seconds = ended_s - stage["started_s"] if stage["started_s"] else None
        stages.add_row(stage["name"], stage["state"], f"{stage['shards_done']}/{stage['shards']}", clock(seconds), escape(stage["message"]))
    console.print(stages)
    rows = list(results)
    if rows:
        table = _table("result", "kind", "bytes")
        for row in rows:
            table.add_row(escape(row["name"]), row["kind"], f"{row['size']:,}")
        console.print(table)
    if job["error"]:
        console.print(f"Failed: {job['error']['message']}. {job['error']['remedy']}", markup=False, highlight=False)


def keys_table(console: Console, keys: Iterable[dict[str, Any]]) -> None:
    table = _table("key", "scopes", "used", "ends", "name")
    for key in keys:
        ends = "revoked" if key["revoked_s"] else _when(key["expires_s"])
        table.add_row(key["id"], ",".join(key["scopes"]), _when(key["used_s"]), ends, escape(key["name"]))
    console.print(table)


def _table(*columns: str) -> Table:
    """Only words are wrapped, and they stand last: an id that is cut can't be copied."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=column not in ("name", "message"))
    return table


def _when(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds).strftime("%d %b %H:%M") if seconds else ""
