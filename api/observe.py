"""What surrounds every request: its id, a line in the log, its place in the metrics, its span."""

from __future__ import annotations

import logging
import re
import secrets
import time

from fastapi import FastAPI
from opentelemetry.trace import Span
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics
from api.service import Service
from workers import tracing
from workers.logs import about, log_as_json

log = logging.getLogger("api.requests")

HEADER = b"x-request-id"
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_CLIENT_LEFT = 499
_UNTRACED = "/healthz$,/readyz$,/metrics$,/v1/parts/"
_QUERY_NAMES = ("url.query", "url.full", "http.url", "http.target")


def observe(app: FastAPI) -> None:
    """Add request ids, metrics and, where they are wanted, JSON logs and traces. The last of the middlewares: it sees all requests."""
    service: Service = app.state.service
    if service.settings.json_logs:
        log_as_json()
    app.state.metrics = Metrics(service.node)
    app.add_middleware(Observed, metrics=app.state.metrics)
    provider = tracing.provider()
    if provider is not None:
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(
            app,
            tracer_provider=provider,
            excluded_urls=_UNTRACED,
            exclude_spans=["receive", "send"],
            server_request_hook=_hide_token,
        )


class Observed:
    """A request's id is the client's own where that is sane; it comes back as X-Request-Id and is in every line of the log."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        began_s, took_s, status = time.monotonic(), 0.0, 0

        async def send_on(message: Message) -> None:
            nonlocal took_s, status
            if message["type"] == "http.response.start":
                took_s, status = time.monotonic() - began_s, message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id)]
            await send(message)

        with about(request=request_id.decode()):
            try:
                await self.app(scope, receive, send_on)
            except Exception as error:
                if status:
                    raise
                # answered here and not further out, where the answer would miss its id
                await scope["app"].exception_handlers[Exception](Request(scope), error)(scope, receive, send_on)
            finally:
                self._note(scope, status or _CLIENT_LEFT, took_s)

    def _note(self, scope: Scope, status: int, took_s: float) -> None:
        # the route's template and never the path: that has ids and the tokens of signed URLs
        route = getattr(scope.get("route"), "path_format", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.requests.labels(route, method, status).inc()
        self.metrics.request_seconds.labels(route, method).observe(took_s)
        told = {"route": route, "status": status, "took_s": round(took_s, 4), "owner": scope.get("state", {}).get("owner_id")}
        if route.startswith("/v1/jobs/{id}"):
            told["job"] = scope.get("path_params", {}).get("id")
        log.info("%s %s %d", method, route, status, extra=told)


def _request_id(scope: Scope) -> bytes:
    sent: bytes = dict(scope["headers"]).get(HEADER, b"")
    return sent if _SANE.fullmatch(sent) else secrets.token_hex(8).encode()


def _hide_token(span: Span, scope: Scope) -> None:
    """A signed URL opens what it is for to whoever reads the trace."""
    if span.is_recording() and b"token=" in scope.get("query_string", b""):
        for name in _QUERY_NAMES:
            if name in getattr(span, "attributes", {}):
                span.set_attribute(name, scope["path"] if name != "url.query" else "")
