"""Sends what waits for webhooks, and says how its receiver knows that it is ours.

A delivery is a POST of ``{"id", "type", "created_s", "told": {...}}`` with these headers:

    Recon-Id          id of the event, the same at each try and each replay
    Recon-Timestamp   seconds since 1970 when this try was signed
    Recon-Signature   v1=HEX, the HMAC-SHA256 of "TIMESTAMP.BODY" under the webhook's secret

Check the signature over the body as it came, before reading it; refuse a timestamp more than five minutes off, so that nobody
can send again what they overheard; and pass over an id that you have had. ``verify`` does the first two.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from api.service import Service
from recon.errors import ReconError
from workers.database import clock
from workers.fetch import Fetcher
from workers.models import Delivery, Webhook

log = logging.getLogger(__name__)

TOLERANCE_S = 300
POST_S = 10.0
ATTEMPTS = 8
FIRST_WAIT_S, GROWTH, JITTER = 10.0, 4.3, 0.2
"""Waits of 10 s, 43 s, 3 min, 13 min, 1 h, 4 h, 18 h, each a fifth more or less: about a day in all."""
AT_ONCE = 8
OF_ONE = 2
"""Of one webhook in a round: a receiver that does not answer holds up nobody else."""
ROUNDS_S = 4.0
HELD_S = 120.0
"""Others leave a delivery alone for so long once one has begun with it: longer than any try takes."""


def signature(secret: str, timestamp: int, body: bytes) -> str:
    return "v1=" + hmac.digest(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hex()


def verify(secret: str, timestamp: str, body: bytes, signed: str, now_s: float) -> bool:
    """Whether a delivery is ours and of this moment: for receivers, who pass its two headers and the body as it came."""
    if not timestamp.isascii() or not timestamp.isdecimal() or abs(now_s - int(timestamp)) > TOLERANCE_S:
        return False
    return hmac.compare_digest(signature(secret, int(timestamp), body).encode(), signed.encode("utf-8", "replace"))


@dataclass(frozen=True)
class _Try:
    id: str
    url: str
    secret: str
    body: bytes
    attempt: int


def deliver_due(service: Service) -> int:
    """Try what is due, a few at once, for a few seconds. Returns how many. Safe in any number of processes."""
    end_s, count = time.monotonic() + ROUNDS_S, 0
    while tried := _round(service):
        count += tried
        if time.monotonic() > end_s:
            break
    return count


def _round(service: Service) -> int:
    with service.node.database.writing() as session:
        tries = _begin(session)
    if tries:
        with ThreadPoolExecutor(len(tries), "webhook") as pool:
            for one, status in zip(tries, pool.map(lambda one: _post(service, one), tries), strict=True):
                with service.node.database.writing() as session:
                    _end(session, one, status)
    return len(tries)


def _begin(session: Session) -> list[_Try]:
    """Take deliveries whose time has come: until their result is written, or ``HELD_S`` have passed, nobody else does."""
    turn = func.row_number().over(partition_by=Delivery.webhook_id, order_by=Delivery.next_s)
    waits = (Delivery.state == "waiting", Delivery.next_s <= clock(), Webhook.active)
    ranked = select(Delivery.id, turn.label("turn")).join(Webhook, Webhook.id == Delivery.webhook_id).where(*waits).subquery()
    query = (
        select(Delivery)
        .where(Delivery.id.in_(select(ranked.c.id).where(ranked.c.turn <= OF_ONE)), Delivery.state == "waiting", Delivery.next_s <= clock())
        .order_by(Delivery.next_s)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    tries = []
    for row in session.scalars(query).all():
        webhook = session.get_one(Webhook, row.webhook_id)
        row.attempts += 1
        row.next_s = session.scalars(select(clock())).one() + HELD_S
        told = {"id": row.id, "type": row.kind, "created_s": row.created_s, "told": row.told}
        tries.append(_Try(row.id, webhook.url, webhook.secret, json.dumps(told).encode(), row.attempts))
    return tries


def _post(service: Service, one: _Try) -> int | None:
    """The answer's status; None if there was none, or if the address is one that we don't go to (any more)."""
    timestamp = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "Recon-Id": one.id,
        "Recon-Timestamp": str(timestamp),
        "Recon-Signature": signature(one.secret, timestamp, one.body),
    }
    fetcher = Fetcher(service.settings.allow_private)
    try:
        return fetcher.post(one.url, one.body, headers, POST_S)
    except ReconError as error:
        log.info("webhook delivery %s: %s", one.id, error.message)
        return None
    finally:
        fetcher.close()


def _end(session: Session, one: _Try, status: int | None) -> None:
    """Note what came of a try, unless it was given up or replayed meanwhile."""
    values: dict[str, object] = {"status": status}
    if status is not None and 200 <= status < 300:
        values["state"] = "delivered"
    elif one.attempt >= ATTEMPTS:
        values["state"] = "failed"
    else:
        values["next_s"] = clock() + wait_s(one.attempt)
    same = update(Delivery).where(Delivery.id == one.id, Delivery.state == "waiting", Delivery.attempts == one.attempt)
    session.execute(same.values(**values), execution_options={"synchronize_session": False})


def wait_s(attempt: int) -> float:
    """After that many tries in vain."""
    return FIRST_WAIT_S * GROWTH ** (attempt - 1) * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
