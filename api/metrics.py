"""Metrics for Prometheus: requests as they come; queues, jobs, stages, workers and cards as they are when somebody looks."""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping

import redis
from kombu.exceptions import OperationalError
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workers.app import QUEUES
from workers.claims import waiting
from workers.errors import DatabaseAway
from workers.jobs import LIVE
from workers.models import File, Job, StageRow
from workers.node import Node
from workers.stored import bytes_of_results

log = logging.getLogger(__name__)

DAY_S = 24 * 3600.0
KEPT_S = 5.0
"""What was looked up is told again for so long: anybody may ask, as often as they like."""
PING_S = 0.5
_AT_ONCE = {"socket_connect_timeout": 2, "max_retries": 0}
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_GPU_QUERY = ("--query-gpu=index,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits")


class Metrics:
    """Of one API process."""

    def __init__(self, node: Node) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("recon_requests", "HTTP requests", ("route", "method", "status"), registry=self.registry)
        self.request_seconds = Histogram(
            "recon_request_seconds", "Until an answer began", ("route", "method"), buckets=_BUCKETS, registry=self.registry
        )
        self.state = State(node)
        self.registry.register(self.state)
        ProcessCollector(registry=self.registry)


class State(Collector):
    """Looked up at a scrape. What can't be reached is left out."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.kept_s = KEPT_S
        self._lock = threading.Lock()
        self._found: list[Metric] = []
        self._at_s = -KEPT_S

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if time.monotonic() - self._at_s >= self.kept_s:
                self._found = list(self._look())
                self._at_s = time.monotonic()
            return list(self._found)

    def _look(self) -> Iterator[Metric]:
        try:
            with self.node.database.reading() as session:
                yield from _rows(session, time.time() - DAY_S)
        except DatabaseAway as error:
            log.warning("%s", error.message)
        yield from _workers(self.node)
        yield from _cards(_ask_cards())


def _rows(session: Session, since_s: float) -> Iterator[Metric]:
    queues = dict.fromkeys(QUEUES, 0) | waiting(session)
    yield _gauge("recon_queue_shards", "Shards that wait for a worker", "queue", queues)
    live = session.execute(select(Job.state, func.count()).where(Job.state.in_(LIVE)).group_by(Job.state)).all()
    yield _gauge("recon_jobs", "Jobs that have not ended", "state", dict.fromkeys(LIVE, 0) | {row[0]: row[1] for row in live})
    took_s = func.sum(StageRow.ended_s - StageRow.started_s)
    ended = select(StageRow.name, func.count(), took_s).where(StageRow.state == "done", StageRow.ended_s >= since_s)
    stages = session.execute(ended.group_by(StageRow.name)).all()
    # gauges: they fall again, as a counter may not
    yield _gauge("recon_stages_day", "Stages that ended within a day", "stage", {name: count for name, count, _ in stages})
    yield _gauge("recon_stage_seconds_day", "Seconds that they took in all", "stage", {name: total or 0.0 for name, _, total in stages})
    code = Job.error["code"].as_string()
    failed = select(code, func.count()).where(Job.state == "failed", Job.ended_s >= since_s).group_by(code)
    codes = {code or "unknown": count for code, count in session.execute(failed)}
    yield _gauge("recon_jobs_failed_day", "Jobs that failed within a day", "code", codes)
    yield _gauge("recon_stored_bytes", "Uploads, and results listed", "kind", _stored(session))


def _stored(session: Session) -> dict[str, float]:
    uploads = session.scalar(select(func.sum(File.size)).where(File.state == "whole"))
    return {"uploads": float(uploads or 0), "results": float(session.scalar(bytes_of_results()) or 0)}


def _workers(node: Node) -> Iterator[Metric]:
    """Whoever answers: a worker's main process does also while it computes."""
    try:
        with node.app.connection_for_write(transport_options=_AT_ONCE) as connection:
            answers = node.app.control.ping(timeout=PING_S, connection=connection)
    except (OperationalError, redis.RedisError, OSError) as error:
        log.warning("workers can't be counted, the broker does not answer: %s", error)
        return
    yield GaugeMetricFamily("recon_workers", "Workers that answer", len(answers or ()))


def _ask_cards() -> str:
    """What the driver says of this machine's cards; nothing where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        return subprocess.run([program, *_GPU_QUERY], capture_output=True, text=True, timeout=5).stdout  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("%s does not answer: %s", program, error)
        return ""


def _cards(table: str) -> Iterator[Metric]:
    rows = [[cell.strip() for cell in line.split(",")] for line in table.splitlines()]
    rows = [row for row in rows if len(row) == 4 and row[0].isdigit()]
    for column, name, text, scale in (
        (1, "recon_gpu_use", "Share of the time that the card computed", 0.01),
        (2, "recon_gpu_memory_used_bytes", "Of the card's memory", 2.0**20),
        (3, "recon_gpu_memory_bytes", "The card's memory", 2.0**20),
    ):
        known = {row[0]: float(row[column]) * scale for row in rows if row[column].isdigit()}
        if known:
            yield _gauge(name, text, "card", known)


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=[label])
    for key, value in sorted(values.items()):
        gauge.add_metric([key], value)
    return gauge
