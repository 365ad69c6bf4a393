"""Whether the service runs, and how it fares: for load balancers and monitoring, without a key."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import redis
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import text

from api.problems import RETRY_AFTER_S
from api.service import Service, ServiceDep
from recon import __version__
from workers.errors import StoreRefused
from workers.events import address
from workers.places import shared_bucket

log = logging.getLogger(__name__)

WAIT_S = 3.0
State = Literal["ready", "away"]

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    status: Literal["ok"] = "ok"
    version: str = Field(examples=["0.1.0"])


class Readiness(BaseModel):
    """Why a part is away is in the service's log: whoever asks here need not be known."""

    status: State = Field(examples=["ready"])
    database: State = Field(examples=["ready"])
    broker: State = Field(examples=["ready"])
    store: State = Field(examples=["ready"])


@router.get("/healthz", summary="Whether the process serves")
def healthz() -> Alive:
    """Always 200. A process that does not answer should be started again."""
    return Alive(version=__version__)


@router.get(
    "/readyz",
    summary="Whether all parts can be reached",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Some part is away"}},
)
def readyz(service: ServiceDep) -> JSONResponse:
    """Database, broker and store, each asked now and given three seconds. 503 if any is away: send requests elsewhere."""
    states = _states(service)
    is_ready = all(state == "ready" for state in states.values())
    found = Readiness(status="ready" if is_ready else "away", **states)
    if is_ready:
        return JSONResponse(found.model_dump())
    return JSONResponse(found.model_dump(), 503, {"Retry-After": str(RETRY_AFTER_S)})


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses={200: {"description": "Prometheus text format", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request) -> PlainTextResponse:
    """Requests, queues, live jobs, seconds of stages, failures by code, workers, bytes stored, use of graphics cards."""
    return PlainTextResponse(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _states(service: Service) -> dict[str, State]:
    states: dict[str, State] = dict.fromkeys(_CHECKS, "away")

    def look(name: str, check: Callable[[Service], None]) -> None:
        try:
            check(service)
            states[name] = "ready"
        except Exception as error:  # whatever it is, the part does not serve
            log.warning("%s is away: %s", name, error)

    # daemons: one that hangs keeps neither the answer nor the process's end waiting
    threads = [threading.Thread(target=look, args=row, daemon=True) for row in _CHECKS.items()]
    end_s = time.monotonic() + WAIT_S
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end_s - time.monotonic()))
    return dict(states)


def _check_database(service: Service) -> None:
    with service.node.database.reading() as session:
        session.execute(text("select 1"))


def _check_broker(service: Service) -> None:
    url = address(service.settings.broker_url)
    with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
        client.ping()


def _check_store(service: Service) -> None:
    if service.settings.bucket is None:
        if not os.access(service.settings.folder, os.W_OK):
            raise StoreRefused(f"{service.settings.folder} can't be written to")
        return
    # an object that need not exist: the answer is what counts
    replace(shared_bucket(service.settings), connect_timeout_s=1.0, read_timeout_s=2.0, tries=1).find("ready")


_CHECKS: dict[str, Callable[[Service], None]] = {"database": _check_database, "broker": _check_broker, "store": _check_store}
