"""What each API process does beside its requests: it delivers webhooks, and sweeps what was deleted or has expired."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from api.retention import sweep
from api.service import Service
from api.webhooks.deliver import deliver_due
from recon.errors import ReconError

log = logging.getLogger(__name__)

LOOK_S = 2.0
SWEEP_S = 60.0
THOROUGH_S = 3600.0


class Keeper:
    """One thread. Whatever fails is tried again at the next turn; several processes may each have one."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._sweep_s = time.monotonic() + SWEEP_S
        self._thorough_s = self._sweep_s

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(15)

    def _keep(self) -> None:
        while not self._ended.wait(LOOK_S):
            _tried("webhooks are delivered", lambda: deliver_due(self.service))
            if time.monotonic() >= self._sweep_s:
                self._sweep_s = time.monotonic() + SWEEP_S
                _tried("what was deleted is removed", self._sweep)

    def _sweep(self) -> None:
        is_thorough = time.monotonic() >= self._thorough_s
        if sweep(self.service, thorough=is_thorough) and is_thorough:
            self._thorough_s = time.monotonic() + THOROUGH_S


def _tried(what: str, do: Callable[[], object]) -> None:
    try:
        do()
    except ReconError as error:
        log.warning("%s later: %s", what, error.message)
    except Exception:
        log.exception("%s later: a fault", what)
