"""The service's finished jobs, for forecasts. They may be any owner's: nothing of them shows but how long stages take."""

from __future__ import annotations

import time
from collections import defaultdict
from weakref import WeakKeyDictionary

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.jobs.eta import Past
from api.service import Service
from workers.jobs import SOURCE
from workers.models import Job, StageRow

KEPT = 40
"""The newest that computed something."""
FRESH_S = 20.0

_known: WeakKeyDictionary[Service, tuple[float, list[Past]]] = WeakKeyDictionary()


def finished(service: Service, session: Session) -> list[Past]:
    """As of ``FRESH_S`` ago at most."""
    read_s, past = _known.get(service, (0.0, []))
    if time.monotonic() - read_s > FRESH_S or not read_s:
        past = _read(session)
        _known[service] = time.monotonic(), past
    return past


def _read(session: Session) -> list[Past]:
    computed = select(StageRow.id).where(StageRow.job_id == Job.id, StageRow.state == "done", StageRow.name != SOURCE).exists()
    jobs = session.execute(select(Job.id, Job.expected_s).where(Job.state == "done", computed).order_by(Job.ended_s.desc()).limit(KEPT))
    expected = {id: expected_s for id, expected_s in jobs}  # noqa: C416  (rows are no pairs to mypy)
    seconds: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for stage in session.scalars(select(StageRow).where(StageRow.job_id.in_(expected), StageRow.state == "done")):
        if stage.started_s is not None and stage.ended_s is not None:
            seconds[stage.job_id][stage.name] = max(0.0, stage.ended_s - stage.started_s)
    return [Past(expected_s, seconds[id]) for id, expected_s in expected.items()]
