"""Uploaded files on a local folder, with the methods of ``Bucket``: one interface for both."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol

from workers.bucket import CHUNK_BYTES, Part, Stored

_UPLOADS = ".uploads"


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
        _write_whole(path, [content])
        return True

    def listed(self, prefix: str = "") -> Iterator[Stored]:
        for path in sorted(self.root.rglob("*")):
            key = path.relative_to(self.root).as_posix()
            if key.startswith(prefix) and not key.startswith(_UPLOADS) and (stored := self.find(key)) is not None:
                yield stored

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.path(key).unlink(missing_ok=True)

    def start_upload(self, key: str) -> str:
        self.path(key)
        upload = secrets.token_hex(16)
        self._parts_folder(upload).mkdir(parents=True)
        return upload

    def send_part(self, key: str, upload: str, number: int, content: bytes | Iterable[bytes]) -> Part:
        """Keep a part; content may come in pieces. KeyError if the upload was finished, dropped or never begun."""
        folder = self._open_upload(key, upload)
        size, digest = _write_whole(folder / f"{number:05d}", [content] if isinstance(content, bytes) else content)
        (folder / f"{number:05d}.sha256").write_text(digest)
        return Part(number, size, digest)

    def parts(self, key: str, upload: str) -> list[Part]:
        folder = self._open_upload(key, upload)
        found = sorted(path for path in folder.iterdir() if path.name.isdigit())
        return [Part(int(path.name), path.stat().st_size, _digest(path)) for path in found]

    def finish_upload(self, key: str, upload: str, parts: Iterable[Part]) -> None:
        """Join the parts. Called again after a kill it begins anew, and after success it raises KeyError."""
        folder = self._open_upload(key, upload)
        names = [f"{part.number:05d}" for part in sorted(parts, key=lambda part: part.number)]
        _write_whole(self.path(key), (chunk for name in names for chunk in _chunks(folder / name)))
        self.drop_upload(key, upload)

    def drop_upload(self, key: str, upload: str) -> None:
        self.path(key)
        shutil.rmtree(self._parts_folder(upload), ignore_errors=True)

    def _open_upload(self, key: str, upload: str) -> Path:
        folder = self._parts_folder(upload)
        if not folder.is_dir():
            raise KeyError(key)
        return folder

    def _parts_folder(self, upload: str) -> Path:
        if not upload.isalnum():
            raise ValueError(f"no id of an upload: {upload!r}")
        return self.root / _UPLOADS / upload


def _write_whole(path: Path, chunks: Iterable[bytes]) -> tuple[int, str]:
    """Write beside, sync, rename. Returns size and SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    size, digest = 0, hashlib.sha256()
    try:
        with beside.open("wb") as stream:
            for chunk in chunks:
                size += stream.write(chunk)
                digest.update(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return size, digest.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def _digest(path: Path) -> str:
    """Of a part, as it was computed when it arrived; anew if a kill came between the two files."""
    noted = path.with_suffix(".sha256")
    if noted.is_file() and (text := noted.read_text()):
        return text
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
