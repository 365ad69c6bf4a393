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


def show_artifacts(service: Service, request: Request, session: Session, job: Job, share: Share | None = None) -> schemas.Artifacts:
    """All of a job's. ``share``: for somebody who has that share, whose URLs hold no longer than it."""
    rows = artifact_rows(session, job)
    zip_url = None
    if any(row.kind == "result" for row in rows):
        zip_url = service.url(request, f"/v1/jobs/{job.id}/artifacts.zip?token={_token(service, 'artifacts', job, share)}")
    return schemas.Artifacts(items=[_shown(service, request, job, row, share) for row in rows], zip_url=zip_url)


def _shown(service: Service, request: Request, job: Job, row: Artifact, share: Share | None) -> schemas.Artifact:
    token = _token(service, "artifact", job, share, name=row.name)
    url = service.url(request, f"/v1/jobs/{row.job_id}/artifacts/{quote(row.name)}?token={token}")
    return schemas.Artifact(
        id=row.id, name=row.name, kind=row.kind, size=row.size, sha256=row.sha256, media_type=media_type(row.name), url=url
    )  # fmt: skip


def _token(service: Service, may: str, job: Job, share: Share | None, **what: str) -> str:
    holds_s = float(service.api.url_s)
    if share is not None:
        holds_s, what = min(holds_s, share.expires_s - time.time()), {**what, "share": share.id}
    return service.signer.sign(may, holds_s, owner=job.owner_id, job=job.id, **what)
