"""The service as the command line reaches it: where it is, and its refusals as errors of recon.

ReconError
├── NoService         none answers
└── Refused           it answers no; with the code that it gives
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from recon import errors
from recon.errors import Cancelled, ConfigError, MissingPart, ReconError

if TYPE_CHECKING:
    from api.client import Recon

REFUSED_EXIT_CODE = 8


class NoService(ReconError):
    code, exit_code = "no_service", REFUSED_EXIT_CODE


class Refused(ReconError):
    """What the service says, with its own code: an error that recon has itself keeps its exit code."""

    code = "refused"

    def __init__(self, message: str, remedy: str = "", code: str = "refused") -> None:
        super().__init__(message, remedy)
        self.args = (message, remedy, code)
        self.code, self.exit_code = code, _exit_code(code)


@contextmanager
def service() -> Iterator[Recon]:
    """The service at RECON_URL, or the one of this machine."""
    try:
        import httpx

        from api.client import ProblemError, Recon
    except ModuleNotFoundError as error:
        raise MissingPart(f"the service's libraries are not installed ({error.name})", "pip install 'recon[service]'") from None
    url, key = _where()
    try:
        with Recon(url, key) as recon:
            httpx.get(f"{url}/healthz", timeout=10)  # once: nobody should wait half a minute to learn that none runs
            yield recon
    except ProblemError as problem:
        raise Refused(problem.detail, problem.remedy, problem.code) from None
    except httpx.TransportError as error:
        raise NoService(f"no service answers at {url} ({type(error).__name__})", "Start one with 'recon serve', or set RECON_URL") from None


def check_done(job: dict[str, Any]) -> None:
    """Raise why the job is not done, if it is not."""
    if job["state"] == "failed":
        told = job["error"] or {}
        raise Refused(told.get("message", "the job failed"), told.get("remedy", ""), told.get("code", "failed"))
    if job["state"] == "cancelled":
        raise Cancelled(f"job {job['id']} was cancelled", "Start it again with 'recon submit': what was computed is found again")


def _where() -> tuple[str, str]:
    from api.local import home, read_key, read_url

    # the key of this machine goes to no other service
    given = os.environ.get("RECON_URL", "").rstrip("/")
    url = given or read_url(home())
    key = os.environ.get("RECON_KEY") or (None if given else read_key(home()))
    if url is None:
        raise NoService(f"no service of {home()} runs on this machine", "Start one with 'recon serve', or set RECON_URL and RECON_KEY")
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"RECON_URL is '{url}'", "Write http://host:port or https://host")
    if not key:
        raise ConfigError("there is no API key", "Set RECON_KEY: whoever runs the service makes one with 'recon keys create'")
    return url, key


def _exit_code(code: str) -> int:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ReconError)]
    return next((kind.exit_code for kind in kinds if kind.code == code), REFUSED_EXIT_CODE)
