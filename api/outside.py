"""URLs of other hosts that users name, looked at before they are kept. They are looked at again whenever they are used."""

from __future__ import annotations

import threading

from api.errors import TooManyRequests
from api.service import Service
from workers.fetch import addresses, check_url

_lookups = threading.BoundedSemaphore(8)
"""A name whose server is slow must not hold all threads of the API."""


def check_outside(service: Service, url: str) -> None:
    """InputError unless it is an http(s) URL whose host has public addresses only."""
    parsed = check_url(url)
    if not _lookups.acquire(blocking=False):
        raise TooManyRequests("too many names of hosts are being looked up", "Try again in a moment")
    try:
        addresses(parsed.host, parsed.port or (443 if parsed.scheme == "https" else 80), service.settings.allow_private)
    finally:
        _lookups.release()
