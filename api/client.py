"""A client of the service (see docs/api.md): uploads that go on where they stopped, jobs, events, downloads. It needs httpx alone.

Records are plain dicts, as ``/v1/openapi.json`` describes them. What fails for a moment is tried again with growing waits.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

Record = dict[str, Any]
Paths = str | Path | Sequence[str | Path]
Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all, from several threads but never twice at once."""
Made = TypeVar("Made")

ENDED = ("done", "failed", "cancelled")
AGAIN = (429, 500, 502, 503, 504)
CHUNK_BYTES = 256 * 1024
DECLARED_AT_ONCE = 500
SILENT_S = 60.0
"""A stream of events tells at least a comment more often than that."""


class ProblemError(Exception):
    """The service refused, and says why: a problem document (RFC 9457)."""

    def __init__(self, status: int, code: str, detail: str, remedy: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(f"{detail}. {remedy}" if remedy else detail)
        self.status, self.code, self.detail, self.remedy, self.retry_after_s = status, code, detail, remedy, retry_after_s


class BusyError(ProblemError):
    """It may go well a little later, but was tried often enough."""


@dataclass(frozen=True)
class Event:
    """What a job told. ``kind``: job, stage, artifact, progress, log, warning."""

    id: str
    kind: str
    told: Record


class Recon:
    """The service at ``url``, as the owner of ``key``. Safe to use from several threads."""

    def __init__(self, url: str, key: str, *, tries: int = 7, at_once: int = 4, timeout_s: float = 60.0) -> None:
        """``tries``: of each request, over about half a minute. ``at_once``: parts on their way at the same time."""
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"'{url}' is no URL of a service: it begins with http:// or https://")
        self.url, self.tries, self.at_once = url.rstrip("/"), tries, at_once
        self._own = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout_s)
        self._others = httpx.Client(timeout=timeout_s)  # presigned URLs lead to other hosts, which must not see the key

    def __enter__(self) -> Recon:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._own.close()
        self._others.close()

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """The JSON that any route answers with. ProblemError if it refuses, httpx.TransportError if nobody answers."""
        answer = self._insist(lambda: _checked(self._own.request(method, path, **options)))
        return answer.json() if answer.content else None

    def pages(self, path: str, **parameters: Any) -> Iterator[Record]:
        """All rows of a list, page after page."""
        given = {name: value for name, value in parameters.items() if value is not None}
        while True:
            page = self.ask("GET", path, params=given)
            yield from page["items"]
            if page.get("next") is None:  # some lists, of a job's artifacts for one, come whole
                return
            given["cursor"] = page["next"]

    def upload(self, paths: Paths, name: str = "", *, capture: str | None = None, on_progress: Progress | None = None) -> Record:
        """Upload files, or all in a folder but hidden ones, as one capture, and return it once it is complete.

        Called again with the same files after it was stopped, it sends what is missing: the service knows what has arrived.
        ``capture``: the id of one to add to, or to go on with.
        """
        sources = found(paths)
        if not sources:
            raise FileNotFoundError(f"no file in {paths}")
        first = Path(paths) if isinstance(paths, str | Path) else next(iter(sources.values()))
        id = capture or self._capture_of(sources, name or first.absolute().stem)
        wanted = [{"name": name, "size": path.stat().st_size} for name, path in sources.items()]
        files: list[Record] = []
        for i in range(0, len(wanted), DECLARED_AT_ONCE):
            files += self.ask("POST", f"/v1/captures/{id}/files", json={"files": wanted[i : i + DECLARED_AT_ONCE]})["files"]
        # by their order: the service may write a name in other code points
        _Upload(self, dict(zip((file["id"] for file in files), sources.values(), strict=True)), on_progress).run(files)
        return dict(self.ask("POST", f"/v1/captures/{id}/complete"))

    def submit(
        self, capture: str, preset: str = "default", config: Record | None = None, until: str | None = None, priority: int = 4
    ) -> Record:
        """Start a job. ``config``: options as a dict a stage, as in a TOML file of ``recon process``."""
        body = {"capture_id": capture, "preset": preset, "config": config or {}, "until": until, "priority": priority}
        return dict(self.ask("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": uuid.uuid4().hex}))

    def job(self, id: str) -> Record:
        return dict(self.ask("GET", f"/v1/jobs/{id}"))

    def jobs(self, state: str | None = None, capture: str | None = None) -> Iterator[Record]:
        """The newest first."""
        return self.pages("/v1/jobs", state=state, capture_id=capture)

    def cancel(self, job: str) -> Record:
        return dict(self.ask("POST", f"/v1/jobs/{job}/cancel"))

    def delete(self, job: str) -> None:
        """Delete a job with its results, stopping it if it runs. Its capture stays."""
        self.ask("DELETE", f"/v1/jobs/{job}")

    def events(self, job: str, after: str | None = None) -> Iterator[Event]:
        """What the job tells until it has ended, from its beginning or after that event. Goes on when the connection breaks."""
        failures, has_ended = 0, False
        while True:
            told, headers = 0, {"Last-Event-ID": after} if after else {}
            try:
                with self._own.stream("GET", f"/v1/jobs/{job}/events", headers=headers, timeout=SILENT_S) as answer:
                    for event in _parsed(_checked(answer).iter_lines()):
                        failures, told, after = 0, told + 1, event.id or after
                        yield event
                        if event.kind == "job" and event.told.get("state") in ENDED:
                            return
                if has_ended and not told:  # its end is no longer among the events that are kept
                    return
                has_ended = self.job(job)["state"] in ENDED
            except (httpx.TransportError, BusyError):
                failures += 1
                if failures >= self.tries:
                    raise
            time.sleep(_wait_s(failures))

    def wait(self, job: str, on_event: Callable[[Event], object] = lambda _: None) -> Record:
        """The job once it has ended, well or not: look at ``state`` and ``error``."""
        for event in self.events(job):
            on_event(event)
        return self.job(job)

    def artifacts(self, job: str) -> list[Record]:
        return list(self.ask("GET", f"/v1/jobs/{job}/artifacts")["items"])

    def download(self, job: str, folder: str | Path, names: Sequence[str] = (), *, on_progress: Progress | None = None) -> list[Path]:
        """Fetch a job's results, or those named, each checked by its SHA-256. What is there already is not fetched again."""
        rows = [row for row in self.artifacts(job) if (row["name"] in names if names else row["kind"] == "result")]
        if missing := set(names) - {row["name"] for row in rows}:
            raise ProblemError(404, "absent", f"job {job} has no result '{sorted(missing)[0]}'", "List them with 'recon jobs ID'")
        count = _Count(sum(row["size"] for row in rows), on_progress)
        return [self._fetch(job, row, Path(folder), count) for row in rows]

    def _capture_of(self, sources: dict[str, Path], name: str) -> str:
        """A new capture, or the one that an upload of the same files began within the last day."""
        rows = [[key, str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for key, path in sources.items()]
        key = hashlib.sha256(json.dumps([name, rows]).encode()).hexdigest()
        made = str(self.ask("POST", "/v1/captures", json={"name": name}, headers={"Idempotency-Key": key})["id"])
        try:
            self.ask("GET", f"/v1/captures/{made}")
        except ProblemError as problem:
            if problem.status != 404:  # it was deleted since
                raise
            made = str(self.ask("POST", "/v1/captures", json={"name": name}, headers={"Idempotency-Key": uuid.uuid4().hex})["id"])
        return made

    def _fetch(self, job: str, row: Record, folder: Path, count: _Count) -> Path:
        path = folder / str(row["name"])
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ProblemError(502, "unsafe_name", f"the result's name '{row['name']}' leads out of {folder}")
        if _size(path) == row["size"] and _sha256(path) == row["sha256"]:
            count.add(row["size"])
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{row['sha256'][:12]}.part")
        if _size(part) > row["size"]:
            part.unlink()
        part.touch()
        count.add(_size(part))
        while (there := _size(part)) != row["size"]:
            try:
                self._insist(lambda: self._fetch_rest(f"/v1/jobs/{job}/artifacts/{quote(row['name'])}", part, count))
            except httpx.TransportError:
                if _size(part) <= there:  # else it came further: that is worth as many tries again
                    raise
        if _sha256(part) != row["sha256"]:
            part.unlink()
            raise ProblemError(502, "damaged", f"'{row['name']}' came damaged: its SHA-256 is not the stated one", "Download it again")
        os.replace(part, path)
        return path

    def _fetch_rest(self, url: str, part: Path, count: _Count) -> None:
        there = _size(part)
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={there}-"} if there else {})}
        # where the answer is a redirect to another host, httpx goes there without the Authorization header
        with self._own.stream("GET", url, headers=headers, follow_redirects=True) as answer:
            is_rest = _checked(answer).status_code == 206
            count.add(0 if is_rest else -there)
            with part.open("ab" if is_rest else "wb") as stream:
                for chunk in answer.iter_raw(CHUNK_BYTES):
                    stream.write(chunk)
                    count.add(len(chunk))

    def _insist(self, deed: Callable[[], Made], stopped: threading.Event | None = None) -> Made:
        """Do it, again after a while if the connection broke or the service was busy."""
        for attempt in range(self.tries - 1):
            try:
                return deed()
            except (httpx.TransportError, BusyError) as error:
                if (stopped or threading.Event()).wait(max(_wait_s(attempt), getattr(error, "retry_after_s", 0.0))):
                    raise
        return deed()


class _Count:
    """Bytes that are done, counted by several threads."""

    def __init__(self, total: int, on_progress: Progress | None) -> None:
        self.total, self.done, self.on_progress, self.lock = total, 0, on_progress, threading.Lock()

    def add(self, count: int) -> None:
        with self.lock:
            self.done += count
            if self.on_progress is not None:
                self.on_progress(self.done, self.total)


class _Upload:
    """A capture's files on their way, some parts at once. ``paths``: by the id of the file."""

    def __init__(self, recon: Recon, paths: dict[str, Path], on_progress: Progress | None) -> None:
        self.recon, self.paths, self.stopped = recon, paths, threading.Event()
        self.count = _Count(sum(path.stat().st_size for path in paths.values()), on_progress)
        self.sent: dict[tuple[str, int], int] = {}

    def run(self, files: list[Record]) -> None:
        with ThreadPoolExecutor(self.recon.at_once) as pool:
            try:
                missing = zip(files, pool.map(self._missing, files), strict=True)
                parts = [(file, [pool.submit(self._send, file, number) for number in numbers]) for file, numbers in missing]
                for file, sent in parts:
                    for part in sent:
                        part.result()
                    if file["state"] != "whole":
                        self.recon.ask("POST", f"/v1/files/{file['id']}/complete")
            except BaseException:
                self.stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _missing(self, file: Record) -> list[int]:
        """Numbers of the parts that have not arrived. The only part of a small file is sent again rather than asked for."""
        numbers, arrived = range(1, file["parts_total"] + 1), {}
        if file["state"] == "whole":
            self.count.add(file["size"])
            return []
        if len(numbers) > 1:
            arrived = {part["number"]: part["size"] for part in self.recon.ask("GET", f"/v1/files/{file['id']}")["parts"]}
        self.count.add(sum(arrived.values()))
        return [number for number in numbers if number not in arrived]

    def _send(self, file: Record, number: int) -> None:
        with self.paths[file["id"]].open("rb") as stream:
            stream.seek((number - 1) * file["part_bytes"])
            content = stream.read(file["part_bytes"])
        self.recon._insist(lambda: self._put(file, number, content), self.stopped)

    def _put(self, file: Record, number: int, content: bytes) -> None:
        """Send a part to a URL that is asked for each time: an older one may have expired."""
        wanted = {"numbers": [number], "sha256": {str(number): hashlib.sha256(content).hexdigest()}}
        (part,) = _checked(self.recon._own.post(f"/v1/files/{file['id']}/parts", json=wanted)).json()["parts"]
        headers = {**part["headers"], "Content-Length": str(len(content))}
        body = self._counted((file["id"], number), content)
        _checked(self.recon._others.request(part["method"], part["url"], headers=headers, content=body))

    def _counted(self, part: tuple[str, int], content: bytes) -> Iterator[bytes]:
        """The content piece by piece; what an earlier try had sent of it counts no longer."""
        self.count.add(-self.sent.pop(part, 0))
        for start in range(0, len(content), CHUNK_BYTES):
            if self.stopped.is_set():
                raise InterruptedError("another part failed, or Ctrl-C")
            chunk = content[start : start + CHUNK_BYTES]
            yield chunk
            self.sent[part] = self.sent.get(part, 0) + len(chunk)
            self.count.add(len(chunk))


def found(paths: Paths) -> dict[str, Path]:
    """Files by the names they will have: those in a folder but hidden and empty ones, or the ones given."""
    if isinstance(paths, str | Path) and (folder := Path(paths)).is_dir():
        inside = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if _size(path)}
        return {name.as_posix(): path for name, path in inside.items() if not any(part.startswith(".") for part in name.parts)}
    files = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    named = {path.name: path for path in files}
    if len(named) < len(files):
        raise ValueError("two of the files have the same name: put them into a folder of folders")
    return named


def _checked(answer: httpx.Response) -> httpx.Response:
    """The answer if it is a good one; ProblemError with what it says otherwise."""
    if answer.is_success:
        return answer
    told: Record = {}
    with contextlib.suppress(ValueError):
        told = dict(json.loads(answer.read()))
    wait = answer.headers.get("Retry-After", "")
    detail = told.get("detail") or f"{answer.request.url.host} answers {answer.status_code}: {answer.text[:200]}"
    kind = BusyError if answer.status_code in AGAIN else ProblemError
    wait_s = float(wait) if wait.isdigit() else 0.0
    raise kind(answer.status_code, told.get("code", "http"), detail, told.get("remedy", ""), wait_s)


def _parsed(lines: Iterable[str]) -> Iterator[Event]:
    """Server-sent events: fields a line, an empty line after each event."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line:
            fields[name] = (fields.get(name, "") if name == "data" else "") + value.removeprefix(" ")
        else:
            if "data" in fields:
                yield Event(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}


def _wait_s(attempt: int) -> float:
    return float(min(30.0, 0.5 * 2**attempt) * random.uniform(0.7, 1.0))  # noqa: S311  (it hides nothing)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
