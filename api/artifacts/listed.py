"""Rows of artifacts, and how they are shown: each with a URL that holds its own permission."""

from __future__ import annotations

import time
from urllib.parse import quote

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.artifacts import schemas
from api.artifacts.media import media_type
from api.service import Service
from workers.models import Artifact, Job, Share


def artifact_rows(session: Session, job: Job) -> list[Artifact]:
    return list(session.scalars(select(Artifact).where(Artifact.job_id == job.id).order_by(Artifact.name)))


def show_artifact(service: Service, request: Request, row: Artifact, share: Share | None = None) -> schemas.Artifact:
    """``share``: the URL is for somebody who has that share, and holds no longer than it."""
    holds_s, of_share = float(service.api.url_s), {}
    if share is not None:
        holds_s, of_share = min(holds_s, share.expires_s - time.time()), {"share": share.id}
    token = service.signer.sign("artifact", holds_s, owner=row.owner_id, job=row.job_id, name=row.name, **of_share)
    url = service.url(request, f"/v1/jobs/{row.job_id}/artifacts/{quote(row.name)}?token={token}")
    return schemas.Artifact(
        id=row.id, name=row.name, kind=row.kind, size=row.size, sha256=row.sha256, media_type=media_type(row.name), url=url
    )  # fmt: skip
