"""Backup and restore of a fleet: the database's rows and the bucket's objects, as plain files.

    FOLDER/objects/KEY            the bucket, copied once: what a later backup finds there it does not fetch again
    FOLDER/DATE/TABLE.jsonl       a row a line, as of one instant
    FOLDER/DATE/objects.jsonl     key, size, etag, sha256 of each object that belongs to it
    FOLDER/DATE/backup.json       written last: without it the backup is not whole

Rows come first: an object that is written later is named by no row, while one that a row names stays until that row is deleted.
The tables are read as they are, not as the models say, so a backup may be restored by a later version, which then upgrades it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Connection, MetaData, Table, delete, func, insert, inspect, select, text

from recon import __version__
from recon.errors import Busy, ConfigError, InputError, NotFound
from workers.bucket import Bucket, Stored
from workers.database import Database
from workers.errors import StoreDamaged
from workers.places import shared_bucket
from workers.settings import Settings

log = logging.getLogger(__name__)

VERSIONS = "alembic_version"
_AT_ONCE = 8
_ROWS = 500


@dataclass(frozen=True)
class Backed:
    """One backup: its folder, the tables' revision, and how much is in it."""

    folder: Path
    revision: str
    rows: dict[str, int]
    objects: int
    bytes: int


def back_up(settings: Settings, folder: Path, keep: int = 0) -> Backed:
    """Add a backup to ``folder``; the service may run. ``keep``: remove all but so many, and the objects that none of them has.

    Busy while another backup writes there.
    """
    bucket = _bucket_of(settings)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # of two at once each would write into the other's files, and the first to end would remove what the second has just fetched
    lock = FileLock(folder / "backup.lock", blocking=False)
    try:
        with lock:
            return _back_up(settings, bucket, folder, keep)
    except Timeout:
        raise Busy(f"another backup writes to {folder}", "Wait until it has ended, or name another folder") from None


def _back_up(settings: Settings, bucket: Bucket, folder: Path, keep: int) -> Backed:
    made = folder / time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
    try:
        made.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise InputError(f"{made} is there already", "Wait a second") from None
    database = Database(settings.database_url)
    try:
        revision, rows = _write_rows(database, made)
    finally:
        database.close()
    known = {row["key"]: row for earlier in backups(folder) for row in _lines(earlier / "objects.jsonl")}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        copied = pool.map(lambda found: _fetch(bucket, found, folder / "objects", known.get(found.key)), bucket.listed("owners/"))
        objects = [row for row in copied if row is not None]
    _write_lines(made / "objects.jsonl", objects)
    backed = Backed(made, revision, rows, len(objects), sum(row["size"] for row in objects))
    told = {"format": 1, "recon": __version__, "taken_s": time.time(), **asdict(backed), "folder": made.name}
    (made / "backup.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
    if keep:
        _prune(folder, keep)
    return backed


def restore(settings: Settings, folder: Path) -> Backed:
    """Bring a backup back into an empty database; objects that the bucket has already stay. ``folder``: one backup, or all (the newest)."""
    bucket = _bucket_of(settings)
    if not (folder / "backup.json").is_file():
        whole = backups(folder)
        if not whole:
            raise NotFound(f"no whole backup in {folder}", "Name the folder that 'recon backup' wrote to")
        folder = whole[-1]
    told = json.loads((folder / "backup.json").read_text())
    database = Database(settings.database_url)
    try:
        _check_empty(database, settings)
        rows = _lines(folder / "objects.jsonl")
        with ThreadPoolExecutor(_AT_ONCE) as pool:  # objects first: no row ever names what is not there
            list(pool.map(lambda row: _send(bucket, row, folder.parent / "objects"), rows))
        database.upgrade(told["revision"])
        with database.writing() as session:
            _read_rows(session.connection(), folder)
        database.upgrade()
    finally:
        database.close()
    return Backed(folder, told["revision"], told["rows"], told["objects"], told["bytes"])


def backups(folder: Path) -> list[Path]:
    """The whole backups below ``folder``, the oldest first."""
    return sorted(path.parent for path in folder.glob("*/backup.json"))


def _bucket_of(settings: Settings) -> Bucket:
    if settings.bucket is None:
        raise ConfigError(
            f"the store is a folder: {settings.folder / 'store'}",
            f"Stop the service and copy {settings.folder} as a whole. This command is for services with RECON_STORE=s3://...",
        )
    return shared_bucket(settings)


# -- rows


def _write_rows(database: Database, folder: Path) -> tuple[str, dict[str, int]]:
    with database.reading() as session:
        connection = session.connection(execution_options={} if database.is_sqlite else {"isolation_level": "REPEATABLE READ"})
        if not inspect(connection).has_table(VERSIONS):
            raise InputError(f"the database {database.url.database} has no tables of recon", "Check RECON_DATABASE")
        revision = str(connection.scalar(text(f"select version_num from {VERSIONS}")))  # noqa: S608
        tables = _tables(connection)
        rows = {table.name: _write_lines(folder / f"{table.name}.jsonl", _rows_of(connection, table)) for table in tables}
    return revision, rows


def _rows_of(connection: Connection, table: Table) -> Iterator[dict[str, Any]]:
    for row in connection.execution_options(yield_per=_ROWS).execute(select(table)).mappings():
        yield dict(row)


def _read_rows(connection: Connection, folder: Path) -> None:
    for table in _tables(connection):
        waiting: list[dict[str, Any]] = []
        for row in _lines(folder / f"{table.name}.jsonl"):
            waiting.append(row)
            if len(waiting) == _ROWS:
                connection.execute(insert(table), waiting)
                waiting = []
        if waiting:
            connection.execute(insert(table), waiting)
        if connection.dialect.name == "postgresql" and table.c.get("id") is not None and table.c.id.type.python_type is int:
            highest = select(func.coalesce(func.max(table.c.id), 0) + 1).scalar_subquery()
            connection.execute(select(func.setval(func.pg_get_serial_sequence(table.name, "id"), highest, False)))
        if table.name == "files":  # their parts were in the old bucket only: clients declare them again
            connection.execute(delete(table).where(table.c.state == "uploading"))


def _tables(connection: Connection) -> list[Table]:
    """All tables but alembic's, those that others refer to first."""
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != VERSIONS]


def _check_empty(database: Database, settings: Settings) -> None:
    with database.reading() as session:
        connection = session.connection()
        has_owners = inspect(connection).has_table("owners") and connection.scalar(text("select count(*) from owners"))
    if has_owners:
        raise InputError(f"the database {database.url.database} is in use", "Restore into an empty one: set RECON_DATABASE")
    if settings.database_url.startswith("sqlite") or not inspect(database.engine).has_table(VERSIONS):
        return
    with database.writing() as session:  # tables without an owner: an API or worker was started too early
        connection = session.connection()
        metadata = MetaData()
        metadata.reflect(connection)
        metadata.drop_all(connection)


# -- objects


def _fetch(bucket: Bucket, found: Stored, folder: Path, known: dict[str, Any] | None) -> dict[str, Any] | None:
    """Copy an object, unless a backup has it; None if it was deleted meanwhile."""
    path = _place(folder, found.key)
    if known and (known["size"], known["etag"]) == (found.size, found.etag) and path.is_file() and path.stat().st_size == found.size:
        return known
    path.parent.mkdir(parents=True, exist_ok=True)
    beside, sha256, size = path.with_name(f".{path.name}.part"), hashlib.sha256(), 0
    try:
        with beside.open("wb") as out:
            for chunk in bucket.stream(found.key):
                sha256.update(chunk)
                size += len(chunk)
                out.write(chunk)
    except KeyError:
        beside.unlink()
        return None
    os.replace(beside, path)
    return {"key": found.key, "size": size, "etag": found.etag, "sha256": sha256.hexdigest()}


def _send(bucket: Bucket, row: dict[str, Any], folder: Path) -> None:
    found = bucket.find(row["key"])
    if found is not None and found.size == row["size"]:
        return
    path = _place(folder, row["key"])
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if sha256 != row["sha256"]:
        raise StoreDamaged(f"{path} is not what was backed up: SHA-256 {sha256[:12]}..., not {row['sha256'][:12]}...", "Take another copy")
    bucket.upload(path, row["key"])


def _place(folder: Path, key: str) -> Path:
    path = folder / key
    if ".." in path.parts:
        raise InputError(f"the object '{key}' can't be a file in {folder}")
    return path


def _prune(folder: Path, keep: int) -> None:
    whole = backups(folder)
    kept = {row["key"] for backup in whole[-keep:] for row in _lines(backup / "objects.jsonl")}
    for backup in whole[:-keep]:
        shutil.rmtree(backup)
    root = folder / "objects"
    for path in [path for path in root.rglob("*") if path.is_file()]:
        if path.relative_to(root).as_posix() not in kept:
            path.unlink()


# -- files of lines


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, sort_keys=True) + "\n")
            count += 1
    return count


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)
