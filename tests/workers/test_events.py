"""Events over a real broker: in order, none lost to one who comes back, and nothing breaks when it is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.broker import EmbeddedBroker
from workers.errors import BrokerAway
from workers.events import EventLog, connect
from workers.settings import Settings


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(Settings(home=tmp_path / "home")) as running:
        yield running


@pytest.fixture
def events(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[EventLog]:
    client = connect(Settings(home=tmp_path / "home").broker_url)
    yield EventLog(client)
    client.close()


def test_one_who_comes_back_misses_nothing(events: EventLog) -> None:
    for i in range(10):
        events.tell("job", "progress", {"i": i})
        events.tell("other", "progress", {"i": -i})
    first = events.read("job", count=4)
    rest = events.read("job", after=first[-1].id)
    assert [event.told["i"] for event in first + rest] == list(range(10))
    assert events.read("job", after=rest[-1].id) == []
    events.forget("job")
    assert events.read("job") == []


def test_a_follower_is_told_at_once_and_looks_around_when_it_is_quiet(events: EventLog) -> None:
    follower = events.follow("job", wait_s=0.2)
    assert next(follower) is None
    teller = threading.Timer(0.1, lambda: events.tell("job", "stage", {"stage": "sfm"}))
    teller.start()
    started_s = time.monotonic()
    event = next(event for event in follower if event is not None)
    assert (event.kind, event.told) == ("stage", {"stage": "sfm"})
    assert time.monotonic() - started_s < 1
    teller.join()


def test_what_was_told_outlives_the_brokers_death(broker: EmbeddedBroker, events: EventLog) -> None:
    events.tell("job", "log", {"message": "before"})
    time.sleep(1.2)  # the queue is synced to the disk every second
    assert broker.process is not None
    broker.process.kill()
    broker.process.wait()
    broker.start()
    events.tell("job", "log", {"message": "after"})
    assert [event.told["message"] for event in events.read("job")] == ["before", "after"]


def test_nobody_fails_because_the_broker_is_away(broker: EmbeddedBroker, events: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    broker.stop()
    with caplog.at_level(logging.WARNING):
        events.tell("job", "log", {"message": "unheard"})
    assert "an event of job job was not told" in caplog.text
    with pytest.raises(BrokerAway, match="the broker does not answer"):
        events.read("job")


def test_a_second_broker_uses_the_first(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with EmbeddedBroker(Settings(home=tmp_path / "home")) as second:
        assert second.process is None
    assert broker.answers()
