"""Errors as RFC 9457 problem documents (``application/problem+json``)."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match

from recon.errors import ReconError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
STATUS = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "over_quota": 403,
    "absent": 404,
    "not_found": 404,
    "conflict": 409,
    "too_large": 413,
    "input": 422,
    "config": 422,
    "empty_capture": 422,
    "hostile_archive": 422,
    "unreachable": 422,
    "damaged_upload": 422,
    "too_many_requests": 429,
    "store_refused": 502,
    "store_damaged": 502,
    "busy": 503,
    "store_away": 503,
    "broker_away": 503,
    "database_away": 503,
    "disk_full": 507,
}
"""HTTP status of each ``ReconError.code``; 500 for any other."""
_AWAY = 503


class Problem(BaseModel):
    """Why a request was refused, in words, and what to do about it."""

    type: str = Field("about:blank", examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    code: str = Field(description="machine-readable reason", examples=["absent"])
    detail: str = Field(examples=["there is no job 3f9c0d7c1b2a4e5f6a7b"])
    remedy: str = Field("", examples=["List your jobs with GET /v1/jobs"])
    errors: list[dict[str, Any]] = Field([], description="of a body or parameters that do not fit: where, and why")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """``responses=`` of a route: the problems it may answer with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _title(status), "content": content} for status in statuses}


def problem(status: int, code: str, detail: str, remedy: str = "", headers: dict[str, str] | None = None, **more: Any) -> Response:
    body = Problem(title=_title(status), status=status, code=code, detail=detail, remedy=remedy, **more)
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)


def status_of(error: ReconError) -> int:
    return STATUS.get(error.code, 500)


def of_error(error: ReconError) -> Response:
    status = status_of(error)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (429, _AWAY):
        headers["Retry-After"] = str(math.ceil(getattr(error, "retry_after_s", RETRY_AFTER_S)))
    if status >= 500:
        log.warning("%s: %s", error.code, error.message)
    return problem(status, error.code, error.message, error.remedy, headers)


def add_handlers(app: FastAPI) -> None:
    @app.exception_handler(ReconError)
    def _told(request: Request, error: ReconError) -> Response:  # noqa: ARG001
        return of_error(error)

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:  # noqa: ARG001
        found = [{"where": ".".join(map(str, row["loc"])), "why": row["msg"]} for row in error.errors()]
        first = found[0] if found else {"where": "body", "why": "invalid"}
        return problem(422, "invalid", f"{first['where']}: {first['why']}", errors=jsonable_encoder(found))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods(request))
        code = {400: "bad_request", 404: "absent", 405: "method_not_allowed"}.get(error.status_code, "http")
        return problem(error.status_code, code, str(error.detail), headers=headers)

    @app.exception_handler(Exception)
    def _fault(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "fault", "this is a fault in the service", "Please report it with the time and what you sent")


def _methods(request: Request) -> list[str]:
    """All methods of the path: Starlette names those of the first route that fits only."""
    found: set[str] = set()
    for route in _routes(request.app.routes):
        match, _ = route.matches({**request.scope, "method": "OPTIONS"})
        if match is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return sorted(found)


def _routes(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        router = getattr(route, "original_router", None)  # how FastAPI keeps a router that was included
        if router is None:
            yield route
        else:
            yield from _routes(router.routes)


def _title(status: int) -> str:
    from http import HTTPStatus

    return HTTPStatus(status).phrase
