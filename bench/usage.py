"""Run a command and say what it took: wall and CPU seconds, and the peak memory of its whole process tree."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_LOOK_S = 0.25  # each look takes a millisecond of a core from what is measured


@dataclass(frozen=True)
class Usage:
    """What one command took."""

    code: int
    last: dict[str, Any]
    """Its last line of JSON."""
    seconds: float
    cpu_s: float
    """Of all its processes, as the kernel counts them."""
    peak_mb: float
    """Largest sum of resident memory over the process tree, sampled every 0.25 s; shared pages count once a process."""

    def checked(self) -> Usage:
        """Raises RuntimeError where the command failed."""
        if self.code != 0:
            raise RuntimeError(f"recon failed: {self.last}")
        return self


def recon(*arguments: object) -> Usage:
    """Run ``recon ARGUMENTS --json`` in a process of its own."""
    return run([sys.executable, "-m", "recon", *map(str, arguments), "--json"])


def run(command: list[str]) -> Usage:
    """Run any command that ends by itself; what it began and left behind is waited for, but is not in ``seconds``."""
    peak = 0
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        counted = [sys.executable, "-I", "-S", str(Path(__file__).with_name("counted.py")), str(told), *command]
        with subprocess.Popen(counted, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            root = psutil.Process(process.pid)
            while True:
                try:
                    peak = max(peak, _resident(root))
                    output, errors = process.communicate(timeout=_LOOK_S)
                    break
                except subprocess.TimeoutExpired:
                    continue
        took = json.loads(told.read_text(encoding="utf-8"))
    lines = [line for line in output.splitlines() if line.startswith("{")]
    last = json.loads(lines[-1]) if lines else {"event": "none", "message": errors[-2000:]}
    return Usage(process.returncode, last, took["seconds"], took["cpu_s"], peak / 2**20)


def _resident(root: psutil.Process) -> int:
    """Bytes of what it began."""
    resident = 0
    try:
        for process in root.children(recursive=True):
            try:
                resident += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        pass
    return resident


def tree_digest(folder: Path) -> dict[str, str]:
    """sha256 of every product in ``folder``; the report is left out, since it holds timings."""
    import hashlib

    files = sorted(path for path in folder.rglob("*") if path.is_file() and ".recon" not in path.parts and path.name[:6] != "report")
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
