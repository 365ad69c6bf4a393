"""What an owner may use and how long it is kept: as the owner's row says, else as the service is set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from api.settings import ApiSettings
from workers.models import Owner

Value = TypeVar("Value")


@dataclass(frozen=True)
class Quota:
    storage_bytes: int
    upload_bytes: int
    """Of one file."""
    jobs: int
    """Queued or running at once."""
    keep_captures_s: float | None
    keep_results_s: float | None
    """None: until deleted."""


def quota_of(owner: Owner, api: ApiSettings) -> Quota:
    return Quota(
        _or(owner.max_storage_bytes, api.max_storage_bytes),
        _or(owner.max_upload_bytes, api.max_upload_bytes),
        _or(owner.max_jobs, api.max_jobs),
        _or(owner.keep_captures_s, api.keep_captures_s),
        _or(owner.keep_results_s, api.keep_results_s),
    )


def _or(own: Value | None, default: Value) -> Value:
    return default if own is None else own
