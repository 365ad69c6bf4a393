"""Events for webhooks, written in the transaction that makes them true; ``api/webhooks/deliver.py`` sends them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from workers.models import Delivery, Webhook

KINDS = (
    "job.queued",
    "job.running",
    "job.done",
    "job.failed",
    "job.cancelled",
    "capture.ready",
    "capture.failed",
)


def announce(session: Session, owner_id: str, kind: str, told: dict[str, Any]) -> None:
    """One delivery for each of the owner's webhooks that wants this kind."""
    for webhook in session.scalars(select(Webhook).where(Webhook.owner_id == owner_id, Webhook.active)):
        if not webhook.kinds or kind in webhook.kinds:
            session.add(Delivery(owner_id=owner_id, webhook_id=webhook.id, kind=kind, told=told))
