"""What the tests share: a seeded generator, a store, and the log of a subprocess run of the command line."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recon.storage import LocalStore

pytest_plugins = ["servers", "chromium"]
if importlib.util.find_spec("celery") is not None:  # the service's libraries are installed
    pytest_plugins += ["service_fixtures", "api_fixtures"]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LocalStore:
    """A store of each kind: both keep the same contract."""
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    pytest.importorskip("boto3", reason="the service's libraries are not installed: pip install -e '.[dev]'")
    from workers.cache import FolderCache
    from workers.s3 import S3Store

    root = tmp_path / "store"
    return S3Store(request.getfixturevalue("seaweed").bucket().below(tmp_path.name), root, FolderCache(root, 10**9))


@dataclass(frozen=True)
class Told:
    """A finished ``recon`` command: exit code and its JSON lines."""

    code: int
    lines: list[dict[str, Any]]
    text: str

    @property
    def last(self) -> dict[str, Any]:
        return self.lines[-1]


@pytest.fixture
def recon() -> Callable[..., Told]:
    """Run the real command line in a process of its own, with --json."""

    def call(*arguments: object, cwd: Path | None = None, timeout_s: float = 300) -> Told:
        command = [sys.executable, "-m", "recon", *map(str, arguments), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=timeout_s)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert "Traceback" not in done.stderr, done.stderr
        return Told(done.returncode, lines, done.stdout + done.stderr)

    return call
