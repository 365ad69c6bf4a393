"""What a run tells while it works: plain values, for a terminal, a log or an event stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Event:
    """The state of one stage. ``fraction`` is of its work, 0..1; ``seconds`` since it started."""

    stage: str
    state: Literal["cached", "started", "running", "done"]
    shards: int
    shards_done: int = 0
    fraction: float = 0.0
    seconds: float = 0.0
    message: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"event": "stage", **asdict(self)}


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """A listener that keeps quiet."""


SHARE = {
    "ingest": 1, "select": 2, "features": 5, "pairs": 1, "matches": 11, "sfm": 8, "recover": 1, "georef": 1, "trajectory": 1,
    "undistort": 2, "preview": 5, "depth": 22, "fuse": 6, "sample": 3, "surface": 7, "mesh": 6, "texture": 15, "products": 8, "report": 1,
}  # fmt: skip
"""A stage's usual share of a run's time, in percent (see bench/): where a forecast starts from."""


class Forecast:
    """Expected time to the end, from the shares of the stages and the pace so far."""

    def __init__(self, stages: tuple[str, ...]) -> None:
        self.left = {name: float(SHARE.get(name, 1)) for name in stages}
        self.passed = 0.0
        self.seconds = 0.0
        self._current = 0.0

    def take(self, event: Event) -> None:
        share = float(SHARE.get(event.stage, 1))
        if event.state == "cached":
            self.left.pop(event.stage, None)
            return
        if event.state == "done":
            self.left.pop(event.stage, None)
            self.passed += share
            self.seconds += event.seconds
            self._current = 0.0
            return
        self.left[event.stage] = share * (1 - event.fraction)
        self._current = event.seconds

    def remaining_s(self, event: Event) -> float | None:
        """Seconds to the end of the run; None while nothing is known of the pace."""
        passed = self.passed + float(SHARE.get(event.stage, 1)) * (event.fraction if event.state == "running" else 0.0)
        if passed < 3:
            return None
        return (self.seconds + self._current) / passed * sum(self.left.values())
