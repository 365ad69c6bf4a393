"""Uploaded files on a local folder, with the methods of ``Bucket``: one interface for both."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol

from workers.bucket import CHUNK_BYTES, Part, Stored
from workers.parts import LocalUpload, PartWriter, drop

_UPLOADS = ".uploads"
_UPLOAD = re.compile("[0-9]+x[0-9a-f]{32}")


class Objects(Protocol):
    """Files under keys: what ``Bucket`` and ``LocalObjects`` share. Absent keys raise KeyError."""

    def find(self, key: str) -> Stored | None: ...
    def read(self, key: str) -> bytes: ...
    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]: ...
    def write(self, key: str, content: bytes, *, if_absent: bool = False) -> bool: ...
    def listed(self, prefix: str = "") -> Iterator[Stored]: ...
    def delete(self, keys: Iterable[str]) -> None: ...
    def start_upload(self, key: str) -> str: ...
    def send_part(self, key: str, upload: str, number: int, content: bytes) -> Part: ...
    def parts(self, key: str, upload: str) -> list[Part]: ...
    def finish_upload(self, key: str, upload: str, parts: Iterable[Part]) -> None: ...
    def drop_upload(self, key: str, upload: str) -> None: ...
    def drop_uploads(self, but: Collection[str], older_s: float) -> int: ...


class LocalObjects:
    """Files under keys in a local folder. A file appears once it is whole and on the disk; so does a part."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """Where the file lies. ValueError for a key that leads out of the folder."""
        parts = PurePosixPath(key).parts
        if not parts or parts[0] in ("/", _UPLOADS) or ".." in parts or "\0" in key:
            raise ValueError(f"no key of a file: {key!r}")
        return self.root.joinpath(*parts)

    def find(self, key: str) -> Stored | None:
        path = self.path(key)
        if not path.is_file():
            return None
        found = path.stat()
        return Stored(key, found.st_size, found.st_mtime, f"{found.st_size:x}-{found.st_mtime_ns:x}")

    def read(self, key: str) -> bytes:
        return b"".join(self.stream(key))

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        path = self.path(key)
        if not path.is_file():
            raise KeyError(key)
        with path.open("rb") as stream:
            stream.seek(start)
            left = (path.stat().st_size if end is None else end) - start
            while left > 0 and (chunk := stream.read(min(CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk

    def write(self, key: str, content: bytes, *, if_absent: bool = False) -> bool:
        path = self.path(key)
        if if_absent and path.exists():
            return False
        _write_whole(path, content)
        return True

    def listed(self, prefix: str = "") -> Iterator[Stored]:
        for path in sorted(self.root.rglob("*")):
            key = path.relative_to(self.root).as_posix()
            if key.startswith(prefix) and not key.startswith(_UPLOADS) and (stored := self.find(key)) is not None:
                yield stored

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.path(key).unlink(missing_ok=True)

    def start_upload(self, key: str, part_bytes: int = 0) -> str:
        """Begin an upload; returns its id. If all parts but the last will have ``part_bytes``, they need not be joined in the end."""
        self.path(key)
        upload = f"{part_bytes}x{secrets.token_hex(16)}"
        (self.root / _UPLOADS / upload).mkdir(parents=True)
        return upload

    def part_writer(self, key: str, upload: str, number: int) -> PartWriter:
        """Takes a part as it comes. KeyError if the upload was finished, dropped or never begun."""
        return PartWriter(self._upload(key, upload), number)

    def send_part(self, key: str, upload: str, number: int, content: bytes | Iterable[bytes]) -> Part:
        """Keep a part; content may come in pieces."""
        with self.part_writer(key, upload, number) as writer:
            for piece in [content] if isinstance(content, bytes) else content:
                writer.write(piece)
            return writer.keep()

    def parts(self, key: str, upload: str) -> list[Part]:
        return self._upload(key, upload).parts()

    def finish_upload(self, key: str, upload: str, parts: Iterable[Part], sha256: str | None = None) -> None:
        """Make the parts the object. KeyError if that was done, also by another process meanwhile; Busy while one does it.

        DamagedUpload, and nothing is finished, if the content has another SHA-256.
        """
        self._upload(key, upload).finish(self.path(key), [part.number for part in parts], sha256)

    def drop_upload(self, key: str, upload: str) -> None:
        self.path(key)
        drop(self._folder(upload))

    def drop_uploads(self, but: Collection[str], older_s: float) -> int:
        """Forget the uploads in parts that are not among ``but``, if nothing came for so long. Returns how many."""
        before_s = time.time() - older_s
        old = [folder for folder in (self.root / _UPLOADS).glob("*") if folder.name not in but and _seen_s(folder) <= before_s]
        for folder in old:
            drop(folder)
        return len(old)

    def _upload(self, key: str, upload: str) -> LocalUpload:
        self.path(key)
        return LocalUpload(self._folder(upload), int(upload.partition("x")[0]))

    def _folder(self, upload: str) -> Path:
        if not _UPLOAD.fullmatch(upload):
            raise ValueError(f"no id of an upload: {upload!r}")
        return self.root / _UPLOADS / upload


def _seen_s(folder: Path) -> float:
    """When something last changed in it."""
    return max((path.stat().st_mtime for path in (folder, *folder.iterdir())), default=0.0)


def _write_whole(path: Path, content: bytes) -> None:
    """Write beside, sync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
