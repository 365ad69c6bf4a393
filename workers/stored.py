"""What an owner stores, against their limit."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workers.models import Artifact, Capture, File, Job


def stored_bytes(session: Session, owner_id: str) -> int:
    """Of an owner's uploads, as declared, and results. What was deleted counts no more, though its bytes go a little later."""
    files = select(func.sum(File.size)).join(Capture, Capture.id == File.capture_id)
    files = files.where(File.owner_id == owner_id, Capture.deleted_s.is_(None))
    listed = select(Artifact.folder, Artifact.name, Artifact.size).join(Job, Job.id == Artifact.job_id)
    listed = listed.where(Artifact.owner_id == owner_id, Job.deleted_s.is_(None))
    results = select(func.sum(listed.distinct().subquery().c.size))  # jobs of one recipe share their files
    return int(session.scalar(files) or 0) + int(session.scalar(results) or 0)
