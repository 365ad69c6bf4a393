"""Rows of measurements: found, and shown."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.measurements import schemas
from workers.models import Job, Measurement

MOST = 1000
"""Of a job."""


def measurement_rows(session: Session, job: Job) -> list[Measurement]:
    query = select(Measurement).where(Measurement.job_id == job.id).order_by(Measurement.created_s, Measurement.id).limit(MOST)
    return list(session.scalars(query))


def show_measurement(row: Measurement) -> schemas.Measurement:
    return schemas.Measurement(**{name: getattr(row, name) for name in schemas.Measurement.model_fields})
