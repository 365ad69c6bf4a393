"""What may be chosen for a job: presets, and every option with its range and meaning."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.problems import responses
from api.service import Reader
from recon.config import PRESETS, Config, layered
from recon.pipeline import stages_until

router = APIRouter(prefix="/v1", tags=["jobs"])


class Options(BaseModel):
    presets: dict[str, dict[str, Any]] = Field(
        description="every option as each preset has it, a dict a stage", examples=[{"fast": {"seed": 0, "mesh": {"faces": 50000}}}]
    )
    options: dict[str, Any] = Field(
        description="JSON schema of a job's `config`, with `default`, range and `description` of each option",
        examples=[{"type": "object", "properties": {}}],
    )
    stages: list[str] = Field(description="in their order", examples=[["ingest", "select", "features"]])


@router.get("/options", summary="Presets and options", responses=responses(401, 403))
def get_options(caller: Reader) -> Options:  # noqa: ARG001  (whoever may read)
    """For forms in which people choose."""
    return Options(
        presets={name: layered(name).model_dump(mode="json") for name in PRESETS},
        options=Config.model_json_schema(),
        stages=[stage.name for stage in stages_until(None)],
    )
