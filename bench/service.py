"""The service: what it costs over ``recon process``, what two workers gain, how fast uploads and answers are, whether ETAs hold."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.crowd import ask_often, listen_all
from bench.served import Served
from bench.usage import recon

if TYPE_CHECKING:
    from bench.bars import Row

SHARDED = ("features", "matches", "undistort", "depth", "fuse")
UPLOAD_BYTES = 2**30
LISTENERS, RATE_HZ, LOAD_S = 200, 100, 30
CONNECT_S = 8
"""Until all listeners are there."""
ROUNDS = 2
HISTORY, JUDGED = 10, 20


def overhead(data: Path, work: Path) -> list[Row]:
    """Wall time of a job over that of ``recon process``, right after each other; then two workers of one core against one."""
    from bench.bars import Row, at_least, at_most

    photos = data / "brighton-beach"
    recon("process", photos, "-o", work / "service-warm", "--preset", "fast")  # else whoever comes first compiles for the others
    alone_s = job_s = upload_s = 0.0
    for n in range(ROUNDS):  # in turn: a machine is not equally quick all the time
        with Served(work / f"service-home-{n}") as served, served.client() as client:
            began_s = time.monotonic()
            capture = client.upload(photos)
            upload_s += (time.monotonic() - began_s) / ROUNDS
            job = _done(client, capture["id"], {}, "high")
            job_s += (job["ended_s"] - job["created_s"]) / ROUNDS
        alone_s += recon("process", photos, "-o", work / f"service-alone-{n}", "--preset", "high").checked().seconds / ROUNDS
    sharded = {workers: _sharded_s(work, photos, workers) for workers in (1, 2)}
    return [
        Row("4.2", "brighton-beach, high", "seconds of recon process", alone_s, "", True),
        Row("4.2", "brighton-beach", "seconds of the upload", upload_s, "", True),
        Row("4.2", "brighton-beach", "seconds of the sharded stages, two workers", sharded[2], "", True),
        at_most("4.2", "brighton-beach, high", "a job's seconds over recon process'", job_s / alone_s, 1.05),
        at_least("4.2", "brighton-beach", "sharded stages: one worker's seconds over two workers'", sharded[1] / sharded[2], 1.7),
    ]


def _sharded_s(work: Path, photos: Path, workers: int) -> float:
    """Seconds of the sharded stages on workers of one core each."""
    home = work / f"service-{workers}"
    with Served(home, "--workers", str(workers), RECON_CORES="1") as served, served.client() as client:
        job = _done(client, client.upload(photos)["id"], {"seed": 12}, until="fuse")
    return float(sum(stage["ended_s"] - stage["started_s"] for stage in job["stages"] if stage["name"] in SHARDED))


def _done(client: Any, capture: str, config: dict[str, Any], preset: str = "default", until: str | None = None) -> dict[str, Any]:
    job = client.wait(client.submit(capture, preset, config, until)["id"])
    if job["state"] != "done":
        raise RuntimeError(f"the job {job['state']}: {job['error']}")
    return dict(job)


def upload(data: Path, work: Path) -> list[Row]:
    """A gigabyte in parts, its client killed five times, and once undisturbed, against writing it to the same disk."""
    from bench.bars import at_least, at_most

    source = work / "upload.mp4"
    raw_s = _write_random(source, work / "raw")
    with Served(work / "upload-home", "--api-only") as served, served.client() as client:
        kills = _upload_with_kills(served, source)
        ours = [path for path in (work / "upload-home/store").rglob("*") if path.is_file() and path.stat().st_size == UPLOAD_BYTES]
        differ = [path for path in ours if not _equal(path, source)]
        began_s = time.monotonic()
        client.upload(source, "undisturbed")
        seconds = time.monotonic() - began_s
        peak_mb = served.peak_mb
    return [
        at_least("4.4", "1 GiB, killed and resumed", "kills", kills, 5),
        at_least("4.4", "1 GiB, killed and resumed", "whole files that are byte-equal", len(ours) - len(differ), 1),
        at_most("4.4", "1 GiB, killed and resumed", "whole files that are not", len(differ), 0),
        at_least("4.4", "1 GiB", "speed, share of the disk's", raw_s / seconds, 0.6),
        at_most("4.4", "1 GiB", "peak memory of the API, MB", peak_mb, 200),
    ]


def _write_random(source: Path, raw: Path) -> float:
    """Makes the file; seconds of writing the same again to the disk, synced."""
    block = os.urandom(2**24)
    with source.open("wb") as stream:
        for i in range(UPLOAD_BYTES // len(block)):
            stream.write(i.to_bytes(8, "big") + block[8:])
    content = source.read_bytes()
    began_s = time.monotonic()
    with raw.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    seconds = time.monotonic() - began_s
    raw.unlink()
    return seconds


def _upload_with_kills(served: Served, source: Path) -> int:
    """The same upload again and again, by a client that is killed five times on its way."""
    code = "import sys; from api.client import Recon; Recon(*sys.argv[1:3]).upload(sys.argv[3], 'killed')"
    command = [sys.executable, "-c", code, served.url, served.key, str(source)]
    rng, kills = random.Random(0), 0
    while True:
        process = subprocess.Popen(command)
        try:
            process.wait(rng.uniform(0.5, 0.8) if kills < 5 else 600)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        if process.returncode:
            raise RuntimeError("the upload failed")
        return kills


def _equal(one: Path, other: Path) -> bool:
    with one.open("rb") as a, other.open("rb") as b:
        while chunk := a.read(2**22):
            if chunk != b.read(2**22):
                return False
        return not b.read(1)


def load(data: Path, work: Path) -> list[Row]:
    """Many listeners and many requests while a job runs; a listener that is cut off and comes back misses nothing."""
    from bench.bars import Row, at_least, at_most

    with Served(work / "load-home") as served, served.client() as client:
        job = client.submit(client.upload(data / "brighton-beach")["id"])["id"]
        path = f"/v1/jobs/{job}"
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # their own process: they must not slow down who measures
            listening = pool.submit(listen_all, served.url, served.key, f"{path}/events", LISTENERS, LOAD_S)
            time.sleep(CONNECT_S)
            asked = asyncio.run(ask_often(served.url, served.key, path, RATE_HZ, time.monotonic() + LOAD_S - CONNECT_S))
            told = listening.result()
        client.cancel(job)
    asked.sort()
    p99_ms, median_ms = (1000 * asked[int(len(asked) * share)] for share in (0.99, 0.5))
    every = {id for ids in told for id in ids}
    wrong = sum(len(every) - len(set(ids)) + len(ids) - len(set(ids)) for ids in told)
    crowd = f"{LISTENERS} listeners, {RATE_HZ} requests/s"
    return [
        at_most("4.5", crowd, "p99 of GET /v1/jobs/{id}, ms", p99_ms, 150),
        Row("4.5", crowd, "median, ms", median_ms, "", True),
        at_least("4.5", crowd, "requests answered a second", len(asked) / (LOAD_S - CONNECT_S), RATE_HZ * 0.95),
        at_least("4.5", f"{LISTENERS} listeners, each cut off once", "events", len(every), 5),
        at_most("4.5", f"{LISTENERS} listeners, each cut off once", "events lost or told twice", wrong, 0),
    ]


def recovery(data: Path, work: Path) -> list[Row]:
    """Seconds from a worker's death (kill -9, with all its processes) to its shard running on another, with the usual lease."""
    from bench.bars import at_least, at_most

    with Served(work / "recovery-home", "--workers", "2") as served, served.client() as client:
        job = client.submit(client.upload(data / "brighton-beach")["id"], "fast", until="features")["id"]
        running = _wait_for(served, "state = 'running' and queue = 'cpu' and number >= 0 and pid is not null")
        worker = psutil.Process(running["pid"]).parent()
        if worker is None:
            raise RuntimeError("the shard's process has no parent")
        killed_s = time.time()
        for process in (worker, *worker.children(recursive=True)):
            process.kill()
        again = _wait_for(served, f"id = {running['id']} and attempts = 2 and started_s is not null")
        state = client.wait(job)["state"]
    return [
        at_most("4.3", "brighton-beach, fast", "seconds to a shard's next attempt", again["started_s"] - killed_s, 90),
        at_least("4.3", "brighton-beach, fast", "the job ends right", float(state == "done"), 1),
    ]


def _wait_for(served: Served, which: str) -> dict[str, Any]:
    """The first shard in the service's database that fits."""
    end_s = time.monotonic() + 300
    while time.monotonic() < end_s:
        with closing(sqlite3.connect(served.home / "recon.db")) as database:
            database.row_factory = sqlite3.Row
            row = database.execute(f"select * from shards where {which}").fetchone()
        if row is not None:
            return dict(row)
        time.sleep(0.05)
    raise RuntimeError(f"no shard where {which}")


def eta(data: Path, work: Path) -> list[Row]:
    """Whether the stated interval holds the truth, for jobs of several kinds and sizes, after ten jobs of history."""
    from bench.bars import Row, at_least

    rng, widths, held, told = random.Random(0), [], [], []
    with Served(work / "eta-home") as served, served.client() as client:
        captures = [_simulated(client, work, kind, images) for kind in ("drone", "object") for images in (8, 12, 18, 26)]
        for n in range(HISTORY + JUDGED):
            job = client.submit(rng.choice(captures), "fast", {"seed": n, "mesh": {"faces": rng.choice([5000, 50_000])}})["id"]
            stated = _watched(client, job)
            if n >= HISTORY:
                ended_s = client.job(job)["ended_s"]
                for at_s, interval in stated:
                    held.append(interval["low_s"] <= ended_s - at_s <= interval["high_s"])
                    widths.append(interval["high_s"] / max(interval["low_s"], 1.0))
                    told.append({"job": n, "left_s": ended_s - at_s, **interval})
    (work / "eta.json").write_text(json.dumps(told))
    return [
        at_least("4.6", f"{JUDGED} jobs after {HISTORY}", "share of stated intervals that hold the truth", sum(held) / len(held), 0.8),
        Row("4.6", f"{JUDGED} jobs after {HISTORY}", "intervals stated", len(held), "", True),
        Row("4.6", f"{JUDGED} jobs after {HISTORY}", "median of its end over its beginning", sorted(widths)[len(widths) // 2], "", True),
    ]


def _simulated(client: Any, work: Path, kind: str, images: int) -> str:
    folder = work / f"eta-{kind}-{images}"
    if not folder.exists():
        recon(
            "simulate", kind, "-o", folder, "--images", images, "--size", "480x360", *(["--photos"] if kind == "object" else [])
        ).checked()
    capture = client.upload(folder / "images")["id"]
    while client.ask("GET", f"/v1/captures/{capture}")["inspecting"]:
        time.sleep(0.2)
    return str(capture)


def _watched(client: Any, job: str) -> list[tuple[float, dict[str, float]]]:
    """When it was, and the interval stated then, every two seconds while the job runs."""
    stated = []
    while (row := client.job(job))["state"] in ("queued", "running"):
        if row["state"] == "running" and row["eta"]:
            stated.append((time.time(), row["eta"]))
        time.sleep(2.0)
    if row["state"] != "done":
        raise RuntimeError(f"the job {row['state']}: {row['error']}")
    return stated
