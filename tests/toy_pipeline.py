"""A small pipeline that does as it is told, and a worker process that runs it.

``python toy_pipeline.py 2 cpu,gpu``: a worker of two processes; ``python toy_pipeline.py api 8000``: the API. A shard looks for its order
in ``$RECON_TEST_ORDERS``: a file named like its number, with one word.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from recon import pipeline
from recon.config import Config
from recon.errors import DiskFull, NoOverlap
from recon.stage import Inputs, Shard, Stage, Work


def count(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    from recon.capture.source import read_source

    (file,) = [file for file in read_source(inputs["source"][0]).files if file.name in shard["files"]]
    (out / "n.txt").write_text(str(json.loads(Path(file.path).read_text())["n"]))


def one_file(config: Config, inputs: Inputs) -> list[Shard]:
    from recon.capture.source import read_source

    return [{"files": [file.name]} for file in read_source(inputs["source"][0]).files if file.kind == "photo"]


def numbers(config: Config, inputs: Inputs) -> list[Shard]:
    return [{"i": i} for i in range(int((inputs["ingest"][0] / "n.txt").read_text()))]


def square(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    orders = Path(os.environ["RECON_TEST_ORDERS"])
    with (orders / "trace").open("a") as stream:
        stream.write(f"{shard['i']} {os.getppid()} {os.getpid()} {config.seed}\n")
    order = orders / str(shard["i"])
    word = order.read_text() if order.exists() else ""
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "error":
        raise NoOverlap("3 of 40 images", "film more slowly")
    if word == "full":
        raise DiskFull("no room")
    if word == "fault":
        raise ZeroDivisionError("by nought")
    if word == "sleep":
        child = subprocess.Popen(["sleep", "300"])
        (orders / "child").write_text(str(child.pid))
        time.sleep(300)
    if word == "slow":
        for i in range(6):
            work.tell(i / 6, "slowly")
            time.sleep(0.1)
    (out / "n.txt").write_text(str(shard["i"] ** 2))


def total(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    (out / "n.txt").write_text(str(sum(int((folder / "n.txt").read_text()) for folder in inputs["features"])))


STAGES = (
    Stage("ingest", ("source",), count, one_file, memory_mb=100),
    Stage("features", ("ingest",), square, numbers, gpu=True, seeded=True, memory_mb=100),
    Stage("products", ("features",), total, memory_mb=100),
)

if __name__ == "__main__":
    pipeline.PIPELINE = STAGES
    if sys.argv[1] == "api":
        import uvicorn

        from api.app import make_api
        from api.settings import ApiSettings
        from workers.settings import load_settings

        uvicorn.run(make_api(load_settings(), ApiSettings()), port=int(sys.argv[2]), log_level="warning")
        sys.exit()
    from workers.run import run_worker

    run_worker(tuple(sys.argv[2].split(",")), int(sys.argv[1]))
