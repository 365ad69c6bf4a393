"""``/v1/jobs/{id}/measurements``; read-only through a share as well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.artifacts.kept import Kept
from api.artifacts.media import TYPES, disposition
from api.errors import Conflict
from api.jobs.schemas import JobId
from api.measurements import schemas
from api.measurements.export import as_csv, as_geojson
from api.measurements.rows import MOST, measurement_rows, show_measurement
from api.problems import responses
from api.service import Caller, Reader, Service, ServiceDep, Writer, absent, mine
from api.shares.tokens import ShownDep
from workers.models import Artifact, Job, Measurement

Format = Annotated[Literal["csv", "geojson"], Path(description="csv, or geojson")]
_PLACE = "products.json"
_FILES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": {"text/csv": {"schema": {"type": "string"}}, "application/geo+json": {}}}
}

router = APIRouter(prefix="/v1", tags=["measurements"])


@router.post(
    "/jobs/{id}/measurements",
    status_code=201,
    summary="Save a measurement",
    responses=responses(401, 403, 404, 409, 422),
)
def create_measurement(id: JobId, wanted: schemas.NewMeasurement, caller: Writer, service: ServiceDep) -> schemas.Measurement:
    """Keep what was measured in the job's model. It goes when the job goes."""
    with service.node.database.writing() as session:
        job = mine(session, Job, id, caller)
        if (session.scalar(select(func.count()).where(Measurement.job_id == job.id)) or 0) >= MOST:
            raise Conflict(f"the job has {MOST} measurements", "Delete those that are no longer needed")
        row = Measurement(owner_id=job.owner_id, job_id=job.id, **wanted.model_dump())
        session.add(row)
        session.flush()
        return show_measurement(row)


@router.get("/jobs/{id}/measurements", summary="List a job's measurements", responses=responses(401, 403, 404, 422))
def list_measurements(id: JobId, caller: Reader, service: ServiceDep) -> schemas.Measurements:
    """All of them."""
    with service.node.database.reading() as session:
        return schemas.Measurements(items=[show_measurement(row) for row in measurement_rows(session, mine(session, Job, id, caller))])


@router.patch("/jobs/{id}/measurements/{measurement_id}", summary="Rename a measurement", responses=responses(401, 403, 404, 422))
def change_measurement(
    id: JobId, measurement_id: schemas.MeasurementId, wanted: schemas.MeasurementChange, caller: Writer, service: ServiceDep
) -> schemas.Measurement:
    """Its name is the only thing that can be changed."""
    with service.node.database.writing() as session:
        row = _one(session, id, measurement_id, caller)
        row.name = wanted.name
        return show_measurement(row)


@router.delete(
    "/jobs/{id}/measurements/{measurement_id}", status_code=204, summary="Delete a measurement", responses=responses(401, 403, 404, 422)
)
def delete_measurement(id: JobId, measurement_id: schemas.MeasurementId, caller: Writer, service: ServiceDep) -> Response:
    """For good."""
    with service.node.database.writing() as session:
        session.delete(_one(session, id, measurement_id, caller))
    return Response(status_code=204)


@router.get(
    "/jobs/{id}/measurements.{format}",
    summary="Export a job's measurements",
    response_class=Response,
    responses={**_FILES, **responses(401, 403, 404, 422)},
)
def export_measurements(id: JobId, format: Format, caller: Reader, service: ServiceDep) -> Response:
    """As a table, or as GeoJSON: in degrees where the model has a place on the globe, else in its own frame."""
    with service.node.database.reading() as session:
        job = mine(session, Job, id, caller)
    return _exported(service, job, format)


@router.get(
    "/shared/measurements.{format}",
    summary="Export the measurements of a share",
    response_class=Response,
    responses={**_FILES, **responses(401, 422)},
)
def export_shared(format: Format, shown: ShownDep, service: ServiceDep) -> Response:
    """The same for whoever has a share's token."""
    return _exported(service, shown.job, format)


def _exported(service: Service, job: Job, format: Literal["csv", "geojson"]) -> Response:
    with service.node.database.reading() as session:
        rows = measurement_rows(session, job)
    text = as_csv(rows) if format == "csv" else as_geojson(rows, _place(service, job))
    told = {
        "Content-Disposition": disposition(f"measurements.{format}"),
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
    return Response(text, headers=told, media_type=TYPES[f".{format}"])


def _place(service: Service, job: Job) -> Mapping[str, Any]:
    """Frame, unit and origin of the job's model; nothing where it has none yet."""
    with service.node.database.reading() as session:
        artifact = session.scalar(select(Artifact).where(Artifact.job_id == job.id, Artifact.name == _PLACE))
    if artifact is None:
        return {}
    with service.place(job.owner_id) as place:
        kept = Kept(place)
        kept.checked_key(artifact)
        found: Mapping[str, Any] = json.loads(b"".join(kept.stream(artifact)))
        return found


def _one(session: Session, id: str, measurement_id: str, caller: Caller) -> Measurement:
    job = mine(session, Job, id, caller)
    row = mine(session, Measurement, measurement_id, caller)
    if row.job_id != job.id:
        raise absent(Measurement, measurement_id)
    return row
