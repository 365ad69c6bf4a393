"""The executor on small stages of its own: sharding, resuming, crashes, cancelling."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from recon.config import Config, load
from recon.errors import NoOverlap, StageCrashed, StageFailed
from recon.executor import LocalExecutor, Machine
from recon.pipeline import Run
from recon.progress import Event
from recon.stage import Inputs, Shard, Stage, Work
from recon.storage import LocalStore


def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not holds():
        if time.monotonic() > deadline_s:
            raise TimeoutError
        time.sleep(0.01)


def count(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    source = json.loads((inputs["source"][0] / "source.json").read_text())
    (out / "n.txt").write_text(str(source["n"]))


def split_in(config: Config, inputs: Inputs) -> list[Shard]:
    return [{"i": i} for i in range(int((inputs["ingest"][0] / "n.txt").read_text()))]


def square(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    trace = Path(os.environ["RECON_TEST_TRACE"])
    with trace.open("a") as stream:
        stream.write(f"{shard['i']}\n")
    poison = trace.with_suffix(f".{shard['i']}")
    if poison.exists():
        order = poison.read_text()
        if order == "once":
            poison.unlink()
        if order in ("once", "always"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if order == "error":
            raise NoOverlap("3 of 40 images", "film more slowly")
        if order == "fault":
            raise ZeroDivisionError("by nought")
        if order == "sleep":
            time.sleep(60)
        if order == "watch":
            until(lambda: work.threads_now() == 1)
            trace.with_suffix(".shared").touch()
            until(lambda: work.threads_now() == 2)
        if order == "wait":
            until(trace.with_suffix(".shared").exists)
    work.tell(0.5, "half")
    (out / "n.txt").write_text(str(shard["i"] ** 2 + config.mesh.faces))


def total(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    (out / "n.txt").write_text(str(sum(int((folder / "n.txt").read_text()) for folder in inputs["features"])))


STAGES = (
    Stage("ingest", ("source",), count),
    Stage("features", ("ingest",), square, split_in, reads=("mesh",)),
    Stage("sfm", ("features",), total, seeded=True),
)


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "trace"
    path.touch()
    monkeypatch.setenv("RECON_TEST_TRACE", str(path))
    return path


def make_run(tmp_path: Path, config: Config | None = None, n: int = 5) -> Run:
    source = tmp_path / "source"
    source.mkdir(exist_ok=True)
    (source / "source.json").write_text(json.dumps({"key": f"key{n}", "n": n}))
    return Run(source, config or Config(), LocalStore(tmp_path / "store"), STAGES)


def execute(run: Run, events: list[Event] | None = None) -> list[str]:
    with LocalExecutor(Machine(2, 8000), events.append if events is not None else lambda _: None) as executor:
        return executor.run(run, STAGES)


def result(run: Run) -> int:
    return int((run.folders(STAGES[-1])[0] / "n.txt").read_text())


def test_shards_run_once_and_are_added_up(tmp_path: Path, trace: Path) -> None:
    run, events = make_run(tmp_path), list[Event]()
    assert execute(run, events) == ["ingest", "features", "sfm"]
    assert result(run) == sum(i**2 + run.config.mesh.faces for i in range(5))
    assert sorted(trace.read_text().split()) == list("01234")
    done = [event for event in events if event.state == "done"]
    assert [(event.stage, event.shards_done, event.fraction) for event in done] == [("ingest", 1, 1), ("features", 5, 1), ("sfm", 1, 1)]
    record = json.loads((run.folders(STAGES[1])[0] / "DONE").read_text())
    assert record["end_s"] >= record["start_s"]
    assert 5 < record["peak_mb"] < 2000


def test_a_second_run_does_nothing_and_a_changed_option_runs_what_depends_on_it(tmp_path: Path, trace: Path) -> None:
    run = make_run(tmp_path)
    execute(run)
    assert execute(run) == []
    assert execute(make_run(tmp_path, load(overrides=("mesh.faces=1000",)))) == ["features", "sfm"]
    assert execute(make_run(tmp_path, load(overrides=("depth.pairs_a_view=7",)))) == []
    assert execute(make_run(tmp_path, Config(seed=4))) == ["sfm"]
    assert execute(make_run(tmp_path, n=6)) == ["ingest", "features", "sfm"]
    assert execute(run) == []


def test_the_last_shard_has_the_cores_of_those_that_ended(tmp_path: Path, trace: Path) -> None:
    trace.with_suffix(".0").write_text("watch")
    trace.with_suffix(".1").write_text("wait")
    execute(make_run(tmp_path))
    assert trace.with_suffix(".shared").exists()


def test_an_error_keeps_what_is_done_and_the_next_run_goes_on(tmp_path: Path, trace: Path) -> None:
    run = make_run(tmp_path)
    trace.with_suffix(".3").write_text("error")
    with pytest.raises(NoOverlap, match=r"3 of 40 images\. film more slowly"):
        execute(run)
    trace.with_suffix(".3").unlink()
    before = len(trace.read_text().split())
    execute(run)
    assert len(trace.read_text().split()) - before <= 3  # 0, 1 and 2 were done, or being done beside 3
    assert result(run) == sum(i**2 + run.config.mesh.faces for i in range(5))


def test_a_fault_names_the_stage_and_the_shard(tmp_path: Path, trace: Path) -> None:
    trace.with_suffix(".2").write_text("fault")
    with pytest.raises(StageFailed, match="stage 'features', shard 2 failed: ZeroDivisionError: by nought"):
        execute(make_run(tmp_path))


def test_a_crash_is_survived_once_and_told_the_second_time(tmp_path: Path, trace: Path) -> None:
    run = make_run(tmp_path)
    trace.with_suffix(".1").write_text("once")
    execute(run)
    assert result(run) == sum(i**2 + run.config.mesh.faces for i in range(5))
    other = make_run(tmp_path, load(overrides=("mesh.faces=999",)))
    trace.with_suffix(".1").write_text("always")
    with pytest.raises(StageCrashed, match="stage 'features', shard 1 of 5: the worker process died twice"):
        execute(other)
    assert 1 in other.pending(STAGES[1])


def test_ctrl_c_ends_workers_at_once(tmp_path: Path, trace: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background starts with SIGINT ignored
    try:
        _interrupted(tmp_path, trace)
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted(tmp_path: Path, trace: Path) -> None:
    run = make_run(tmp_path)
    trace.with_suffix(".1").write_text("sleep")

    def interrupt() -> None:
        while "1" not in trace.read_text().split():
            time.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt).start()
    started_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        execute(run)
    assert time.monotonic() - started_s < 30
    assert not run.is_done(STAGES[1])


def test_shards_at_once_are_bounded_by_cores_and_memory() -> None:
    stage = Stage("depth", (), total, memory_mb=1000)
    assert Machine(64, 10_000).at_once(stage, 100) == 10
    assert Machine(4, 100_000).at_once(stage, 100) == 4
    assert Machine(4, 100_000).at_once(stage, 2) == 2
    assert Machine(4, 10).at_once(stage, 2) == 1
    assert Machine(4, 10_000).at_once(stage.sized([{"memory_mb": 3000}, {"memory_mb": 500}, {}]), 100) == 3
    assert Machine(4, 10_000).at_once(stage.sized([{}, {}]), 100) == 4
