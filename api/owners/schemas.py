"""What the API says about an owner and its keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.keys import Scope

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Limits(BaseModel):
    storage_bytes: int = Field(description="of uploads and results together", examples=[2_000_000_000_000])
    upload_bytes: int = Field(description="of one file", examples=[200_000_000_000])
    jobs: int = Field(description="queued or running at once", examples=[50])


class Usage(BaseModel):
    storage_bytes: int = Field(description="files as declared, whether they have arrived or not, and artifacts", examples=[73_400_320])
    captures: int = Field(examples=[12])
    jobs_live: int = Field(description="queued or running", examples=[1])


class Owner(BaseModel):
    id: str = Field(examples=["3f9c0d7c1b2a4e5f6a7b"])
    name: str = Field(examples=["survey team"])
    created_s: float = Field(examples=[1767225600.0])
    limits: Limits
    usage: Usage


class NewKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name = Field(description="to tell it from others", examples=["laptop"])
    scopes: list[Scope] = Field(min_length=1, max_length=3, description="no more than the key that asks has", examples=[["read", "write"]])
    expires_s: float | None = Field(None, gt=0, le=1e11, allow_inf_nan=False, description="seconds since 1970", examples=[1798761600.0])


class Key(BaseModel):
    id: str = Field(examples=["8c1d0a7c1b2a4e5f6a7b"])
    name: str = Field(examples=["laptop"])
    hint: str = Field(description="how the key begins", examples=["rk_4fQx"])
    scopes: list[Scope] = Field(examples=[["read", "write"]])
    created_s: float = Field(examples=[1767225600.0])
    used_s: float | None = Field(description="to about a minute", examples=[1767312000.0])
    expires_s: float | None = Field(examples=[None])
    revoked_s: float | None = Field(examples=[None])


class MadeKey(Key):
    key: str | None = Field(
        description="the key itself, told this once; null if the request is repeated with its Idempotency-Key", examples=["rk_4fQxJ0..."]
    )
