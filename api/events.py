"""A job's events as they come (server-sent events), or those so far as JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.feeds import Feeds, Line
from api.jobs.schemas import EventPage, JobId, ToldEvent
from api.kept import Position, is_over, page, position
from api.problems import responses
from api.service import Reader, ServiceDep, mine
from workers.events import START, Told
from workers.jobs import LIVE
from workers.models import Job

HEARTBEAT_S = 15
AGAIN_MS = 1000
"""When a browser that lost the connection comes back."""
STALLED_S = 60.0
"""A client that takes nothing for so long is let go."""
_ID = r"^[0-9]{1,15}-[0-9]{1,10}$"
_EXAMPLE = (
    'id: 1767225650123-0\r\nevent: stage\r\ndata: {"stage": "sfm", "state": "done", "shards": 1, "shards_done": 1}\r\n\r\n'
    'id: 1767225650410-0\r\nevent: job\r\ndata: {"state": "done"}\r\n\r\n'
)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": EventPage,
        "description": "The events",
        "content": {"text/event-stream": {"example": _EXAMPLE}},
    },
    204: {"description": "The job has ended and all its events came before: a browser asks no more"},
}

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


def the_job(id: JobId, caller: Reader, service: ServiceDep) -> Job:
    with service.node.database.reading() as session:
        return mine(session, Job, id, caller)


async def the_feeds(request: Request, service: ServiceDep) -> Feeds:
    state = request.app.state
    if not hasattr(state, "feeds"):
        state.feeds = Feeds(service.node)
    feeds: Feeds = state.feeds
    return feeds


@router.get("/{id}/events", summary="Follow a job", response_model=None, responses={**_ANSWERS, **responses(401, 403, 404, 422)})
async def follow_job(
    request: Request,
    job: Annotated[Job, Depends(the_job)],
    feeds: Annotated[Feeds, Depends(the_feeds)],
    service: ServiceDep,
    last: Annotated[str | None, Header(alias="Last-Event-ID", pattern=_ID, description="events after that one only")] = None,
    after: Annotated[str | None, Query(pattern=_ID, description="the same, for those who can't set headers")] = None,
    limit: Annotated[int, Query(ge=1, le=5000, description="events of a JSON page, about")] = 1000,
) -> Response:
    """All that the job has told and will tell, until it ends; comments in between keep the connection open. One who comes back with the
    id of the last event misses none. With `Accept: application/json`: a page of those so far.

    Kinds: `job` (`state`, `error`), `stage` (`stage`, `state`, `shards`, `shards_done`), `artifact` (`name`, `kind`: a preview is there),
    `progress` (of a stage: `fraction`, `message`), `log`, `warning` (`message`).
    """
    at = position(last or after or START)
    accepted = request.headers.get("accept", "")
    if "application/json" in accepted and "text/event-stream" not in accepted:
        told, newest = await run_in_threadpool(page, service.node, job.id, at, limit)
        return JSONResponse(_page(told, newest).model_dump())
    told, newest = await run_in_threadpool(page, service.node, job.id, at)
    if not told and job.state not in LIVE and await run_in_threadpool(is_over, service.node, job.id):
        return Response(status_code=204)
    return EventSourceResponse(_lines(feeds, job.id, at, told, newest), ping=HEARTBEAT_S, send_timeout=STALLED_S)


async def _lines(feeds: Feeds, job_id: str, at: Position, told: Sequence[Told], newest: Position) -> AsyncIterator[bytes]:
    yield ServerSentEvent(retry=AGAIN_MS).encode()
    for line in map(Line.of, told):
        yield line.sent
        at = line.at
        if line.is_end:
            return
    with feeds.following(job_id, newest) as feed:
        async for sent in feed.after(at):
            yield sent


def _page(told: Sequence[Told], newest: Position) -> EventPage:
    items = [ToldEvent.model_validate(vars(event)) for event in told]
    return EventPage(items=items, next=items[-1].id if items and position(items[-1].id) < newest else None)
