"""One file of an import on its way into the owner's uploads: part by part, counted, and found again by the next try."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from recon.errors import Cancelled, InputError, TooLarge
from workers.bucket import Part
from workers.chores import Errand, held
from workers.errors import OverQuota
from workers.models import Chore, File, new_id
from workers.node import Node
from workers.places import Place
from workers.stored import stored_bytes

PART_BYTES = 16 * 2**20
MAX_PARTS = 9000
"""S3 takes ten thousand."""
TICK_S = 1.0


class Intake:
    """Takes the bytes of one new file of the capture. Holds one part of it in memory. ``done``: files and bytes before this one.

    InputError if the capture has such a file, but with ``may_exist`` one of the same size that is whole counts as this one.
    ``add`` raises TooLarge and OverQuota as soon as a limit is passed, and Cancelled once nobody wants the file.
    """

    def __init__(
        self,
        node: Node,
        place: Place,
        errand: Errand,
        name: str,
        expected: int | None,
        tag: str,
        *,
        done: tuple[int, int] = (0, 0),
        may_exist: bool = False,
        kept: File | None = None,
    ) -> None:
        self.node, self.place, self.errand = node, place, errand
        self.tag = tag
        """By what the next try can tell that the file is still the same."""
        self._files_before, self._bytes_before = done
        self._buffer = bytearray()
        self._parts: list[Part] = []
        self._sent = 0
        self._digest: hashlib._Hash | None = hashlib.sha256() if kept is None else None
        self._told_s = time.monotonic()
        self._others = 0
        self.row = kept or self._find_or_begin(name, expected, may_exist)
        if self.is_whole:
            return
        if kept is not None:
            self._take_up()
        self._tell()
        self._check_limits(max(self.size, expected or 0))

    @property
    def is_whole(self) -> bool:
        return self.row.state == "whole"

    @property
    def size(self) -> int:
        return self._sent + len(self._buffer)

    def add(self, chunk: bytes) -> None:
        self._buffer += chunk
        if self._digest is not None:
            self._digest.update(chunk)
        if time.monotonic() - self._told_s > TICK_S:
            self._told_s = time.monotonic()
            self._tell()
        self._check_limits(self.size)
        while len(self._buffer) >= self.row.part_bytes:
            self._send(self.row.part_bytes)

    def finish(self) -> None:
        """The file is whole: join its parts."""
        size = self.size
        if self._buffer:
            self._send(len(self._buffer))
        self._tell()
        assert self.row.upload is not None
        try:
            self.place.uploads.finish_upload(self.row.object, self.row.upload, self._parts)
        except KeyError:  # joined already, by a try whose process died right then
            stored = self.place.uploads.find(self.row.object)
            if stored is None or stored.size != size:
                raise
        with self.node.database.writing() as session:
            chore = self._held(session)
            file = session.get(File, self.row.id)
            if file is None:
                raise Cancelled("the file was deleted while it came in")
            file.state, file.size, file.upload = "whole", size, None
            file.sha256 = self._digest.hexdigest() if self._digest else None
            chore.what = {**chore.what, "files": self._files_before + 1, "bytes": self._bytes_before + size}

    def drop(self) -> None:
        """Forget the file and what came of it."""
        with self.node.database.writing() as session:
            self._held(session)
            _delete(session, self.row.id)
        if self.row.upload is not None:
            self.place.uploads.drop_upload(self.row.object, self.row.upload)

    def _find_or_begin(self, name: str, expected: int | None, may_exist: bool) -> File:
        with self.node.database.reading() as session:
            present = _of_name(session, self.errand.capture_id, name)
        if present is not None:
            if may_exist and present.state == "whole" and present.size == expected:
                return present
            raise _taken(name)
        part_bytes = max(PART_BYTES, -(-(expected or 0) // MAX_PARTS))
        key = f"{self.errand.capture_id}/{new_id()}"
        upload = self.place.uploads.start_upload(key)
        with self.node.database.writing() as session:
            chore = self._held(session)
            file = File(
                owner_id=self.errand.owner_id,
                capture_id=self.errand.capture_id,
                name=name,
                size=expected or 0,
                object=key,
                upload=upload,
                part_bytes=part_bytes,
            )
            session.add(file)
            try:
                session.flush()
            except IntegrityError:
                raise _taken(name) from None
            chore.what = {**chore.what, "file": file.id, "tag": self.tag}
        return file

    def _take_up(self) -> None:
        """Go on behind the parts that arrived one after another in an earlier try."""
        assert self.row.upload is not None
        for part in self.place.uploads.parts(self.row.object, self.row.upload):
            if part.number == len(self._parts) + 1 and part.size == self.row.part_bytes:
                self._parts.append(part)
                self._sent += part.size

    def _send(self, size: int) -> None:
        content, number = bytes(self._buffer[:size]), len(self._parts) + 1
        if number > MAX_PARTS + 1:
            raise TooLarge(f"the file is larger than {MAX_PARTS * self.row.part_bytes:,} bytes, and the server did not say so before")
        assert self.row.upload is not None
        self._parts.append(self.place.uploads.send_part(self.row.object, self.row.upload, number, content))
        self._sent += size
        del self._buffer[:size]

    def _check_limits(self, size: int) -> None:
        largest, most = int(self.errand.what["max_upload_bytes"]), int(self.errand.what["max_storage_bytes"])
        if size > largest:
            raise TooLarge(f"the file has more than {largest:,} bytes, the most that you may upload", "Import a smaller one")
        if self._others + size > most:
            raise OverQuota(f"with this file you would store more than {most:,} bytes", "Delete captures or results first")

    def _tell(self) -> None:
        """Note how far it is, and look how much the owner stores besides."""
        with self.node.database.writing() as session:
            chore = self._held(session)
            file = session.get(File, self.row.id)
            if file is None:
                raise Cancelled("the file was deleted while it came in")
            self._others = stored_bytes(session, self.errand.owner_id) - file.size
            file.size = max(file.size, self.size)
            chore.what = {**chore.what, "files": self._files_before, "bytes": self._bytes_before + self.size}

    def _held(self, session: Session) -> Chore:
        chore = held(session, self.errand)
        if chore is None:
            raise Cancelled("the import was stopped")
        return chore


def kept_intake(node: Node, place: Place, errand: Errand) -> Intake | None:
    """What an earlier try of this import began; None if there is nothing to go on from."""
    with node.database.reading() as session:
        file = session.get(File, errand.what["file"]) if "file" in errand.what else None
    if file is None:
        return None
    with suppress(KeyError):
        return Intake(node, place, errand, file.name, None, str(errand.what.get("tag", "")), kept=file)
    with node.database.writing() as session:  # its parts are gone from the store
        _delete(session, file.id)
    return None


def drop_unfinished(node: Node, chore: Chore) -> None:
    """Remove the half of a file that an import left which ended."""
    with node.database.writing() as session:
        file = session.get(File, chore.what["file"]) if "file" in chore.what else None
        if file is None or file.state != "uploading":
            return
        session.delete(file)
    if file.upload is not None:
        node.place(file.owner_id).uploads.drop_upload(file.object, file.upload)


def _taken(name: str) -> InputError:
    return InputError(f"the capture has a file {name!r} already", "Delete it first, or import into another capture")


def _delete(session: Session, file_id: str) -> None:
    file = session.get(File, file_id)
    if file is not None:
        session.delete(file)


def _of_name(session: Session, capture_id: str, name: str) -> File | None:
    return session.scalar(select(File).where(File.capture_id == capture_id, File.name == name))
