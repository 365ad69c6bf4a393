"""What opens a share: 256 random bits behind the share's id. The database holds a hash only."""

from __future__ import annotations

import hmac
import re
import secrets
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from api.errors import Unauthorized
from api.keys import hashed
from api.service import USED_EVERY_S, Service, ServiceDep
from workers.models import Capture, Job, Share, new_id

PREFIX = "rs_"
_TOKEN = re.compile(r"rs_([0-9a-f]{20})[0-9A-Za-z_-]{43}")
_NOTHING = "0" * 64


def make_share(session: Session, job: Job, name: str, expires_s: float) -> tuple[Share, str]:
    """A new row, and the token that opens it, which is never seen again."""
    id = new_id()
    token = f"{PREFIX}{id}{secrets.token_urlsafe(32)}"
    row = Share(id=id, owner_id=job.owner_id, job_id=job.id, name=name, sha256=hashed(token), expires_s=expires_s)
    session.add(row)
    session.flush()
    return row, token


def holds(share: Share | None) -> bool:
    return share is not None and share.revoked_s is None and share.expires_s > time.time()


@dataclass(frozen=True)
class Shown:
    """What a share's token opens."""

    share: Share
    job: Job
    capture_name: str


shared = HTTPBearer(auto_error=False, scheme_name="share", description="Of a share: `Authorization: Bearer rs_...`")


def the_shown(
    request: Request, service: ServiceDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(shared)]
) -> Shown:
    """401 without a token that holds, for a job that was not deleted; 429 if it came too often."""
    if credentials is None:
        raise Unauthorized("no share's token came with the request", "Open the link as it was sent to you")
    found = _found(service, credentials.credentials)
    if found is None:
        service.limits.count_failure(request.client.host if request.client else "unknown")
        raise Unauthorized("there is no such share: it has expired, was revoked, or never was", "Ask for a new link")
    service.limits.check_key(f"share {found.share.id}")
    _note_use(service, found.share)
    request.state.owner_id = found.share.owner_id  # for the log
    return found


ShownDep = Annotated[Shown, Depends(the_shown)]


def _found(service: Service, token: str) -> Shown | None:
    match = _TOKEN.fullmatch(token)
    with service.node.database.reading() as session:
        share = session.get(Share, match[1]) if match else None
        # compared whether there is one or not: the time taken tells nothing
        is_known = hmac.compare_digest(share.sha256 if share else _NOTHING, hashed(token))
        job = session.get(Job, share.job_id) if share is not None and is_known and holds(share) else None
        capture = session.get(Capture, job.capture_id) if job is not None else None
    if share is None or job is None or capture is None or job.deleted_s is not None or capture.deleted_s is not None:
        return None
    return Shown(share, job, capture.name)


def _note_use(service: Service, share: Share) -> None:
    now_s = time.time()
    if share.used_s is None or share.used_s < now_s - USED_EVERY_S:
        with service.node.database.writing() as session:
            row = session.get(Share, share.id)
            if row is not None:
                row.used_s = now_s
