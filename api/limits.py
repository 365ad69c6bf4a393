"""How often a key may ask, and an address with wrong keys: counted in the broker, so that it holds over all API processes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter

from api.errors import TooManyRequests

log = logging.getLogger(__name__)

QUIET_S = 5.0
Answer = TypeVar("Answer")


class Limits:
    """A broker that is away is left alone for a while; until then each process counts by itself."""

    def __init__(self, broker_url: str, rate: str, rate_unknown: str) -> None:
        self._rate, self._rate_unknown = parse(rate), parse(rate_unknown)
        url = broker_url.replace("redis+socket://", "redis+unix://", 1)
        self._shared = FixedWindowRateLimiter(RedisStorage(url, wrap_exceptions=True, socket_timeout=1, socket_connect_timeout=1))
        self._alone = FixedWindowRateLimiter(MemoryStorage())
        self._alone_until_s = 0.0

    def check_key(self, key_id: str) -> None:
        """Count a request. TooManyRequests if there were too many."""
        self._hit(self._rate, ("key", key_id), f"more than {self._rate} with this key")

    def count_failure(self, address: str) -> None:
        """Count a wrong key. TooManyRequests if there were too many; a right one still opens, since none can be guessed."""
        self._hit(self._rate_unknown, ("unknown", address), "too many wrong API keys from this address")

    def _hit(self, rate: RateLimitItem, who: tuple[str, str], message: str) -> None:
        if not self._try(lambda limiter: limiter.hit(rate, *who)):
            self._refuse(rate, who, message)

    def _refuse(self, rate: RateLimitItem, who: tuple[str, str], message: str) -> None:
        reset_s = self._try(lambda limiter: limiter.get_window_stats(rate, *who).reset_time)
        raise TooManyRequests(message, "Wait, then go on more slowly", max(1.0, float(reset_s) - time.time()))

    def _try(self, ask: Callable[[FixedWindowRateLimiter], Answer]) -> Answer:
        if time.monotonic() >= self._alone_until_s:
            try:
                return ask(self._shared)
            except StorageError as error:
                self._alone_until_s = time.monotonic() + QUIET_S
                log.warning("the broker does not count requests, each process does: %s", error)
        return ask(self._alone)
