"""``/v1/jobs/{id}/artifacts``: the list, one file, one zip of chosen ones."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Security
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from fastapi.security import APIKeyQuery, HTTPAuthorizationCredentials
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.artifacts import schemas
from api.artifacts.kept import Kept
from api.artifacts.listed import artifact_rows, show_artifacts
from api.artifacts.media import disposition, etag, headers
from api.artifacts.ranges import OutOfRange, is_known, wanted
from api.artifacts.zipped import zipped
from api.errors import Absent, Conflict, Forbidden
from api.jobs.schemas import JobId
from api.problems import problem, responses
from api.service import Caller, Reader, Service, ServiceDep, allowed, bearer, mine, the_caller
from api.shares.tokens import holds
from recon.errors import ReconError
from workers.models import Artifact, Job, Share

router = APIRouter(prefix="/v1/jobs", tags=["artifacts"])

SHARED_S = 60
"""How long a store's own URL holds that a share led to."""
_BYTES: dict[str, Any] = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", **_BYTES},
    206: {"description": "The part that `Range` asked for", **_BYTES},
    304: {"description": "The client has it already (`If-None-Match`)"},
    307: {"description": "Where the store gives it away; `Range` works there too"},
}


_signed = APIKeyQuery(name="token", auto_error=False, scheme_name="signed", description="Of a signed URL, as the list gives it")


def the_holder(
    request: Request,
    service: ServiceDep,
    id: JobId,
    name: str,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
    token: Annotated[str | None, Security(_signed)],
) -> Caller:
    """Who has a key that may read, or a URL that we signed for this very file."""
    if token is None:
        return allowed(the_caller(request, service, credentials), "read")
    told = service.signer.check(token, "artifact")
    if (told["job"], told["name"]) != (id, name):
        raise Forbidden("the URL is for another file", "Ask for a new one")
    return _signed_for(request, service, told)


def the_zip_holder(
    request: Request,
    service: ServiceDep,
    id: JobId,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
    token: Annotated[str | None, Security(_signed)],
) -> Caller:
    """Who has a key that may read, or a URL that we signed for the zip of this job."""
    if token is None:
        return allowed(the_caller(request, service, credentials), "read")
    told = service.signer.check(token, "artifacts")
    if told["job"] != id:
        raise Forbidden("the URL is for another job", "Ask for a new one")
    return _signed_for(request, service, told)


def _signed_for(request: Request, service: Service, told: dict[str, Any]) -> Caller:
    """Whose URL it is. Forbidden if it came from a share that has ended."""
    if "share" in told:
        with service.node.database.reading() as session:
            if not holds(session.get(Share, told["share"])):
                raise Forbidden("the share has expired or was revoked", "Ask for a new link")
        request.state.shared = True
    request.state.owner_id = told["owner"]  # for the log
    return Caller(told["owner"], "", frozenset({"read"}))


Holder = Annotated[Caller, Depends(the_holder)]
ZipHolder = Annotated[Caller, Depends(the_zip_holder)]


@router.get("/{id}/artifacts", summary="List a job's artifacts", responses=responses(401, 403, 404, 422))
def list_artifacts(request: Request, id: JobId, caller: Reader, service: ServiceDep) -> schemas.Artifacts:
    """Results of a job that is done, and previews of one that runs. Each comes with a URL that needs no key."""
    with service.node.database.reading() as session:
        job = mine(session, Job, id, caller)
        return show_artifacts(service, request, session, job)


@router.get(
    "/{id}/artifacts.zip",
    summary="Download artifacts as one zip",
    response_class=StreamingResponse,
    responses={200: {"description": "The zip", "content": {"application/zip": {}}}, **responses(401, 403, 404, 409, 422, 502)},
)
def get_artifacts_zip(
    id: JobId,
    caller: ZipHolder,
    service: ServiceDep,
    name: Annotated[list[str] | None, Query(max_length=1000, description="the artifacts wanted; left out: all results")] = None,
) -> StreamingResponse:
    """Made while it is sent, so its length is not known before. A zip that breaks off does not open: fetch it again."""
    with service.node.database.reading() as session:
        chosen = _chosen(artifact_rows(session, mine(session, Job, id, caller)), name)
    with service.place(caller.owner_id) as place:
        kept = Kept(place)
        for artifact in chosen:  # once it has begun there is no other way to say that one is missing than to break off
            kept.key(artifact)
    told = {"Content-Disposition": disposition(f"{id}.zip"), "X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"}
    return StreamingResponse(zipped(kept, chosen), headers=told, media_type="application/zip")


@router.head("/{id}/artifacts/{name:path}", include_in_schema=False)
@router.get(
    "/{id}/artifacts/{name:path}",
    summary="Download an artifact",
    response_class=StreamingResponse,
    responses={**_FILE, **responses(401, 403, 404, 416, 422, 502)},
)
def get_artifact(
    request: Request,
    id: JobId,
    name: str,
    caller: Holder,
    service: ServiceDep,
    stream: Annotated[bool, Query(description="never redirect: for clients that can't follow")] = False,
) -> Response:
    """The file, whole or the one range asked for, with its SHA-256 as ETag. From a store on S3 the answer is where to fetch it."""
    with service.node.database.reading() as session:
        artifact = _named(session, mine(session, Job, id, caller), name)
    told = headers(artifact.name, artifact.sha256)
    if is_known(request.headers.get("if-none-match"), etag(artifact.sha256)):
        return Response(status_code=304, headers={key: told[key] for key in ("ETag", "Cache-Control")})
    with service.place(caller.owner_id) as place:
        kept = Kept(place)
        # revoking a share can't call back what S3 has signed: that holds for long enough to follow it only
        holds_s = SHARED_S if getattr(request.state, "shared", False) else service.api.url_s
        url = None if stream or request.method == "HEAD" else kept.url(artifact, holds_s)
        if url is not None:
            return RedirectResponse(url, 307, {"Cache-Control": "private, no-store"})
        return _sent(request, kept, artifact, told)


def _sent(request: Request, kept: Kept, artifact: Artifact, told: dict[str, str]) -> Response:
    """The bytes, through this process."""
    key = kept.checked_key(artifact)
    asked = request.headers.get("range") if request.method == "GET" else None
    try:
        part = wanted(asked, request.headers.get("if-range"), etag(artifact.sha256), artifact.size)
    except OutOfRange:
        beyond = {"Content-Range": f"bytes */{artifact.size}"}
        return problem(416, "out_of_range", f"{artifact.name} has {artifact.size} bytes, none of them in that range", headers=beyond)
    start, end = part or (0, artifact.size)
    told = {**told, "Content-Length": str(end - start)}
    if request.method == "HEAD":
        return Response(headers=told)
    if part is not None:
        told["Content-Range"] = f"bytes {start}-{end - 1}/{artifact.size}"
    return StreamingResponse(kept.objects.stream(key, start, end), 200 if part is None else 206, told)


def _named(session: Session, job: Job, name: str) -> Artifact:
    # PostgreSQL knows no text with a NUL, not even to say that there is none
    row = None if "\0" in name else session.scalar(select(Artifact).where(Artifact.job_id == job.id, Artifact.name == name))
    if row is None:
        raise _absent(name)
    return row


def _absent(name: str) -> ReconError:
    return Absent(f"the job has no artifact {name[:200]!r}", "List them with GET /v1/jobs/{id}/artifacts")


def _chosen(rows: list[Artifact], names: list[str] | None) -> list[Artifact]:
    if names is None:
        chosen = [row for row in rows if row.kind == "result"]
        if not chosen:
            raise Conflict("the job has no results", "Wait until it is done")
        return chosen
    if missing := set(names) - {row.name for row in rows}:
        raise _absent(min(missing))
    return [row for row in rows if row.name in names]
