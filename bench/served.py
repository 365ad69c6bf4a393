"""``recon serve`` in a folder of its own, for the bars of the service: started, watched and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from api.client import Recon

START_S = 60.0


class Served:
    """The service while the context is open. ``environment`` adds to ours: ``RECON_CORES`` and so on."""

    def __init__(self, home: Path, *arguments: str, **environment: str) -> None:
        self.home = home
        self.arguments = arguments
        self.environment = environment
        self.peak_mb = 0.0
        """Largest resident memory of the API's own process so far."""

    def __enter__(self) -> Served:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop(signal.SIGINT)

    def start(self) -> None:
        told = self.home / "api.json"
        told.unlink(missing_ok=True)
        self.home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "recon", "serve", "--port", "0", *self.arguments]
        with (self.home / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "RECON_HOME": str(self.home), **self.environment}
            )
        end = time.monotonic() + START_S
        while not told.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"recon serve did not start: {(self.home / 'serve.log').read_text()[-2000:]}")
            time.sleep(0.05)
        self.url = str(json.loads(told.read_text())["url"])
        self.key = (self.home / "key").read_text().strip()
        threading.Thread(target=self._watch, args=(psutil.Process(self.process.pid),), daemon=True).start()

    def stop(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(60)

    def client(self) -> Recon:
        from api.client import Recon

        return Recon(self.url, self.key)

    def _watch(self, process: psutil.Process) -> None:
        try:
            while True:
                self.peak_mb = max(self.peak_mb, process.memory_info().rss / 2**20)
                time.sleep(0.05)
        except psutil.NoSuchProcess:
            return
