"""OpenTelemetry: one trace from the request that made a job to each of its shards.

Does nothing unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set; the other ``OTEL_...`` variables mean what they mean everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_providers: dict[int, TracerProvider] = {}
_context = TraceContextTextMapPropagator()


def provider() -> TracerProvider | None:
    """Sends this process's spans to the endpoint; None without one. A forked process makes its own: threads do not survive a fork."""
    if not os.environ.get(ENDPOINT):
        return None
    if os.getpid() not in _providers:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        made = TracerProvider(resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "recon")}))
        made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        _providers[os.getpid()] = made
    return _providers[os.getpid()]


def traceparent() -> str | None:
    """The span that is open here, as W3C trace context; None if there is none."""
    if not trace.get_current_span().get_span_context().is_valid:
        return None
    carrier: dict[str, str] = {}
    _context.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def span(name: str, parent: str | None, **about: str | int) -> Iterator[None]:
    """A span below ``parent``, a traceparent; of its own without one. What is raised in it is noted on it."""
    made = provider()
    if made is None:
        yield
        return
    above = _context.extract({"traceparent": parent} if parent else {})
    attributes = {f"recon.{key}": value for key, value in about.items()}
    with made.get_tracer("recon").start_as_current_span(name, above, attributes=attributes):
        yield


def close() -> None:
    """Send what waits."""
    made = _providers.pop(os.getpid(), None)
    if made is not None:
        made.shutdown()
