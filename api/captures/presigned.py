"""URLs of parts that go past us, straight to S3."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from api.captures.rows import part_size
from api.captures.schemas import PartUrl
from api.service import Service, absent
from recon.errors import InputError
from workers import models
from workers.bucket import Bucket, Part
from workers.models import File


def presigned(
    service: Service, bucket: Bucket, file: File, upload: str, numbers: Sequence[int], digests: Mapping[int, str]
) -> list[PartUrl]:
    """InputError if the upload began with checksums and one is missing. If it began without, they are not used."""
    is_checked = Bucket.has_checksums(upload)
    if is_checked:
        if without := [number for number in numbers if number not in digests]:
            raise InputError(f"no SHA-256 of part {without[0]}", "The file's first parts came with one: give it for each part")
        _keep_checksums(service, file, digests)
    return [_one(service, bucket, file, upload, number, digests[number] if is_checked else None) for number in numbers]


def with_checksums(service: Service, file: File, parts: Sequence[Part]) -> list[Part]:
    """The parts with their checksums, where the store does not list them."""
    with service.node.database.reading() as session:
        query = select(models.Part.number, models.Part.sha256).where(models.Part.file_id == file.id)
        kept = {number: sha256 for number, sha256 in session.execute(query) if sha256}
    return [replace(part, sha256=_base64(kept[part.number])) if not part.sha256 and part.number in kept else part for part in parts]


def forget_checksums(session: Session, file: File) -> None:
    session.execute(delete(models.Part).where(models.Part.file_id == file.id))


def part_url(file: File, number: int, url: str, sha256: str | None, holds_s: float) -> PartUrl:
    headers = {"x-amz-checksum-sha256": _base64(sha256)} if sha256 else {}
    return PartUrl(number=number, size=part_size(file, number), url=url, headers=headers, expires_s=time.time() + holds_s)


def _one(service: Service, bucket: Bucket, file: File, upload: str, number: int, sha256: str | None) -> PartUrl:
    digest = _base64(sha256) if sha256 else ""
    url = bucket.url_to_put_part(file.object, upload, number, service.api.url_s, part_size(file, number), digest)
    return part_url(file, number, url, sha256, service.api.url_s)


def _keep_checksums(service: Service, file: File, digests: Mapping[int, str]) -> None:
    with service.node.database.writing() as session:
        if session.get(File, file.id, with_for_update=True) is None:  # held: two requests for one part would both add it
            raise absent(File, file.id)
        session.execute(delete(models.Part).where(models.Part.file_id == file.id, models.Part.number.in_(digests)))
        session.add_all(
            models.Part(owner_id=file.owner_id, file_id=file.id, number=number, size=part_size(file, number), etag="", sha256=sha256)
            for number, sha256 in digests.items()
        )


def _base64(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()
