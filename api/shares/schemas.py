"""What the API says about shares."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from api.artifacts.schemas import Artifact
from api.captures.schemas import Name
from api.jobs.schemas import State
from api.measurements.schemas import Measurement

ShareId = Annotated[str, Path(pattern="^[0-9A-Za-z]{1,40}$", description="of a share", examples=["5b1f0c9e7d3a48261f0e"])]
LONGEST_S = 366 * 24 * 3600.0


class NewShare(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name = Field("Link", description="to tell it from others", examples=["for the client"])
    holds_s: float = Field(
        7 * 24 * 3600.0, strict=True, ge=60, le=LONGEST_S, allow_inf_nan=False, description="seconds until it expires", examples=[604800.0]
    )


class Share(BaseModel):
    id: str = Field(examples=["5b1f0c9e7d3a48261f0e"])
    name: str = Field(examples=["for the client"])
    created_s: float = Field(examples=[1789000000.0])
    expires_s: float = Field(examples=[1789604800.0])
    used_s: float | None = Field(description="when it was last opened, to about a minute", examples=[None])
    revoked_s: float | None = Field(examples=[None])


class MadeShare(Share):
    token: str = Field(description="opens it, told this once", examples=["rs_5b1f0c9e7d3a48261f0eV1StGXR8..."])
    url: str = Field(
        description="of the page that shows it. The token is behind the '#', so that it is in no log",
        examples=["https://recon.example/#/shared/rs_5b1f0c9e7d3a48261f0eV1StGXR8..."],
    )


class Shares(BaseModel):
    items: list[Share] = Field(description="the newest first, those revoked or expired too")


class SharedJob(BaseModel):
    """All that a share shows of its job."""

    name: str = Field(description="of the capture", examples=["Town hall"])
    job_id: str = Field(examples=["3f9c0d7c1b2a4e5f6a7b"])
    state: State = Field(examples=["done"])
    created_s: float = Field(examples=[1789000000.0])
    ended_s: float | None = Field(examples=[1789000900.0])
    expires_s: float = Field(description="when the share ends", examples=[1789604800.0])
    artifacts: list[Artifact] = Field(description="by name; their URLs hold no longer than the share")
    zip_url: str | None = Field(description="of all results as one zip; null: there is no result yet", examples=[None])
    measurements: list[Measurement] = Field(description="the oldest first")
