"""Twenty jobs over the API while it, workers, broker, database and store are killed at random moments. Not part of the suite:

``python tests/chaos.py embedded|fleet SEED`` prints what it killed, and how many shards ran more often than needed. Exit code 1 if a
job did not end right.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import toy_pipeline
from servers import ACCESS_KEY, SECRET_KEY, Postgres, SeaweedFS, free_ports
from service_fixtures import Service
from sqlalchemy import func, select

from api.client import Recon
from api.keys import make_key
from recon import pipeline
from workers.broker import EmbeddedBroker
from workers.errors import DatabaseAway
from workers.models import Job, Owner
from workers.settings import Settings

JOBS, OWNERS, WORKERS, LIMIT_S = 20, 3, 2, 300


class Chaos:
    def __init__(self, kind: str, rng: random.Random) -> None:
        self.folder, self.rng, self.killed = Path(tempfile.mkdtemp(prefix="chaos-")), rng, Counter[str]()
        os.environ |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        self.settings = Settings(home=self.folder / "home", lease_s=3, stop_s=0.5, memory_mb=4000, cores=2, attempts=20)
        self.deeds: dict[str, Callable[[], None]] = {"worker": self.kill_worker, "stop": self.stop_worker, "shard": self.kill_shard}
        if kind == "fleet":
            self.postgres, self.seaweed = Postgres(), SeaweedFS(self.folder / "weed")
            self.postgres.start()
            self.seaweed.start()
            fleet = {"store": "s3://recon/chaos", "s3_endpoint": self.seaweed.endpoint, "s3_region": "us-east-1"}
            self.settings = self.settings.model_copy(update=fleet | {"database": self.postgres.new_database()})
            self.deeds |= {"database": lambda: self.restart(self.postgres), "store": lambda: self.restart(self.seaweed)}
        self.broker = EmbeddedBroker(self.settings)
        self.broker.start()
        self.service = Service(self.settings, self.folder, self.broker)
        (self.port,) = free_ports(1)
        self.api = self.service.start_api(self.port)
        self.deeds |= {"broker": self.kill_broker, "api": self.kill_api, "everything": self.kill_everything}

    def run(self) -> bool:
        for i in range(8):
            (self.service.orders / str(i)).write_text("slow")
        sizes = [3 + i % 4 for i in range(JOBS)]
        started_s, jobs = time.monotonic(), ["" for _ in sizes]
        users = [threading.Thread(target=self.use, args=(owner, sizes, jobs)) for owner in range(OWNERS)]
        for user in users:
            user.start()
        while (left := self.left(jobs)) and time.monotonic() - started_s < LIMIT_S:
            self.keep_processes()
            time.sleep(self.rng.uniform(2, 5))
            deed = self.rng.choice(list(self.deeds))
            print(f"{time.monotonic() - started_s:4.0f} s, {left} jobs left: {deed}", flush=True)
            self.killed[deed] += 1
            self.deeds[deed]()
        self.keep_processes()
        for user in users:
            user.join()
        right = sum(
            self.service.job(job).state == "done" and self.service.total(job) == sum(i**2 for i in range(n))
            for job, n in zip(jobs, sizes, strict=True)
        )
        with self.service.node.database.reading() as session:
            made = session.scalar(select(func.count()).select_from(Job))
        print(f"{right} of {JOBS} jobs ended right, {made} were made; {len(self.service.trace())} shards began, {sum(sizes)} needed")
        print(dict(self.killed))
        return right == made == JOBS

    def use(self, owner: int, sizes: list[int], jobs: list[str]) -> None:
        """What one user does: upload, submit, and again, whatever happens to the service meanwhile."""
        with self.service.node.database.writing() as session:
            session.add(Owner(id=f"owner{owner}", name=f"owner{owner}"))
            session.flush()
            _, key = make_key(session, f"owner{owner}", "chaos")
        with Recon(f"http://127.0.0.1:{self.port}", key, tries=20) as recon:
            for i in range(owner, JOBS, OWNERS):
                photo = self.folder / f"upload{i}" / "n.jpg"
                photo.parent.mkdir()
                photo.write_text(json.dumps({"n": sizes[i]}))
                jobs[i] = recon.submit(recon.upload(photo, f"capture {i}")["id"], config={"seed": i})["id"]

    def close(self) -> None:
        self.service.stop_workers()
        self.kill_api()
        self.broker.stop()
        if "database" in self.deeds:
            self.postgres.kill()
            self.seaweed.kill()

    def left(self, jobs: list[str]) -> int:
        try:
            return sum(not job or self.service.job(job).state in ("queued", "running") for job in jobs)
        except DatabaseAway:
            return len(jobs)

    def keep_processes(self) -> None:
        """What a supervisor does."""
        if self.api.poll() is not None:
            self.api = self.service.start_api(self.port)
        while sum(worker.poll() is None for worker in self.service.workers) < WORKERS:
            self.service.start_worker()

    def kill_worker(self, number: int = signal.SIGKILL) -> None:
        self.rng.choice([worker for worker in self.service.workers if worker.poll() is None]).send_signal(number)

    def stop_worker(self) -> None:
        self.kill_worker(signal.SIGTERM)

    def kill_shard(self) -> None:
        if trace := self.service.trace():
            try:
                os.kill(trace[-1][2], signal.SIGKILL)
            except ProcessLookupError:
                return

    def kill_broker(self) -> None:
        if self.broker.process is not None:
            self.broker.process.kill()
            self.broker.process.wait()
        time.sleep(self.rng.uniform(0, 2))
        self.broker.start()

    def kill_api(self) -> None:
        self.api.kill()
        self.api.wait()

    def kill_everything(self) -> None:
        for worker in self.service.workers:
            worker.kill()
        self.kill_api()
        for deed in ("broker", "database", "store"):
            if deed in self.deeds:
                self.deeds[deed]()

    def restart(self, server: Postgres | SeaweedFS) -> None:
        server.kill()
        time.sleep(self.rng.uniform(0, 2))
        server.start()


if __name__ == "__main__":
    pipeline.PIPELINE = toy_pipeline.STAGES
    chaos = Chaos(sys.argv[1], random.Random(int(sys.argv[2])))
    is_right = chaos.run()
    chaos.close()
    sys.exit(0 if is_right else 1)
