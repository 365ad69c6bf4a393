"""Local copies of the store's folders: bounded, the longest unused go first, shared by all workers of a machine."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from recon.storage import DONE

log = logging.getLogger(__name__)


class FolderCache:
    """Keeps folders below ``root`` up to ``max_bytes`` in all, besides those in use.

    A folder in use is held by a shared file lock, which ends with the process that holds it, even by kill -9. The lock's file
    holds the folder's size, and its time of change is that of the last use.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self._held: dict[str, int] = {}
        self._has_grown = False

    def hold(self, key: str, fill: Callable[[], None]) -> Path:
        """The folder of ``key``, made by ``fill`` if it is not there, and not evicted until ``release``."""
        folder = self.root / key
        while key not in self._held:
            handle = self._lock(key, fcntl.LOCK_SH)
            if (folder / DONE).is_file():
                os.utime(handle)
                self._held[key] = handle
                break
            os.close(handle)
            handle = self._lock(key, fcntl.LOCK_EX)
            try:
                if not (folder / DONE).is_file():  # another process may have been first
                    fill()
                    self._has_grown = True
                    os.pwrite(handle, b"%d" % _size(folder), 0)
            finally:
                os.close(handle)
        return folder

    def release(self) -> None:
        """Let go of all that this process holds, then make room."""
        for handle in self._held.values():
            os.close(handle)
        self._held.clear()
        if self._has_grown:
            self._has_grown = False
            self.make_room()

    def make_room(self) -> None:
        """Evict the longest unused folders until the bound is kept. What another process holds stays."""
        found = []
        for path in self._locks.glob("*"):
            try:
                found.append((path.stat().st_mtime_ns, path, int(path.read_text() or 0)))
            except FileNotFoundError:
                continue  # evicted by another process just now
        for trash in self._locks.parent.glob("evicted-*"):  # of a worker that was killed while it evicted
            if time.time() - trash.stat().st_mtime > 60:
                shutil.rmtree(trash, ignore_errors=True)
        total = sum(size for *_, size in found)
        for _, path, size in sorted(found):
            if total <= self.max_bytes:
                return
            if self._evict(path):
                total -= size

    def _evict(self, path: Path) -> bool:
        key = path.name.replace("~", "/")
        try:
            handle = self._lock(key, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            trash = Path(tempfile.mkdtemp(dir=self._locks.parent, prefix="evicted-"))
            if (self.root / key).exists():
                (self.root / key).rename(trash / "folder")  # in one step: a kill leaves no half of a folder behind
            path.unlink()
        finally:
            os.close(handle)
        shutil.rmtree(trash, ignore_errors=True)
        log.debug("evicted %s", key)
        return True

    def _lock(self, key: str, kind: int) -> int:
        """A locked handle of the key's lock file, which may have been removed and made anew while we waited."""
        self._locks.mkdir(parents=True, exist_ok=True)
        path = self._locks / key.replace("/", "~")
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, kind)
                if os.stat(path).st_ino == os.fstat(handle).st_ino:
                    return handle
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)

    @property
    def _locks(self) -> Path:
        return self.root / "cached" / "locks"


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
