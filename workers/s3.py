"""The store on S3: folders that exist once they are whole, seen by all workers."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from recon.storage import DONE, LocalStore
from workers.bucket import Bucket
from workers.cache import FolderCache
from workers.errors import StoreDamaged
from workers.scratch import NodeStore

_AT_ONCE = 8


class S3Store(NodeStore):
    """Folders in a bucket; those in use, and some of those used last, lie in a local folder too.

    A folder's files lie below ``KEY/<id of the push>/``, so that two pushes of one key never mix; ``KEY/DONE``, written last and
    only where there is none, names the push that counts and lists its files with their sizes and SHA-256.
    """

    def __init__(self, bucket: Bucket, root: Path, cache: FolderCache) -> None:
        """``root`` must be the cache's folder or lie below it."""
        super().__init__(root)
        self.bucket = bucket
        self.cache = cache
        self._local = LocalStore(root)
        self._below = root.relative_to(cache.root).as_posix()

    def exists(self, key: str) -> bool:
        return self.bucket.find(f"{key}/{DONE}") is not None

    def pull(self, key: str) -> Path:
        """A local copy, verified; it stays until ``cache.release()``. KeyError, StoreDamaged, or what Bucket raises."""
        return self.cache.hold(f"{self._below}/{key}", lambda: self._fetch(key))

    def push(self, folder: Path, key: str, record: Mapping[str, Any]) -> None:
        if self.exists(key):
            return
        push = secrets.token_hex(8)
        files, empty = contents(folder)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda name: self.bucket.upload(folder / name, f"{key}/{push}/{name}"), files))
        done = {"record": dict(record), "push": push, "files": files, "empty_folders": empty}
        first = self.bucket.write(f"{key}/{DONE}", json.dumps(done).encode(), if_absent=True)
        # a repeated request may meet its own first try, so being second is not enough to drop what we sent
        if not first and self.manifest(key)["push"] != push:
            self.bucket.delete(f"{key}/{push}/{name}" for name in files)
            return
        # kept for the next stage
        self.cache.hold(f"{self._below}/{key}", lambda: self._local.push(folder, key, record))

    def manifest(self, key: str) -> dict[str, Any]:
        """What the folder's DONE says: ``record``, ``push``, ``files`` (name -> size and sha256), ``empty_folders``."""
        return dict(json.loads(self.bucket.read(f"{key}/{DONE}")))

    def object_key(self, key: str, name: str) -> str:
        """The object that holds one file of a folder: what a presigned URL is made for."""
        return f"{key}/{self.manifest(key)['push']}/{name}"

    def delete(self, key: str) -> None:
        """Remove a folder: its DONE first, so that no half of it is ever seen."""
        self.bucket.delete([f"{key}/{DONE}"])
        self.bucket.delete([stored.key for stored in self.bucket.listed(f"{key}/")])

    def sweep_bucket(self, older_s: float = 24 * 3600) -> int:
        """Remove what killed pushes left in the bucket, once it is that old. Returns the number of objects."""
        found = [(stored, PurePosixPath(stored.key)) for stored in self.bucket.listed()]
        counted = {path.parent.as_posix() for _, path in found if path.name == DONE}
        pushes = {f"{key}/{self.manifest(key)['push']}/" for key in counted}
        # stage/shard/push/file: what lies deeper belongs to the file's name
        old = [s.key for s, path in found if len(path.parts) > 3 and s.modified_s < time.time() - older_s]
        orphans = [key for key in old if "/".join(key.split("/")[:3]) + "/" not in pushes]
        self.bucket.delete(orphans)
        return len(orphans)

    def _fetch(self, key: str) -> None:
        done = self.manifest(key)
        with self.scratch() as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
            for name in done["empty_folders"]:
                _inside(folder, name).mkdir(parents=True, exist_ok=True)
            list(pool.map(lambda row: self._fetch_file(f"{key}/{done['push']}", row[0], row[1], folder), done["files"].items()))
            self._local.push(folder, key, done["record"])

    def _fetch_file(self, prefix: str, name: str, stated: Mapping[str, Any], folder: Path) -> None:
        target = _inside(folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        try:
            with target.open("wb") as stream:
                for chunk in self.bucket.stream(f"{prefix}/{name}"):
                    digest.update(chunk)
                    stream.write(chunk)
        except KeyError:
            raise StoreDamaged(f"{prefix}/{name} is missing from bucket {self.bucket.name}", "Delete the job and run it again") from None
        if digest.hexdigest() != stated["sha256"]:
            raise StoreDamaged(
                f"{prefix}/{name} in bucket {self.bucket.name} has {target.stat().st_size} bytes of another content than the "
                f"{stated['size']} that were written",
                "Delete the job and run it again",
            )


def contents(folder: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Size and SHA-256 of every file, and the folders that hold none."""
    files, empty = {}, []
    for parent, folders, names in os.walk(folder):
        below = Path(parent).relative_to(folder)
        if not folders and not names and below != Path():
            empty.append(below.as_posix())
        for name in names:
            with open(os.path.join(parent, name), "rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                files[(below / name).as_posix()] = {"size": os.fstat(stream.fileno()).st_size, "sha256": digest}
    return dict(sorted(files.items())), sorted(empty)


def _inside(folder: Path, name: str) -> Path:
    """The path of a file that a manifest names. A manifest is ours, but a bucket can be written by others."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise StoreDamaged(f"the store names a file outside its folder: {name!r}")
    return folder / path
