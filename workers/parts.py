"""An upload in parts to a local folder. Parts come at the same time and in any order; each is there once it is whole and on the disk.

    file          parts where they belong, if all but the last have one size: it is renamed in the end, nothing is copied
    00001.begun   locked by who writes part 1 there; who comes meanwhile or later writes to a file of its own
    00001.again   locked by who comes meanwhile: of many who send one part at once, only two take room
    00001.3f9a    a part in a file of its own
    00001         part 1 has arrived: its size, its SHA-256 and the file that it is in

So bytes that a note names never change, whatever is sent again or breaks off, and a kill leaves nothing that counts.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from recon.errors import Busy, DiskFull
from recon.storage import sha256_of
from workers.bucket import CHUNK_BYTES, Part
from workers.errors import DamagedUpload

_FILE = "file"
_WAIT_S = 20.0
"""How long one who would finish an upload waits for another who does."""


@dataclass(frozen=True)
class _Note:
    size: int
    sha256: str
    file: str
    start: int
    """Where in the file it begins."""


class LocalUpload:
    """The folder of one upload. ``part_bytes``: size of all parts but the last; 0: they may have any."""

    def __init__(self, folder: Path, part_bytes: int) -> None:
        if not folder.is_dir():
            raise KeyError(folder.name)
        self.folder = folder
        self.part_bytes = part_bytes

    def parts(self) -> list[Part]:
        return [Part(number, note.size, note.sha256) for number, note in sorted(self._notes().items())]

    def finish(self, target: Path, numbers: Iterable[int], sha256: str | None) -> None:
        """Make the parts one file, on the disk under its name, and drop the folder.

        DamagedUpload if it has another SHA-256, KeyError if another process has finished it, Busy if one does.
        """
        with _locked(self.folder, _WAIT_S):
            notes = self._notes()
            chosen = [notes[number] for number in sorted(numbers)]
            whole = self._whole(chosen)
            if sha256 is not None and (found := sha256_of(whole)) != sha256:
                raise DamagedUpload(f"the file's SHA-256 is {found}, and {sha256} was declared", "Send all its parts again")
            target.parent.mkdir(parents=True, exist_ok=True)
            whole.replace(target)
            _sync_folder(target.parent)
            drop(self.folder)

    def _whole(self, notes: Sequence[_Note]) -> Path:
        """All parts in one file: the one that they were written to, if each is where it belongs."""
        size, path = 0, self.folder / _FILE
        is_joined = True
        for note in notes:
            is_joined &= note.file == _FILE and note.start == size
            size += note.size
        with disk_told():
            if is_joined and notes:
                os.truncate(path, size)
                return path
            return _copied(self.folder, notes)

    def _notes(self) -> dict[int, _Note]:
        found = {}
        for path in self.folder.iterdir():
            if path.name.isdigit() and (note := _read(path)) is not None:
                found[int(path.name)] = note
        return found


class PartWriter:
    """A part that comes piece by piece. Nothing of it stays unless it is kept. Its methods wait for the disk."""

    def __init__(self, upload: LocalUpload, number: int) -> None:
        self._folder, self._number, self._most = upload.folder, number, upload.part_bytes
        self._claim, in_place = _claimed(self._folder, number)
        self._is_own = not (in_place and self._most)
        self._name = f"{number:05d}.{secrets.token_hex(4)}" if self._is_own else _FILE
        self._start = 0 if self._is_own else (number - 1) * self._most
        self._size, self._digest, self._is_kept = 0, hashlib.sha256(), False
        try:
            self._handle = _opened(self._folder / self._name)
        except BaseException:
            os.close(self._claim)
            raise

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)
        if self._is_own and not self._is_kept:
            (self._folder / self._name).unlink(missing_ok=True)
        os.close(self._claim)

    def write(self, *pieces: bytes) -> None:
        """DiskFull if there is no room; ValueError for more bytes than a part of this upload may have."""
        if self._most and self._size + sum(map(len, pieces)) > self._most:
            raise ValueError(f"part {self._number} has more than {self._most} bytes")
        for piece in pieces:
            self._digest.update(piece)
            left = memoryview(piece)
            while left:
                with disk_told():
                    written = os.pwrite(self._handle, left, self._start + self._size)
                self._size += written
                left = left[written:]

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def keep(self) -> Part:
        """Note that the part is there, in place of one of that number. KeyError if the upload was finished or dropped, or is just then."""
        note = _Note(self._size, self.sha256, self._name, self._start)
        with disk_told():
            os.fsync(self._handle)
            try:
                with _locked(self._folder, 0, shared=True):
                    before = _read(self._folder / f"{self._number:05d}")
                    _write(self._folder, self._number, note)
                    self._is_kept = True
                    if before is not None and before.file != _FILE:
                        (self._folder / before.file).unlink(missing_ok=True)
            except (Busy, FileNotFoundError):
                raise KeyError(self._folder.name) from None
        return Part(self._number, note.size, note.sha256)


def drop(folder: Path) -> None:
    """Remove an upload. In one step it is gone for all; its bytes follow."""
    gone = folder.with_name(f"{folder.name}.dropped")
    try:
        folder.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)


@contextmanager
def disk_told() -> Iterator[None]:
    """A full disk, in our words."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull("the store's disk is full", "Delete old captures and jobs, or give it more room") from error


@contextmanager
def _locked(folder: Path, wait_s: float, *, shared: bool = False) -> Iterator[None]:
    """Hold the folder's lock, which a process that is killed lets go of. Busy, or KeyError if the folder is gone."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        raise KeyError(folder.name) from None
    try:
        end = time.monotonic() + wait_s
        while not _try_lock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
            if time.monotonic() >= end:
                raise Busy("the upload is being finished by another request", "Wait until it has ended")
            time.sleep(0.02)
        if not folder.is_dir():
            raise KeyError(folder.name)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _claimed(folder: Path, number: int) -> tuple[int, bool]:
    """The right to send a part, as long as this stays open, and whether to where it belongs: the first may, until it is there.

    Busy if two others send it.
    """
    for name in ("begun", "again"):
        handle = _opened(folder / f"{number:05d}.{name}")
        if _try_lock(handle, fcntl.LOCK_EX):
            note = _read(folder / f"{number:05d}")
            return handle, name == "begun" and (note is None or note.file != _FILE)
        os.close(handle)
    raise Busy(f"part {number} is being sent by two other requests", "Wait until one of them has ended")


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    except FileNotFoundError:
        raise KeyError(path.parent.name) from None


def _write(folder: Path, number: int, note: _Note) -> None:
    # not synced: what a loss of power leaves of it counts as no note, and the part is sent again
    beside = folder / f".{number:05d}.{secrets.token_hex(4)}"
    beside.write_text(json.dumps(asdict(note)))
    beside.replace(folder / f"{number:05d}")


def _read(path: Path) -> _Note | None:
    """None if there is no note, or a torn one, or the bytes are gone."""
    try:
        note = _Note(**json.loads(path.read_text()))
        is_there = (path.parent / note.file).stat().st_size >= note.start + note.size
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return note if is_there else None


def _copied(folder: Path, notes: Sequence[_Note]) -> Path:
    path = folder / "joined"
    with path.open("wb") as target:
        for note in notes:
            with (folder / note.file).open("rb") as source:
                _copy(source.fileno(), note.start, note.size, target.fileno())
        os.fsync(target.fileno())
    return path


def _copy(source: int, start: int, size: int, target: int) -> None:
    """Within the kernel where it can; some file systems then share the blocks."""
    end = start + size
    while start < end:
        if hasattr(os, "copy_file_range"):
            count = os.copy_file_range(source, target, end - start, start)
        else:
            count = os.write(target, os.pread(source, min(CHUNK_BYTES, end - start), start))
        if not count:
            raise OSError(errno.EIO, "a part became shorter")
        start += count


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
