"""Errors that only a service has, joined to recon's tree. ``api/problems.py`` gives each its HTTP status.

ReconError
├── Unauthorized      no key, or one that is unknown, expired or revoked
├── Forbidden         the key lacks the scope, or a signed URL does not hold
├── Absent            nothing of that id belongs to the caller, whether it exists or not
├── Conflict          not in this state
├── TooManyRequests   with the seconds to wait
└── BadRequest        what the request says can't be understood
"""

from __future__ import annotations

from recon.errors import ReconError


class Unauthorized(ReconError):
    code = "unauthorized"


class Forbidden(ReconError):
    code = "forbidden"


class Absent(ReconError):
    code = "absent"


class Conflict(ReconError):
    code = "conflict"


class TooManyRequests(ReconError):
    code = "too_many_requests"

    def __init__(self, message: str, remedy: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(message, remedy)
        self.args = (message, remedy, retry_after_s)
        self.retry_after_s = retry_after_s


class BadRequest(ReconError):
    code = "bad_request"
