"""An upload from its first URL to the whole file. What has arrived, the store knows: no row is written for a part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fastapi import Request

from api.captures.presigned import forget_checksums, part_url, presigned, with_checksums
from api.captures.rows import my_file, part_size, parts_total
from api.captures.schemas import PartUrl, WantedParts
from api.errors import Conflict
from api.service import Caller, Service, absent
from recon.errors import InputError
from workers.bucket import Bucket, Part
from workers.errors import DamagedUpload
from workers.models import File
from workers.objects import LocalObjects, Objects

PARTS = "/v1/parts/"
_MAY = "part"
_SHOWN = 10


def arrived(service: Service, file: File) -> list[Part]:
    """The parts of a file that is uploading."""
    if file.upload is None:
        return []
    with service.place(file.owner_id) as place:
        try:
            return place.uploads.parts(file.object, file.upload)
        except KeyError:
            return []


def part_urls(service: Service, request: Request, file: File, wanted: WantedParts) -> list[PartUrl]:
    """Where these parts go to. InputError for one that the file does not have, Conflict if nothing is wanted any more."""
    check_uploading(file)
    numbers = sorted(set(wanted.numbers))
    total = parts_total(file)
    if numbers[-1] > total:
        raise InputError(f"the file has no part {numbers[-1]}", f"It has parts 1 to {total}")
    digests = _digests(wanted.sha256, numbers)
    with service.place(file.owner_id) as place:
        upload = begun(service, place.uploads, file, checksums=len(digests) == len(numbers))
        if isinstance(place.uploads, Bucket):
            return presigned(service, place.uploads, file, upload, numbers, digests)
    return [_signed(service, request, file, number, digests.get(number)) for number in numbers]


def begun(service: Service, objects: Objects, file: File, *, checksums: bool = False) -> str:
    """Id of the file's upload, which is begun now if it was not. Absent or Conflict if the file was deleted or is whole."""
    if file.upload is not None:
        return file.upload
    mine = _start(objects, file, checksums)
    try:
        with service.node.database.writing() as session:
            row = session.get(File, file.id, with_for_update=True)
            if row is None:
                raise absent(File, file.id)
            check_uploading(row)
            row.upload = upload = row.upload or mine
    except BaseException:
        objects.drop_upload(file.object, mine)
        raise
    if upload != mine:  # another request was first
        objects.drop_upload(file.object, mine)
    return upload


def complete(service: Service, caller: Caller, file_id: str) -> File:
    """Make a file of its parts. Safe to repeat, at the same time too, and after a kill in the middle.

    Conflict that names the parts if some are missing or have a wrong size; DamagedUpload for a wrong SHA-256: all begins anew;
    Busy if another request has been at it for long.
    """
    with service.node.database.reading() as session:
        file = my_file(session, file_id, caller)
    if file.state == "whole":
        return file
    check_uploading(file)
    with service.place(file.owner_id) as place:
        _join(service, place.uploads, file)
        return _note_whole(service, place.uploads, file)


def check_uploading(file: File) -> None:
    if file.state == "damaged":
        raise Conflict("the file came damaged", "Delete it and upload it again")
    if file.state != "uploading":
        raise Conflict("the file is whole already", "Nothing is left to send")


def drop_bytes(objects: Objects, file: File) -> None:
    """Remove what there is of a file."""
    if file.upload is not None:
        objects.drop_upload(file.object, file.upload)
    objects.delete([file.object])


def _start(objects: Objects, file: File, checksums: bool) -> str:
    if isinstance(objects, LocalObjects):
        return objects.start_upload(file.object, file.part_bytes)
    assert isinstance(objects, Bucket)
    return objects.start_upload(file.object, checksums=checksums)


def _digests(given: Mapping[str, str], numbers: Sequence[int]) -> dict[int, str]:
    if other := sorted(set(given) - {str(number) for number in numbers}):
        raise InputError(f"'sha256' names part {other[0][:20]!r}, and 'numbers' does not", "Give checksums of parts that you ask for")
    return {int(number): digest.lower() for number, digest in given.items()}


def _signed(service: Service, request: Request, file: File, number: int, sha256: str | None) -> PartUrl:
    expires_s = service.api.url_s
    token = service.signer.sign(_MAY, expires_s, file=file.id, owner=file.owner_id, number=number, sha256=sha256)
    return part_url(file, number, service.url(request, f"{PARTS}{token}"), sha256, expires_s)


def _join(service: Service, objects: Objects, file: File) -> None:
    """The parts become the object, if they have not yet."""
    try:
        if file.upload is not None:
            parts = objects.parts(file.object, file.upload)
            _check(file, parts)
            if Bucket.has_checksums(file.upload):
                parts = with_checksums(service, file, parts)
            _finish(objects, file, file.upload, parts)
    except KeyError:  # another request has finished it, or one that was killed before it could note so
        pass
    except DamagedUpload:
        _begin_anew(service, objects, file)
        raise
    stored = objects.find(file.object)
    if stored is None or stored.size != file.size:
        if stored is not None:
            objects.delete([file.object])
        _begin_anew(service, objects, file)
        _check(file, [])


def _finish(objects: Objects, file: File, upload: str, parts: Sequence[Part]) -> None:
    if isinstance(objects, LocalObjects):
        objects.finish_upload(file.object, upload, parts, file.sha256)
    else:  # the content's SHA-256 is looked at when the capture is inspected, which reads it anyway
        objects.finish_upload(file.object, upload, parts)


def _check(file: File, parts: Sequence[Part]) -> None:
    sizes = {part.number: part.size for part in parts}
    total = parts_total(file)
    missing = [number for number in range(1, total + 1) if number not in sizes]
    wrong = [number for number, size in sizes.items() if number > total or size != part_size(file, number)]
    if missing or wrong:
        told = [f"{word}: {_listed(numbers)}" for word, numbers in (("missing", missing), ("of a wrong size", wrong)) if numbers]
        raise Conflict(f"parts of the file are {' and '.join(told)}", "Send these, then complete it again")


def _listed(numbers: Iterable[int]) -> str:
    """``1-3, 7``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    more = ", ..." if len(runs) > _SHOWN else ""
    return ", ".join("-".join(map(str, run)) for run in runs[:_SHOWN]) + more


def _begin_anew(service: Service, objects: Objects, file: File) -> None:
    """Drop the parts; the next URL begins another upload."""
    if file.upload is None:
        return
    with service.node.database.writing() as session:
        row = session.get(File, file.id, with_for_update=True)
        if row is not None and row.upload == file.upload:
            row.upload = None
            forget_checksums(session, file)
    objects.drop_upload(file.object, file.upload)


def _note_whole(service: Service, objects: Objects, file: File) -> File:
    with service.node.database.writing() as session:
        row = session.get(File, file.id, with_for_update=True)
        if row is not None and row.state == "uploading":
            row.state, row.upload = "whole", None
            forget_checksums(session, file)
    if row is None:  # deleted while it was joined
        objects.delete([file.object])
        raise absent(File, file.id)
    return row
