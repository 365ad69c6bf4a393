"""What the API says about artifacts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Artifact(BaseModel):
    id: str = Field(examples=["3f9c0d7c1b2a4e5f6a7b"])
    name: str = Field(description="'/' between folders", examples=["points.laz"])
    kind: Literal["result", "preview"] = Field(description="previews come while the job runs", examples=["result"])
    size: int = Field(examples=[48211904])
    sha256: str = Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])
    media_type: str = Field(examples=["application/vnd.laszip"])
    url: str = Field(
        description="holds its own permission and needs no key, for an hour unless the service says otherwise",
        examples=["https://recon.example/v1/jobs/8c1d/artifacts/points.laz?token=eyJ..."],
    )


class Artifacts(BaseModel):
    items: list[Artifact] = Field(description="by name")
    zip_url: str | None = Field(
        description="of all results as one zip, as the other URLs without a key; null: there is no result yet",
        examples=["https://recon.example/v1/jobs/8c1d/artifacts.zip?token=eyJ..."],
    )
