"""Where results lie: folders that exist once they are whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

DONE = "DONE"
_SCRATCH = "scratch"


def sha256_of(path: Path) -> str:
    """Hexadecimal digest of a file's content; OSError where it can't be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Store(Protocol):
    """Folders under keys (``stage-hash/shard``). A key's folder is written once, whole, and never changes."""

    root: Path
    """On the disk that fills up: what a full one is told about."""

    def exists(self, key: str) -> bool:
        """Whether the folder is there and whole."""
        ...

    def pull(self, key: str) -> Path:
        """A local path of the folder, to be read only. KeyError if it does not exist."""
        ...

    def push(self, folder: Path, key: str, record: Mapping[str, Any]) -> None:
        """Give ``folder`` (from ``scratch``) to the store, which may move it; ``record`` becomes its DONE file.

        If the key exists already, the new folder is dropped: both were made by the same recipe.
        """
        ...

    def scratch(self) -> AbstractContextManager[Path]:
        """An empty local folder that is gone afterwards unless pushed."""
        ...


class LocalStore:
    """A store in a local folder. Safe against a kill at any instant and against several writers."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def exists(self, key: str) -> bool:
        return (self.root / key / DONE).is_file()

    def pull(self, key: str) -> Path:
        if not self.exists(key):
            raise KeyError(key)
        return self.root / key

    def push(self, folder: Path, key: str, record: Mapping[str, Any]) -> None:
        if self.exists(key):
            return
        (folder / DONE).write_text(json.dumps(dict(record)) + "\n")
        _sync(folder)
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.rename(target)  # one step: the folder appears with its DONE, or not at all
        except OSError:
            if self.exists(key):  # another writer was first
                return
            raise
        _sync_folder(target.parent)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        parent = self.root / _SCRATCH
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what killed runs left in scratch. Only while no other run uses this store."""
        shutil.rmtree(self.root / _SCRATCH, ignore_errors=True)


def _sync(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(parent, name), "rb") as stream:
                os.fsync(stream.fileno())
        _sync_folder(Path(parent))


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder can't be opened, and needs no sync
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
