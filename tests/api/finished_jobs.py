"""Jobs that are done, without a worker: their files lie in the store, and the rows say so."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

from api_fixtures import Api
from sqlalchemy import select

from recon.config import Config
from workers.jobs import create_job
from workers.models import Artifact, StageRow
from workers.s3 import S3Store, contents


def finished_job(api: Api, files: dict[str, bytes], owner: str = "owner", kind: str = "result", **values: Any) -> str:
    """A job of one stage with a folder of its own, whose files are its artifacts."""
    api.client_of(owner)
    capture = api.service.add_toy_capture(1, owner)
    top = f"products-{secrets.token_hex(8)}"
    found = push(api, f"{top}/0000", files, owner)
    with api.service.node.database.writing() as session:
        job = create_job(session, owner, capture, Config())
        job.state, job.ended_s = "done", time.time()
        for name, value in values.items():
            setattr(job, name, value)
        for stage in session.scalars(select(StageRow).where(StageRow.job_id == job.id)):
            stage.state = "waiting"
        stage.state, stage.key = "done", top
        common = {"owner_id": owner, "job_id": job.id, "folder": f"{top}/0000", "kind": kind}
        session.add_all(Artifact(name=name, size=told["size"], sha256=told["sha256"], **common) for name, told in found.items())
        return job.id


def push(api: Api, key: str, files: dict[str, bytes], owner: str = "owner") -> dict[str, dict[str, Any]]:
    """Put a folder into the owner's store. What it holds: size and SHA-256."""
    place = api.service.node.place(owner)
    try:
        with place.store.scratch() as folder:
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            found = contents(folder)[0]
            place.store.push(folder, key, {})
        return found
    finally:
        place.release()


def stored(api: Api, owner: str = "owner") -> set[str]:
    """Every file that is really there: keys of results and uploads, by what is on the disk or in the bucket."""
    place = api.service.node.place(owner)
    if isinstance(place.store, S3Store):
        results = {f"results/{found.key}" for found in place.store.bucket.listed()}
        return results | {f"uploads/{found.key}" for found in place.uploads.listed()}
    root: Path = place.store.root.parent
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "scratch" not in path.parts}  # of killed processes: workers sweep it
