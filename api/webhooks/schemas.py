"""Webhooks and their deliveries, as they are told over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from workers.models import Delivery, Webhook

Id = Annotated[str, Path(pattern="^[0-9A-Za-z]+$", max_length=64, examples=["5b1f0c9e7d3a48261f0e"])]
EventKind = Literal["job.queued", "job.running", "job.done", "job.failed", "job.cancelled", "capture.ready", "capture.failed"]
"""The same as ``workers.announce.KINDS``."""
Kinds = Annotated[list[EventKind], Field(max_length=20, description="kinds of events that it is told; empty: all")]


class NewWebhook(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"url": "https://example.org/recon", "kinds": ["job.done", "job.failed"]}]}
    )

    url: str = Field(min_length=8, max_length=2000, pattern="^https?://", description="a public http(s) URL that answers POST with 2xx")
    kinds: Kinds = []


class ChangedWebhook(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"active": False}]})

    active: bool | None = Field(None, description="while it is not, events are not kept for it, and what waits is given up")
    kinds: Kinds | None = None


class WebhookShown(BaseModel):
    """A URL that is told events."""

    model_config = ConfigDict(title="Webhook")

    id: str
    url: str
    kinds: list[str]
    active: bool
    created_s: float


class WebhookMade(WebhookShown):
    """With its secret, which is shown this once."""

    model_config = ConfigDict(title="NewlyMadeWebhook")

    secret: str = Field(description="signs what is sent: see `Recon-Signature`")


class DeliveryShown(BaseModel):
    """One event for one webhook."""

    model_config = ConfigDict(title="Delivery")

    id: str = Field(description="sent as `Recon-Id`, the same at each try: by it you know what you have had")
    webhook_id: str
    type: str = Field(examples=["job.done"])
    told: dict[str, Any] = Field(examples=[{"job_id": "3f9c0d7c1b2a4e5f6a7b", "capture_id": "8a1f...", "state": "done"}])
    state: Literal["waiting", "delivered", "failed"]
    attempts: int
    next_s: float = Field(description="when it is tried next, while it waits")
    status: int | None = Field(description="HTTP status of the last answer; null: there was none")
    created_s: float


def webhook_shown(row: Webhook) -> WebhookShown:
    return WebhookShown(id=row.id, url=row.url, kinds=row.kinds, active=row.active, created_s=row.created_s)


def delivery_shown(row: Delivery) -> DeliveryShown:
    fields = {name: getattr(row, name) for name in ("id", "webhook_id", "told", "state", "attempts", "next_s", "status", "created_s")}
    return DeliveryShown.model_validate({**fields, "type": row.kind})
