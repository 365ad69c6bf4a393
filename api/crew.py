"""The processes beside the API on one machine: its workers and the embedded broker, begun again when they die."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from workers.bound import bound
from workers.broker import EmbeddedBroker
from workers.errors import BrokerAway

log = logging.getLogger(__name__)

LOOK_S = 0.5
WAIT_S = 2.0
"""Before a worker that fell is begun again; doubled each time that it died at once."""
SHORT_S = 10.0
"""A worker that ends sooner died at once."""
MOST_FALLS = 5
"""A worker that died at once so many times in a row is not begun again."""
HURRY_S = 3.0
NICE = 10
"""Workers take what the API leaves."""
LOG_BYTES = 20 * 2**20


@dataclass
class Post:
    """One worker's place, whoever fills it."""

    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    next_s: float = 0.0
    falls: int = field(default=0)
    """Times in a row that it died at once."""

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def begin(self) -> None:
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".old.txt"))
        with self.log.open("ab") as out:
            # a session of its own: Ctrl-C is for us to handle
            self.process = subprocess.Popen(bound(self.command), stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
        self.started_s = time.monotonic()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self.process.pid, NICE)

    def tell(self, number: int) -> None:
        """Send a signal to the worker; SIGKILL to all that it began too."""
        if self.process is None or self.process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number) if number == signal.SIGKILL else self.process.send_signal(number)


class Crew:
    """Looked after by a thread of its own until ``close``."""

    def __init__(self, commands: Sequence[Sequence[str]], logs: Path, broker: EmbeddedBroker | None, patience_s: float) -> None:
        """``patience_s``: how long workers that are told to stop are waited for."""
        self.posts = [Post(command, logs / f"worker{i}.txt") for i, command in enumerate(commands, 1)]
        self.broker, self.patience_s = broker, patience_s
        self._stopping, self._hurried = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="crew")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Tell the workers to give their shards back and end. Does not wait for them."""
        self._stopping.set()

    def hurry(self) -> None:
        """Wait for shards no longer."""
        self._hurried.set()

    def close(self) -> None:
        """Return once all workers have ended. Ctrl-C meanwhile hurries them."""
        self.stop()
        while self._thread.is_alive():
            try:
                self._thread.join()
            except KeyboardInterrupt:
                self.hurry()

    def _keep(self) -> None:
        # workers are begun in this thread, and end with it (workers/bound.py)
        while not self._stopping.is_set():
            try:
                self._tend()
            except OSError as error:
                log.warning("a worker can't be begun: %s", error)
            self._stopping.wait(LOOK_S)
        self._end()

    def _tend(self) -> None:
        if self.broker is not None and (self.broker.process is None or self.broker.process.poll() is not None):
            try:
                self.broker.start()
            except BrokerAway as error:
                log.warning("%s", error)
        for number, post in enumerate(self.posts, 1):
            if post.process is not None and not post.runs:
                self._fell(number, post, post.process.returncode)
            if post.process is None and post.falls < MOST_FALLS and time.monotonic() >= post.next_s:
                post.begin()

    def _fell(self, number: int, post: Post, code: int) -> None:
        post.process = None
        post.falls = post.falls + 1 if time.monotonic() - post.started_s < SHORT_S else 0
        if post.falls >= MOST_FALLS:
            log.error("worker %d died at once %d times and is not begun again; the API goes on. See %s", number, post.falls, post.log)
            return
        wait_s = WAIT_S * 2.0 ** max(0, post.falls - 1)
        post.next_s = time.monotonic() + wait_s
        log.warning("worker %d ended with code %d and is begun again in %.0f s. See %s", number, code, wait_s, post.log)

    def _end(self) -> None:
        self._tell(signal.SIGTERM)
        end_s = time.monotonic() + self.patience_s
        has_hurried = False
        while any(post.runs for post in self.posts) and time.monotonic() < end_s:
            if self._hurried.is_set() and not has_hurried:
                has_hurried = True
                end_s = time.monotonic() + HURRY_S
                self._tell(signal.SIGTERM)  # a worker that is told twice gives its shards back at once
            time.sleep(0.05)
        self._tell(signal.SIGKILL)
        for post in self.posts:
            if post.process is not None:
                post.process.wait()

    def _tell(self, number: int) -> None:
        for post in self.posts:
            post.tell(number)
