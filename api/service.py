"""What every request needs: settings, database, store, queue, signer; and who is asking."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.errors import Absent, Forbidden, Unauthorized
from api.keys import Scope, hashed
from api.limits import Limits
from api.settings import ApiSettings, signing_secret
from api.signing import Signer
from recon.errors import ReconError
from workers.app import make_app
from workers.database import owned
from workers.models import Capture, Job, Key, Table
from workers.node import Node
from workers.places import Place
from workers.settings import Settings

USED_EVERY_S = 60.0
"""A key's ``used_s`` is written at most so often."""
Row = TypeVar("Row", bound=Table)


class Service:
    """One for each API process."""

    def __init__(self, settings: Settings, api: ApiSettings) -> None:
        self.settings = settings
        self.api = api
        self.node = Node(settings, make_app(settings))
        self.signer = Signer(signing_secret(api, settings))

    @cached_property
    def limits(self) -> Limits:
        return Limits(self.settings.broker_url, self.api.rate, self.api.rate_unknown)

    @contextmanager
    def place(self, owner_id: str) -> Iterator[Place]:
        """The owner's store and uploads; local copies are let go afterwards."""
        place = self.node.place(owner_id)
        try:
            yield place
        finally:
            place.release()

    def url(self, request: Request, path: str) -> str:
        """An absolute URL of ours, as the client reaches us."""
        root = self.api.public_url.rstrip("/") or str(request.base_url).rstrip("/")
        return f"{root}{path}"

    def close(self) -> None:
        self.node.database.close()
        self.node.events.client.close()
        self.node.app.close()


async def the_service(request: Request) -> Service:  # async, like all that waits for nothing: no thread is begun for it
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(the_service)]


@dataclass(frozen=True)
class Caller:
    """Whose key came with the request, and what it may do."""

    owner_id: str
    key_id: str
    scopes: frozenset[str]


bearer = HTTPBearer(auto_error=False, scheme_name="key", description="An API key: `Authorization: Bearer rk_...`")


def the_caller(
    request: Request, service: ServiceDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
) -> Caller:
    """401 unless a valid key came; 429 if it came too often."""
    address = request.client.host if request.client else "unknown"
    if credentials is None:
        raise Unauthorized("no API key came with the request", "Send it as 'Authorization: Bearer rk_...'")
    with service.node.database.reading() as session:
        key = session.scalar(select(Key).where(Key.sha256 == hashed(credentials.credentials)))
    now_s = time.time()
    if key is None or key.revoked_s is not None or (key.expires_s is not None and key.expires_s < now_s):
        service.limits.count_failure(address)
        state = "unknown" if key is None else "revoked" if key.revoked_s is not None else "expired"
        raise Unauthorized(f"the API key is {state}", "Make a new one with 'recon keys create', or ask who runs the service")
    service.limits.check_key(key.id)
    if key.used_s is None or key.used_s < now_s - USED_EVERY_S:
        with service.node.database.writing() as session:
            session.get_one(Key, key.id).used_s = now_s
    request.state.owner_id = key.owner_id  # for the log
    return Caller(key.owner_id, key.id, frozenset(key.scopes))


def scoped(scope: Scope) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency: the caller, whose key must have that scope."""

    async def check(caller: Annotated[Caller, Depends(the_caller)]) -> Caller:
        return allowed(caller, scope)

    return check


def allowed(caller: Caller, scope: Scope) -> Caller:
    """The caller, if their key has that scope."""
    if scope not in caller.scopes:
        raise Forbidden(f"the API key may not {scope}: its scopes are {', '.join(sorted(caller.scopes)) or 'none'}", "Use another key")
    return caller


Reader = Annotated[Caller, Depends(scoped("read"))]
Writer = Annotated[Caller, Depends(scoped("write"))]
Admin = Annotated[Caller, Depends(scoped("admin"))]


def mine(session: Session, kind: type[Row], id: Any, caller: Caller) -> Row:
    """The caller's row of that id. Absent (404) for one of another owner, one that was deleted, or none at all."""
    try:
        row = owned(session, kind, id, caller.owner_id)
    except KeyError:
        raise absent(kind, id) from None
    if isinstance(row, Capture | Job) and row.deleted_s is not None:
        raise absent(kind, id)
    return row


def absent(kind: type[Table], id: Any) -> ReconError:
    return Absent(f"there is no {kind.__name__.removesuffix('Row').lower()} {str(id)[:80]!r}")
