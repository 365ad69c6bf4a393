"""The end of an upload's URL on a local store: a part goes to the disk as it comes. On S3 clients send parts to the store itself."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from api.captures.rows import part_size, parts_total
from api.captures.uploads import PARTS, begun, check_uploading
from api.errors import BadRequest, Conflict
from api.problems import responses
from api.service import Service, ServiceDep, absent
from recon.errors import TooLarge
from workers.bucket import CHUNK_BYTES
from workers.models import Capture, File
from workers.objects import LocalObjects
from workers.parts import PartWriter

SLOW_S = 300.0
"""A client that takes longer for a MiB is taken for gone."""
MAX_PIECES = 1000
GONE = "the file was completed or deleted meanwhile"

router = APIRouter(tags=["uploads"])
_THERE = {"description": "It is on the disk.", "headers": {"ETag": {"description": "of the part", "schema": {"type": "string"}}}}
_BODY = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}}


@router.put(
    f"{PARTS}{{token}}",
    summary="Send a part",
    responses={200: _THERE, **responses(403, 404, 409, 422, 507)},
    response_class=Response,
    openapi_extra=_BODY,
)
async def put_part(
    token: Annotated[str, Path(max_length=2000)],
    request: Request,
    service: ServiceDep,
    checksum: Annotated[
        str | None, Header(alias="x-amz-checksum-sha256", max_length=100, description="base64; as `headers` of the URL say")
    ] = None,
) -> Response:
    """Send one part's bytes to the URL that was given for it. The URL is the permission: no API key is needed.

    Nothing of a part counts before all of it has arrived, and it may be sent again at any time until the file is complete.
    """
    told = service.signer.check(token, "part")
    file = await run_in_threadpool(_uploading, service, told)
    number = int(told["number"])
    size = part_size(file, number)
    _check_stated(request.headers.get("content-length"), size)
    wanted = [digest for digest in (told["sha256"], _hex(checksum)) if digest is not None]
    with await run_in_threadpool(_writer, service, file, number) as writer:
        await _receive(request.stream(), writer, size)
        if any(digest != writer.sha256 for digest in wanted):
            raise BadRequest(f"the part's SHA-256 is {writer.sha256}, not the one that was announced", "Send it again")
        try:
            part = await run_in_threadpool(writer.keep)
        except KeyError:
            raise Conflict(GONE) from None
    return Response(headers={"ETag": f'"{part.etag}"'})


def _uploading(service: Service, told: dict[str, Any]) -> File:
    """The file that a URL is for, as long as it wants parts."""
    with service.node.database.reading() as session:
        file = session.get(File, told["file"])
        capture = session.get(Capture, file.capture_id) if file is not None else None
    if file is None or file.owner_id != told["owner"] or capture is None or capture.deleted_s is not None:
        raise absent(File, told["file"])
    check_uploading(file)
    if told["number"] > parts_total(file):
        raise absent(File, told["file"])
    return file


def _writer(service: Service, file: File, number: int) -> PartWriter:
    with service.place(file.owner_id) as place:
        if not isinstance(place.uploads, LocalObjects):
            raise absent(File, file.id)
        try:
            return place.uploads.part_writer(file.object, begun(service, place.uploads, file), number)
        except KeyError:
            raise Conflict(GONE) from None


def _check_stated(length: str | None, size: int) -> None:
    """Refuse what can't fit before it comes."""
    if length is not None and length.isdigit():
        _check_size(int(length), size)


def _check_size(arrived: int, size: int, *, is_whole: bool = True) -> None:
    if arrived > size:
        raise TooLarge(f"more than the {size} bytes of this part", "Cut the file as 'part_bytes' says")
    if is_whole and arrived < size:
        raise BadRequest(f"{arrived} bytes, not the {size} of this part", "Cut the file as 'part_bytes' says")


def _hex(checksum: str | None) -> str | None:
    if checksum is None:
        return None
    try:
        return base64.b64decode(checksum, validate=True).hex()
    except ValueError:
        raise BadRequest("x-amz-checksum-sha256 is not base64", "Send it as 'headers' of the URL say") from None


async def _receive(stream: AsyncIterator[bytes], writer: PartWriter, size: int) -> None:
    """Write the body as it comes. BadRequest or TooLarge if it is not ``size`` bytes or breaks off."""
    arrived, done = 0, False
    while not done:
        waiting: list[bytes] = []
        try:
            async with asyncio.timeout(SLOW_S):
                done = await _fill(waiting, stream, size - arrived)
        except (ClientDisconnect, TimeoutError):
            raise BadRequest("the part broke off", "Send it again") from None
        arrived += sum(map(len, waiting))
        _check_size(arrived, size, is_whole=done)
        await run_in_threadpool(writer.write, *waiting)


async def _fill(waiting: list[bytes], stream: AsyncIterator[bytes], most: int) -> bool:
    """Take a MiB, or what there is. True at the end; more than ``most`` is not waited for."""
    size = 0
    async for piece in stream:
        waiting.append(piece)
        size += len(piece)
        if size > most or size >= CHUNK_BYTES or len(waiting) >= MAX_PIECES:
            return False
    return True
