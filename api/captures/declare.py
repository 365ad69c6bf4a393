"""Files are declared before they come: their names are looked at, and whether there is room for them."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.captures.rows import HELD, held_capture, reopened, shown_file
from api.captures.schemas import MAX_PARTS, Files, NewFile
from api.errors import Conflict
from api.quotas import quota_of
from api.service import Caller
from api.settings import MB, ApiSettings
from recon.errors import InputError
from workers.errors import OverQuota
from workers.models import Capture, File, Owner, new_id
from workers.names import MAX_FILES, checked_name
from workers.stored import stored_bytes


def declare(session: Session, api: ApiSettings, caller: Caller, capture_id: str, wanted: Sequence[NewFile]) -> Files:
    """Rows for files that will come, together or not at all. A file that was declared alike before is given again."""
    owner = session.get_one(Owner, caller.owner_id, with_for_update=HELD)  # one declaration at a time: what is stored is a sum
    capture = held_capture(session, capture_id, caller)
    named = _named(wanted)
    known = {row.name: row for row in session.scalars(select(File).where(File.capture_id == capture.id, File.name.in_(named)))}
    added = {name: _new(capture, name, file, api) for name, file in named.items() if name not in known}
    for name, row in known.items():
        _check_same(row, named[name])
    if added:
        _check_open(capture)
        _check_names(session, capture, added)
        _check_room(session, api, owner, [file.size for file in added.values()])
        session.add_all(added.values())
        reopened(capture)
    session.flush()
    return Files(files=[shown_file(known.get(name) or added[name]) for name in named])


def part_bytes_of(size: int, least: int) -> int:
    """Whole MiB, so large that the file has no more parts than S3 takes."""
    return max(least, -(-size // MAX_PARTS // MB) * MB)


def _named(wanted: Sequence[NewFile]) -> dict[str, NewFile]:
    named: dict[str, NewFile] = {}
    for file in wanted:
        name = checked_name(unicodedata.normalize("NFC", file.name))
        if named.setdefault(name, file) is not file:
            raise InputError(f"{name[:80]!r} is named twice", "Name each file once")
    return named


def _new(capture: Capture, name: str, file: NewFile, api: ApiSettings) -> File:
    id = new_id()
    return File(
        id=id,
        owner_id=capture.owner_id,
        capture_id=capture.id,
        name=name,
        size=file.size,
        sha256=file.sha256 and file.sha256.lower(),
        object=f"{capture.id}/{id}",
        part_bytes=part_bytes_of(file.size, api.part_bytes),
    )


def _check_same(row: File, file: NewFile) -> None:
    """Conflict unless the declared file may be the one that is there or on its way."""
    sha256 = file.sha256 and file.sha256.lower()
    if row.state == "uploading" and row.sha256 is None:
        row.sha256 = sha256
    if row.state == "damaged" or row.size != file.size or sha256 not in (None, row.sha256):
        raise Conflict(
            f"the capture has a file {row.name[:80]!r} already, {row.state} and of {row.size} bytes",
            "Delete it first, or give this one another name",
        )


def _check_open(capture: Capture) -> None:
    if capture.expires_s is not None and capture.expires_s <= time.time():
        raise Conflict("the capture is past its time: what is added would be removed", "Make a new one")


def _check_names(session: Session, capture: Capture, added: dict[str, File]) -> None:
    """InputError if a file would be a folder of another, Conflict if there are too many."""
    names = {*session.scalars(select(File.name).where(File.capture_id == capture.id)), *added}
    if len(names) > MAX_FILES:
        raise Conflict(f"the capture would have {len(names)} files, more than {MAX_FILES}", "Put them into a zip, or make several captures")
    for name in names:
        if (folder := next((folder for folder in _folders(name) if folder in names), None)) is not None:
            raise InputError(f"{folder[:80]!r} can't be a file and the folder of {name[:80]!r}", "Rename one of them")


def _folders(name: str) -> Iterator[str]:
    end = name.find("/")
    while end > 0:
        yield name[:end]
        end = name.find("/", end + 1)


def _check_room(session: Session, api: ApiSettings, owner: Owner, sizes: Sequence[int]) -> None:
    quota = quota_of(owner, api)
    if max(sizes) > quota.upload_bytes:
        raise OverQuota(f"a file of {max(sizes)} bytes: at most {quota.upload_bytes} are allowed", "Split it, or ask who runs the service")
    stored = stored_bytes(session, owner.id)
    if stored + sum(sizes) > quota.storage_bytes:
        raise OverQuota(
            f"{sum(sizes)} bytes more than the {stored} that are stored or declared: at most {quota.storage_bytes} are allowed",
            "Delete captures or jobs that are no longer needed",
        )
