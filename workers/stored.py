"""What an owner stores, against their limit."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from workers.models import Artifact, Capture, File, Job


def stored_bytes(session: Session, owner_id: str) -> int:
    """Of an owner's uploads, as declared, and results. What was deleted counts no more, though its bytes go a little later."""
    files = select(func.sum(File.size)).join(Capture, Capture.id == File.capture_id)
    files = files.where(File.owner_id == owner_id, Capture.deleted_s.is_(None))
    results = bytes_of_results(Artifact.owner_id == owner_id, Job.deleted_s.is_(None))
    return int(session.scalar(files) or 0) + int(session.scalar(results) or 0)


def bytes_of_results(*which: Any) -> Select[int]:
    """Of artifacts: jobs of one recipe list the same files, which count once."""
    listed = select(Artifact.owner_id, Artifact.folder, Artifact.path, Artifact.name, Artifact.size)
    listed = listed.join(Job, Job.id == Artifact.job_id).where(*which)
    return select(func.sum(listed.distinct().subquery().c.size))
