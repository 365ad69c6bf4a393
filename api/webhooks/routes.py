"""Webhooks: made, changed, tried, and what was sent to them."""

from __future__ import annotations

import json
import secrets

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from api.errors import Conflict
from api.idempotency import KeyHeader, once
from api.outside import check_outside
from api.paging import Cursor, Limit, Page, page_of
from api.problems import responses
from api.service import Caller, Reader, ServiceDep, Writer, mine
from api.webhooks.schemas import (
    ChangedWebhook,
    DeliveryShown,
    Id,
    NewWebhook,
    WebhookMade,
    WebhookShown,
    delivery_shown,
    webhook_shown,
)
from workers.database import clock
from workers.errors import OverQuota
from workers.models import Delivery, Webhook

router = APIRouter(prefix="/v1", tags=["webhooks"])

MAX_WEBHOOKS = 20
"""Of an owner: each is told every event."""
TEST = "test"


@router.post(
    "/webhooks",
    status_code=201,
    summary="Make a webhook",
    response_model=WebhookMade,
    responses=responses(401, 403, 409, 422),
)
def create_webhook(body: NewWebhook, service: ServiceDep, caller: Writer, key: KeyHeader = None) -> JSONResponse:
    """Have a URL told events by POST. The answer has the secret that signs them; it is not shown again.

    `Recon-Signature` is `v1=` and the hexadecimal HMAC-SHA256, under the secret, of `Recon-Timestamp`, a dot, and the body.
    Refuse what does not match, or whose timestamp is more than five minutes off; pass over a `Recon-Id` that you have had.
    Anything but a 2xx answer within 10 s, a redirect too, is tried again, eight times in about a day.
    """
    check_outside(service, body.url)
    answer = once(service, caller, key, "POST /v1/webhooks", body, lambda session: _make(session, caller, body))
    told = json.loads(bytes(answer.body))
    with service.node.database.reading() as session:
        webhook = session.get(Webhook, told["id"])
    return JSONResponse({**told, "secret": webhook.secret if webhook else ""}, answer.status_code)


@router.get("/webhooks", summary="List webhooks", responses=responses(401, 403, 422))
def list_webhooks(service: ServiceDep, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page[WebhookShown]:
    """Newest first, without their secrets."""
    with service.node.database.reading() as session:
        return page_of(session, select(Webhook).where(Webhook.owner_id == caller.owner_id), Webhook, limit, cursor, webhook_shown)


@router.get("/webhooks/{webhook_id}", summary="Get a webhook", responses=responses(401, 403, 404, 422))
def get_webhook(webhook_id: Id, service: ServiceDep, caller: Reader) -> WebhookShown:
    """Without its secret."""
    with service.node.database.reading() as session:
        return webhook_shown(mine(session, Webhook, webhook_id, caller))


@router.patch("/webhooks/{webhook_id}", summary="Change a webhook", responses=responses(401, 403, 404, 422))
def change_webhook(webhook_id: Id, body: ChangedWebhook, service: ServiceDep, caller: Writer) -> WebhookShown:
    """Switch it off or on, or choose other kinds. Deliveries that wait when it is switched off are given up; they can be replayed."""
    with service.node.database.writing() as session:
        webhook = mine(session, Webhook, webhook_id, caller)
        if body.kinds is not None:
            webhook.kinds = list(body.kinds)
        if body.active is not None:
            webhook.active = body.active
        if not webhook.active:
            waits = update(Delivery).where(Delivery.webhook_id == webhook.id, Delivery.state == "waiting")
            session.execute(waits.values(state="failed"), execution_options={"synchronize_session": False})
        return webhook_shown(webhook)


@router.delete("/webhooks/{webhook_id}", status_code=204, summary="Delete a webhook", responses=responses(401, 403, 404, 422))
def delete_webhook(webhook_id: Id, service: ServiceDep, caller: Writer) -> Response:
    """With all its deliveries."""
    with service.node.database.writing() as session:
        session.delete(mine(session, Webhook, webhook_id, caller))
    return Response(status_code=204)


@router.post("/webhooks/{webhook_id}/test", status_code=202, summary="Send a test event", responses=responses(401, 403, 404, 409, 422))
def test_webhook(webhook_id: Id, service: ServiceDep, caller: Writer) -> DeliveryShown:
    """An event of type `test`, whatever kinds the webhook wants."""
    with service.node.database.writing() as session:
        webhook = _active(mine(session, Webhook, webhook_id, caller))
        row = Delivery(owner_id=caller.owner_id, webhook_id=webhook.id, kind=TEST, told={"webhook_id": webhook.id})
        session.add(row)
        session.flush()
        return delivery_shown(row)


@router.get("/webhooks/{webhook_id}/deliveries", summary="List deliveries", responses=responses(401, 403, 404, 422))
def list_deliveries(webhook_id: Id, service: ServiceDep, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page[DeliveryShown]:
    """What was and will be sent, newest first."""
    with service.node.database.reading() as session:
        webhook = mine(session, Webhook, webhook_id, caller)
        return page_of(session, select(Delivery).where(Delivery.webhook_id == webhook.id), Delivery, limit, cursor, delivery_shown)


@router.post(
    "/deliveries/{delivery_id}/replay",
    status_code=202,
    summary="Send an event again",
    responses=responses(401, 403, 404, 409, 422),
)
def replay_delivery(delivery_id: Id, service: ServiceDep, caller: Writer) -> DeliveryShown:
    """With the same id, and as many tries as a new one."""
    with service.node.database.writing() as session:
        row = mine(session, Delivery, delivery_id, caller)
        _active(session.get_one(Webhook, row.webhook_id))
        row.state, row.attempts, row.status = "waiting", 0, None
        row.next_s = session.scalars(select(clock())).one()
        return delivery_shown(row)


def _make(session: Session, caller: Caller, body: NewWebhook) -> WebhookMade:
    count = session.scalar(select(func.count()).where(Webhook.owner_id == caller.owner_id)) or 0
    if count >= MAX_WEBHOOKS:
        raise OverQuota(f"you have {count} webhooks, the most there may be", "Delete one")
    row = Webhook(owner_id=caller.owner_id, url=body.url, kinds=list(body.kinds), secret=f"whsec_{secrets.token_urlsafe(32)}")
    session.add(row)
    session.flush()
    return WebhookMade(**webhook_shown(row).model_dump(), secret="")  # told by whoever answers: answers are kept for repetitions


def _active(webhook: Webhook) -> Webhook:
    if not webhook.active:
        raise Conflict("the webhook is switched off", "Switch it on with PATCH {'active': true}")
    return webhook
