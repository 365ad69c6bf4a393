"""One trace from the request that makes a job to its shards, sent as OTLP to a collector; and the worker's JSON logs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from api_fixtures import Api
from finished_jobs import finished_job
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from servers import wait_until

from workers import tracing


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Span]]:
    """What a collector gets, from this process and from workers."""
    found: list[Span] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            found.extend(span for resource in sent.resource_spans for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setenv(tracing.ENDPOINT, f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield found
        tracing.close()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("api", ["fleet"], indirect=True)
def test_spans_reach_from_the_request_to_the_shards(spans: list[Span], api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECON_JSON_LOGS", "1")
    api.service.start_worker()
    capture = api.add_capture({"n.jpg": json.dumps({"n": 2}).encode()})
    asked = api.client.post("/v1/jobs", json={"capture_id": capture}, headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
    assert asked.status_code == 201, asked.text
    job = api.service.wait(asked.json()["id"])
    assert job.state == "done"
    assert job.traceparent is not None
    assert job.traceparent.split("-")[1] == "ab" * 16

    def of_trace() -> list[Span]:
        return [span for span in list(spans) if span.trace_id.hex() == "ab" * 16]

    wait_until(lambda: {span.name for span in of_trace()} >= {"POST /v1/jobs", "features", "products"}, 15, "the spans arrive")
    (request,) = [span for span in of_trace() if span.name == "POST /v1/jobs"]
    shards = [span for span in of_trace() if span.name == "features"]
    assert {span.parent_span_id for span in shards} == {request.span_id}
    told = [{pair.key: pair.value for pair in span.attributes} for span in shards]
    assert {row["recon.job"].string_value for row in told} == {job.id}
    assert {row["recon.shard"].int_value for row in told} >= {0, 1}
    lines = [json.loads(line) for line in (api.service.folder / "worker0.log").read_text().splitlines() if line.startswith("{")]
    assert lines
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    assert "\nrecon_workers 1.0\n" in api.client.get("/metrics").text


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_a_trace_does_not_give_signed_urls_away(spans: list[Span], api: Api) -> None:
    name = "secret.ply"
    job = finished_job(api, {name: b"ply"})
    (item,) = api.client.get(f"/v1/jobs/{job}/artifacts").json()["items"]
    assert api.client.get(f"{item['url']}&stream=1").status_code in (200, 307)
    wait_until(lambda: any("{name" in span.name for span in list(spans)), 10, "the span arrives")
    assert not any("token" in str(span) or item["url"].rpartition("token=")[2] in str(span) for span in spans)


def test_without_an_endpoint_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tracing.ENDPOINT, raising=False)
    assert tracing.provider() is None
    with tracing.span("features", f"00-{'ab' * 16}-{'cd' * 8}-01", job="x"):
        assert tracing.traceparent() is None
