"""``/v1/jobs/{id}/shares``, and ``/v1/shared`` for whoever has a link."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request, Response
from sqlalchemy import func, select

from api.artifacts.listed import show_artifacts
from api.errors import Conflict
from api.jobs.schemas import JobId
from api.measurements.rows import measurement_rows, show_measurement
from api.problems import responses
from api.service import Reader, ServiceDep, Writer, absent, mine
from api.shares import schemas
from api.shares.tokens import ShownDep, make_share
from workers.models import Job, Share

MOST = 200
"""Shares of a job that are open at once."""

router = APIRouter(prefix="/v1", tags=["shares"])


@router.post("/jobs/{id}/shares", status_code=201, summary="Share a job", responses=responses(401, 403, 404, 409, 422))
def create_share(request: Request, id: JobId, wanted: schemas.NewShare, caller: Writer, service: ServiceDep) -> schemas.MadeShare:
    """A link to this job's results, for people without a key: they may look and download, nothing else. Keep `token` and `url`: of the
    token the service keeps a hash only.
    """
    now_s = time.time()
    with service.node.database.writing() as session:
        job = mine(session, Job, id, caller)
        still_open = select(func.count()).where(Share.job_id == job.id, Share.revoked_s.is_(None), Share.expires_s > now_s)
        if (session.scalar(still_open) or 0) >= MOST:
            raise Conflict(f"the job has {MOST} shares that are open", "Revoke those that are no longer needed")
        row, token = make_share(session, job, wanted.name, now_s + wanted.holds_s)
    return schemas.MadeShare(**_shown(row).model_dump(), token=token, url=service.url(request, f"/#/shared/{token}"))


@router.get("/jobs/{id}/shares", summary="List a job's shares", responses=responses(401, 403, 404, 422))
def list_shares(id: JobId, caller: Reader, service: ServiceDep) -> schemas.Shares:
    """Without their tokens, which are told only once."""
    with service.node.database.reading() as session:
        job = mine(session, Job, id, caller)
        rows = session.scalars(select(Share).where(Share.job_id == job.id).order_by(Share.created_s.desc(), Share.id).limit(1000))
        return schemas.Shares(items=[_shown(row) for row in rows])


@router.delete("/jobs/{id}/shares/{share_id}", status_code=204, summary="Revoke a share", responses=responses(401, 403, 404, 422))
def revoke_share(id: JobId, share_id: schemas.ShareId, caller: Writer, service: ServiceDep) -> Response:
    """It opens nothing from now on, nor do the URLs that it gave."""
    with service.node.database.writing() as session:
        job = mine(session, Job, id, caller)
        row = mine(session, Share, share_id, caller)
        if row.job_id != job.id:
            raise absent(Share, share_id)
        row.revoked_s = row.revoked_s or time.time()
    return Response(status_code=204)


@router.get("/shared", summary="Open a share", responses=responses(401))
def open_share(request: Request, shown: ShownDep, service: ServiceDep) -> schemas.SharedJob:
    """The job that the share's token is for: its results, and what was measured in it."""
    job = shown.job
    with service.node.database.reading() as session:
        files = show_artifacts(service, request, session, job, shown.share)
        return schemas.SharedJob(
            name=shown.capture_name,
            job_id=job.id,
            state=job.state,
            created_s=job.created_s,
            ended_s=job.ended_s,
            expires_s=shown.share.expires_s,
            artifacts=files.items,
            zip_url=files.zip_url,
            measurements=[show_measurement(row) for row in measurement_rows(session, job)],
        )


def _shown(row: Share) -> schemas.Share:
    names = ("id", "name", "created_s", "expires_s", "used_s", "revoked_s")
    return schemas.Share(**{name: getattr(row, name) for name in names})
