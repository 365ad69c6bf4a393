"""Files of a capture: declared, sent in parts, completed, deleted."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.captures import schemas, uploads
from api.captures.declare import declare
from api.captures.rows import held_capture, my_file, reopened, shown_file
from api.errors import Conflict
from api.idempotency import KeyHeader, once
from api.paging import Cursor, Limit, Page, page_of
from api.problems import responses
from api.service import Reader, Service, ServiceDep, Writer, mine
from workers.errors import StoreAway, StoreRefused
from workers.jobs import LIVE
from workers.models import Capture, File, Job

log = logging.getLogger(__name__)

router = APIRouter()


@router.post(
    "/v1/captures/{capture_id}/files",
    status_code=201,
    response_model=schemas.Files,
    summary="Declare files",
    responses=responses(401, 403, 404, 409, 422),
)
def add_files(capture_id: schemas.Id, body: schemas.NewFiles, service: ServiceDep, caller: Writer, key: KeyHeader = None) -> Response:
    """Say which files will come, all or none. Declared again with the same size, a file is given as it is, to go on with its upload."""

    def make(session: Session) -> schemas.Files:
        return declare(session, service.api, caller, capture_id, body.files)

    return once(service, caller, key, f"POST /v1/captures/{capture_id}/files", body, make)


@router.get("/v1/captures/{capture_id}/files", summary="List files", responses=responses(401, 403, 404, 422))
def list_files(capture_id: schemas.Id, service: ServiceDep, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page[schemas.File]:
    """The newest first."""
    with service.node.database.reading() as session:
        capture = mine(session, Capture, capture_id, caller)
        return page_of(session, select(File).where(File.capture_id == capture.id), File, limit, cursor, shown_file)


@router.get("/v1/files/{file_id}", summary="Look at a file", responses=responses(401, 403, 404, 422, 502))
def get_file(file_id: schemas.Id, service: ServiceDep, caller: Reader) -> schemas.FileWithParts:
    """With the parts that have arrived: what is not among them is still to be sent."""
    with service.node.database.reading() as session:
        file = my_file(session, file_id, caller)
    parts = [schemas.Part(number=part.number, size=part.size, etag=part.etag) for part in uploads.arrived(service, file)]
    return schemas.FileWithParts(**shown_file(file).model_dump(), parts=parts)


@router.delete("/v1/files/{file_id}", status_code=204, summary="Delete a file", responses=responses(401, 403, 404, 409, 422))
def delete_file(file_id: schemas.Id, service: ServiceDep, caller: Writer) -> None:
    """What has arrived of it goes too, and its capture is open again. Not while a job uses it."""
    with service.node.database.writing() as session:
        file = my_file(session, file_id, caller)
        capture = held_capture(session, file.capture_id, caller)
        if session.scalar(select(Job.id).where(Job.capture_id == capture.id, Job.state.in_(LIVE)).limit(1)) is not None:
            raise Conflict("a job uses the file", "Wait until it has ended, or cancel it")
        session.delete(file)
        reopened(capture)
    _drop_bytes(service, file)


@router.post(
    "/v1/files/{file_id}/parts",
    summary="Get URLs for parts",
    responses=responses(401, 403, 404, 409, 422, 502, 507),
)
def get_part_urls(
    file_id: schemas.Id, body: schemas.WantedParts, request: Request, service: ServiceDep, caller: Writer
) -> schemas.PartUrls:
    """Where to PUT parts, in any order and several at a time. Ask again for URLs that expired, and for parts that broke off."""
    with service.node.database.reading() as session:
        file = my_file(session, file_id, caller)
    return schemas.PartUrls(parts=uploads.part_urls(service, request, file, body))


@router.post(
    "/v1/files/{file_id}/complete",
    summary="Complete a file",
    responses=responses(401, 403, 404, 409, 422, 502, 507),
)
def complete_file(file_id: schemas.Id, service: ServiceDep, caller: Writer) -> schemas.File:
    """Make it of its parts; repeating it does no harm. If the content has another SHA-256 than was declared, all its parts are dropped.

    On S3 that is found when the capture is inspected: the file's state is `damaged` then.
    """
    return shown_file(uploads.complete(service, caller, file_id))


def _drop_bytes(service: Service, file: File) -> None:
    try:
        with service.place(file.owner_id) as place:
            uploads.drop_bytes(place.uploads, file)
    except (StoreAway, StoreRefused) as error:  # its row is gone, so the next sweep finds what was left
        log.warning("bytes of the deleted file %s stay for now: %s", file.id, error)
