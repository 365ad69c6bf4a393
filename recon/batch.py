"""``recon batch``: every capture of a folder, each in a process of its own, so that none can stop the rest."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recon.capture.records import read_json, replace_json
from recon.capture.source import VIDEO_SUFFIXES
from recon.errors import EmptyCapture, NotFound
from recon.process import WORKSPACE
from recon.system import end_with_parent

VIDEO_OR_ZIP = VIDEO_SUFFIXES | {".zip"}
_POLL_S = 0.5

Row = dict[str, Any]


class Batch:
    """The captures of ``folder`` and what became of them, kept in ``out/batch.json``.

    A capture is done when it succeeded with the same files and arguments; anything else runs (again).
    """

    def __init__(
        self, folder: Path, out: Path, arguments: tuple[str, ...], jobs: int, settle_s: float, tell: Callable[[Row], None]
    ) -> None:
        if not folder.is_dir():
            raise NotFound(f"{folder} is not a folder", "Name the folder that holds the captures")
        self.folder, self.out, self.arguments, self.jobs = folder, out, arguments, jobs
        self.settle_s, self.tell = settle_s, tell
        self.file = out / "batch.json"
        out.mkdir(parents=True, exist_ok=True)
        self.rows: dict[str, Row] = {row["capture"]: row for row in read_json(self.file)["captures"]} if self.file.is_file() else {}
        self._running: dict[str, tuple[subprocess.Popen[str], float]] = {}

    def run(self) -> list[Row]:
        """Run what is unfinished; return a row a capture."""
        found = {capture.name: signature(capture) for capture in self._captures()}
        if not found:
            raise EmptyCapture(f"{self.folder} holds no sub-folder, video or zip", "Put each capture into a sub-folder of its own")
        waiting = [name for name, stamp in found.items() if not self._is_done(name, stamp)]
        try:
            while waiting or self._running:
                while waiting and len(self._running) < self.jobs:
                    name = waiting.pop(0)
                    self._start(name, found[name])
                self._collect()
        finally:
            self._stop()
        return [self.rows[name] for name in found]

    def watch(self) -> list[Row]:
        """Run captures as they arrive and settle, until Ctrl-C; then return the rows. What fails is tried once."""
        since: dict[str, tuple[str, float]] = {}  # name -> its signature, and since when it is so
        tried: set[tuple[str, str]] = set()
        try:
            while True:
                for capture in self._captures():
                    name, stamp, now = capture.name, signature(capture), time.monotonic()
                    if since.get(name, ("", 0.0))[0] != stamp:
                        since[name] = (stamp, now)
                    settled = now - since[name][1] >= self.settle_s
                    free = name not in self._running and len(self._running) < self.jobs
                    if settled and free and (name, stamp) not in tried and not self._is_done(name, stamp):
                        tried.add((name, stamp))
                        self._start(name, stamp)
                self._collect()
        except KeyboardInterrupt:
            return list(self.rows.values())
        finally:
            self._stop()

    def _captures(self) -> list[Path]:
        entries = sorted(self.folder.iterdir(), key=lambda path: path.name)
        return [
            path
            for path in entries
            if not path.name.startswith(".")
            and path.resolve() != self.out.resolve()
            and not os.path.exists(path / WORKSPACE)
            and (path.is_dir() or path.suffix.lower() in VIDEO_OR_ZIP)
        ]

    def _is_done(self, name: str, stamp: str) -> bool:
        row = self.rows.get(name, {})
        same = row.get("signature") == stamp and row.get("arguments") == list(self.arguments)
        return same and row.get("state") == "done" and (self.out / name / "report.json").is_file()

    def _start(self, name: str, stamp: str) -> None:
        command = [sys.executable, "-m", "recon", "process", str(self.folder / name), "-o", str(self.out / name), "--json", *self.arguments]
        process = subprocess.Popen(  # noqa: S603  (our own program)
            command,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=end_with_parent if sys.platform == "linux" else None,  # else it would hold the folder after a kill -9 of this one
        )
        self._running[name] = (process, time.monotonic())
        self._keep({"capture": name, "state": "running", "signature": stamp, "arguments": list(self.arguments)})

    def _collect(self) -> None:
        time.sleep(_POLL_S if self._running else min(_POLL_S, self.settle_s / 2))
        for name, (process, started_s) in list(self._running.items()):
            lines = _last_line_when_done(process)
            if lines is None:
                continue
            del self._running[name]
            row = {**self.rows[name], "seconds": round(time.monotonic() - started_s, 1)}
            self._keep({**row, **outcome(lines, process.returncode)})

    def _keep(self, row: Row) -> None:
        self.rows[row["capture"]] = row
        replace_json(self.file, {"captures": [self.rows[name] for name in sorted(self.rows)]})
        self.tell(row)

    def _stop(self) -> None:
        """Let running captures stop cleanly: what they finished is kept."""
        for process, _ in self._running.values():
            process.send_signal(signal.SIGTERM)  # a job in the background ignores SIGINT
        for name, (process, _) in self._running.items():
            process.communicate()
            self._keep({**self.rows[name], "state": "stopped"})
        self._running.clear()


def _last_line_when_done(process: subprocess.Popen[str]) -> str | None:
    """The program's last line of output once it has ended, else None. Reads on, so that it never blocks on a full pipe."""
    try:
        output, _ = process.communicate(timeout=0.05)
    except subprocess.TimeoutExpired:
        return None
    lines = output.strip().splitlines()
    return lines[-1] if lines else ""


def outcome(line: str, returncode: int) -> Row:
    """A capture's state from the last JSON line of ``recon process`` and its exit code."""
    try:
        last = json.loads(line)
    except json.JSONDecodeError:
        last = {}
    if returncode == 0 and last.get("event") == "result":
        report = last["report"]
        return {
            "state": "done",
            "report": str(Path(last["out"]) / "report.html"),
            "used": report["images"]["used"],
            "registered": report["images"]["registered"],
            "metric": report["scale"]["metric"],
            "points": report["points"],
            "faces": report["faces"],
            "warnings": len(report["warnings"]),
        }
    if last.get("event") == "error":
        remedy = f". {last['remedy']}" if last["remedy"] else ""
        return {"state": "failed", "code": last["code"], "exit_code": returncode, "message": last["message"] + remedy}
    return {"state": "failed", "code": "crashed", "exit_code": returncode, "message": f"the process ended with exit code {returncode}"}


def signature(capture: Path) -> str:
    """Changes when a file of the capture appears, grows or is rewritten."""
    paths = [capture] if not capture.is_dir() else [Path(folder, name) for folder, _, names in os.walk(capture) for name in names]
    rows = []
    for path in paths:
        try:
            found = path.stat()
        except OSError:  # it went away a moment ago, or is a link that leads nowhere
            continue
        if stat.S_ISREG(found.st_mode):
            rows.append((os.fsencode(path.relative_to(capture)).hex(), found.st_size, found.st_mtime_ns))
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()[:16]
