"""A local store for processes that are killed at any time: what they leave in scratch is found and removed."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from recon.storage import LocalStore


class NodeStore(LocalStore):
    """A local store whose scratch folders carry the name of the machine and the process that uses them."""

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        parent = self.root / "scratch"
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=f"{_node()}.{os.getpid()}."))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove the scratch of this machine's processes that have ended. Safe at any time."""
        for folder in (self.root / "scratch").glob(f"{_node()}.*"):
            process = folder.name.removeprefix(f"{_node()}.").split(".")[0]
            if process.isdigit() and not psutil.pid_exists(int(process)):
                shutil.rmtree(folder, ignore_errors=True)


def _node() -> str:
    return platform.node() or "node"
