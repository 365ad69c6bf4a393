"""What a job gives to its user before it ends."""

from __future__ import annotations

import pytest
from service_fixtures import Service
from sqlalchemy import select

from workers.advance import advance
from workers.models import Artifact, Event, StageRow
from workers.shards import run_next


def run(service: Service, capture: str) -> str:
    """A job up to the toy pipeline's first stage, in this process."""
    job = service.submit(capture, until="ingest")
    advance(service.node, job)
    while run_next(service.node, "cpu"):
        pass
    assert service.job(job).state == "done"
    return job


def test_previews_are_listed_as_soon_as_their_stage_ends_or_is_found_ready(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.advance.PREVIEWS", {"ingest": {"n.txt": "preview/n.txt", "absent.txt": "preview/absent.txt"}})
    capture = service.add_toy_capture(7)
    for state in ("done", "cached"):
        job = run(service, capture)
        with service.node.database.reading() as session:
            (artifact,) = session.scalars(select(Artifact).where(Artifact.job_id == job))
            stage = session.scalars(select(StageRow).where(StageRow.job_id == job, StageRow.name == "ingest")).one()
            noted = [event.told for event in session.scalars(select(Event).where(Event.job_id == job, Event.kind == "artifact"))]
        assert stage.state == state
        assert (artifact.kind, artifact.name, artifact.path, artifact.size) == ("preview", "preview/n.txt", "n.txt", 1)
        assert artifact.folder == f"{stage.key}/0000"
        assert (service.node.place("owner").store.pull(artifact.folder) / "n.txt").read_bytes() == b"7"
        assert artifact.sha256 == "7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451"
        told = [(event.kind, event.told.get("state", event.told.get("name"))) for event in service.node.events.read(job)]
        assert told[-3:] == [("stage", state), ("artifact", "preview/n.txt"), ("job", "done")]
        assert noted == [{"name": "preview/n.txt", "kind": "preview"}]
