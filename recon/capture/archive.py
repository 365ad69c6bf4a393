"""Zip archives of photos and videos, unpacked with no trust in what their headers say."""

from __future__ import annotations

import errno
import io
import json
import lzma
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from recon.capture.names import shown
from recon.errors import DiskFull, HostileArchive, NotFound, TooLarge

MANIFEST = "unpacked.json"
MAX_ENTRIES = 200_000
MAX_NAME = 4096
"""Letters of a name with its folders: what Linux takes, and fewer than the digits that Python reads as a number."""
MAX_DIRECTORY_BYTES = 128 << 20
MAX_TOTAL_BYTES = 256 << 30
MAX_RATIO = 100
"""Photos and videos are packed already: nothing honest unpacks to a hundred times its size, except when it is small."""
SMALL_BYTES = 64 << 20
DISK_MARGIN_BYTES = 512 << 20
_CHUNK = 1 << 20
_UTF8_NAME = 0x800
_ENCRYPTED = 0x1
_UNICODE_PATH = 0x7075
_ENTRY = b"PK\1\2"
_COUNTED_BYTES = 4 << 20
"""Shorter reads are of files; a directory of that size has less than a hundred thousand entries."""


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to."""

    entries: int = MAX_ENTRIES
    directory_bytes: int = MAX_DIRECTORY_BYTES
    total_bytes: int = MAX_TOTAL_BYTES
    ratio: int = MAX_RATIO
    small_bytes: int = SMALL_BYTES


def unpack(archive: Path, target: Path, wanted: Callable[[str], bool], limits: Limits | None = None) -> None:
    """Unpack the files whose names are ``wanted`` into the new folder ``target``, all or nothing.

    Files lie in it as ``000000.SUFFIX``, so that no name in the archive ever becomes a path; ``unpacked.json`` gives
    each one's name (``files``) and lists what was left out (``ignored``), damaged entries among it. Raises HostileArchive for
    names that lead outside, links, encryption, a bomb's ratio and a broken directory; TooLarge beyond the limits; DiskFull.
    """
    limits = limits or Limits()
    beside = target.parent / f".{target.name}.partial"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        with archive.open("rb") as file, zipfile.ZipFile(_Guarded(file, archive.name, limits)) as opened:
            _unpack_entries(opened, archive, beside, wanted, limits)
        beside.rename(target)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OverflowError) as error:
        raise HostileArchive(f"{archive.name} is a broken archive: {error}", "Pack it again, or unpack it and pass the folder") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left while unpacking {archive.name} into {target.parent}") from None
        if not archive.exists():
            raise NotFound(f"{archive} can't be read: {error.strerror}") from None
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


class _Guarded(io.BufferedIOBase):
    """An archive's file, whose directory is counted before a list is made of it: that takes ten times the room."""

    def __init__(self, file: BinaryIO, name: str, limits: Limits) -> None:
        self._file, self._name, self._limits = file, name, limits

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > self._limits.directory_bytes:  # files are read in pieces: this is the directory
            raise TooLarge(f"the directory of {self._name} has {size:,} bytes; at most {self._limits.directory_bytes:,} are read")
        read = self._file.read(-1 if size is None else size)
        if len(read) > _COUNTED_BYTES and (entries := read.count(_ENTRY)) > self._limits.entries:
            raise TooLarge(f"{self._name} holds {entries} files or folders; at most {self._limits.entries} are read")
        return read


def _unpack_entries(opened: zipfile.ZipFile, archive: Path, folder: Path, wanted: Callable[[str], bool], limits: Limits) -> None:
    entries = [entry for entry in opened.infolist() if not entry.is_dir()]
    if len(entries) > limits.entries:
        raise TooLarge(f"{archive.name} holds {len(entries)} files; at most {limits.entries} are read")
    names = [_checked_name(entry, archive) for entry in entries]
    files: list[tuple[str, str]] = []
    ignored: list[tuple[str, str]] = []
    seen: set[str] = set()
    budget = _Budget(archive, limits, shutil.disk_usage(folder).free - DISK_MARGIN_BYTES)
    budget.check(sum(entry.file_size for entry, name in zip(entries, names, strict=True) if wanted(name)))
    for entry, name in zip(entries, names, strict=True):
        if name in seen:
            ignored.append((name, "a second file of this name in the archive"))
        elif name.lower().endswith(".zip"):
            ignored.append((name, "an archive in an archive"))
        elif wanted(name):
            file = f"{len(files):06d}{PurePosixPath(name).suffix[:8].lower()}"
            if damage := _unpack_one(opened, entry, folder / file, budget):
                ignored.append((name, damage))
            else:
                files.append((file, name))
        else:
            ignored.append((name, ""))
        seen.add(name)
    (folder / MANIFEST).write_text(json.dumps({"files": files, "ignored": ignored}), encoding="ascii")


@dataclass
class _Budget:
    """Counts bytes as they are written, whatever the headers promised."""

    archive: Path
    limits: Limits
    free_bytes: int
    written: int = 0

    def check(self, total: int) -> None:
        packed = max(1, self.archive.stat().st_size)
        if total > self.limits.small_bytes and total > self.limits.ratio * packed:
            raise HostileArchive(
                f"{self.archive.name} unpacks to more than {self.limits.ratio} times its {packed:,} bytes: a zip bomb",
                "Unpack it yourself and pass the folder, if you trust it",
            )
        if total > self.limits.total_bytes:
            raise TooLarge(f"{self.archive.name} unpacks to more than {self.limits.total_bytes / 2**30:.3g} GiB, the limit")
        if total > self.free_bytes:
            raise TooLarge(
                f"{self.archive.name} needs {total / 2**30:.1f} GiB unpacked, {max(0, self.free_bytes) / 2**30:.1f} GiB are free",
                "Free some disk, or put the output on another one",
            )

    def add(self, count: int) -> None:
        self.written += count
        self.check(self.written)


def _unpack_one(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, budget: _Budget) -> str:
    """Unpack an entry; what is wrong with it, and no file, where it is damaged."""
    try:
        with opened.open(entry) as source, path.open("xb") as sink:
            while chunk := source.read(_CHUNK):
                budget.add(len(chunk))
                sink.write(chunk)
        return ""
    except NotImplementedError as error:
        damage = f"packed in a way that can't be read: {error}"
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OverflowError) as error:
        damage = f"damaged in the archive: {shown(str(error))}"
    except OSError as error:
        if error.errno is not None:  # the disk's; bz2 raises one without a number for damage
            raise
        damage = f"damaged in the archive: {error}"
    path.unlink(missing_ok=True)
    return damage


def _checked_name(entry: zipfile.ZipInfo, archive: Path) -> str:
    name = _name(entry)
    if len(name) > MAX_NAME:
        raise HostileArchive(f"{archive.name} holds a name of {len(name)} letters; no file system takes more than {MAX_NAME}")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise HostileArchive(f"{archive.name} holds a link, {shown(name)!r}", "Pack the files themselves")
    if entry.flag_bits & _ENCRYPTED:
        raise HostileArchive(f"{archive.name} is encrypted", "Unpack it with its password and pass the folder")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        raise HostileArchive(f"{archive.name} holds {shown(name)!r}, a path that leads outside the archive")
    return str(PurePosixPath(name))


def _name(entry: zipfile.ZipInfo) -> str:
    """The entry's name as its packer meant it: most write UTF-8 without saying so, some write backslashes."""
    name = entry.filename
    if not entry.flag_bits & _UTF8_NAME:
        raw = entry.orig_filename.partition("\0")[0].encode("cp437")  # from 3.12 on ``filename`` may be the extra field's
        name = _unicode_path(entry.extra, raw) or raw.decode("utf-8", "surrogateescape")
    return name.replace("\\", "/")


def _unicode_path(extra: bytes, raw: bytes) -> str:
    """The name in Info-ZIP's Unicode Path field (0x7075), if it is that of this name; empty without one."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        field = extra[at + 4 : at + 4 + size]
        if kind == _UNICODE_PATH and field[:1] == b"\1" and int.from_bytes(field[1:5], "little") == zlib.crc32(raw):
            return field[5:].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        at += 4 + size
    return ""
