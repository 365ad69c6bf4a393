"""What jobs look like over HTTP."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from recon.config import Preset

State = Literal["queued", "running", "done", "failed", "cancelled"]
_ID = r"^[0-9A-Za-z]{1,40}$"
_EXAMPLE_ID = "3f9c0d7c1b2a4e5f6a7b"
JobId = Annotated[str, Path(pattern=_ID, description="of a job", examples=[_EXAMPLE_ID])]
CaptureId = Annotated[str, Field(pattern=_ID, description="of a capture that is ready", examples=["8d2e61f0a97b4c3d5e1f"])]


def _text_only(config: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(config, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        raise ValueError("it holds text that is not Unicode, or is nested too deeply") from None
    return config


Options = Annotated[
    dict[str, Any],
    AfterValidator(_text_only),
    Field(
        description="options over those of the preset, a dict a stage, as in a TOML file of `recon process`",
        examples=[{"mesh": {"faces": 50000}}],
    ),
]
Until = Annotated[str | None, Field(max_length=40, pattern="^[a-z0-9_]+$", description="last stage to run; null: all of them")]
Priority = Annotated[int, Field(ge=0, le=9, description="higher first")]


class NewJob(BaseModel):
    model_config = ConfigDict(extra="forbid")

    capture_id: CaptureId
    preset: Preset = "default"
    config: Options = Field(default_factory=dict)
    until: Until = None
    priority: Priority = 4


class Rerun(BaseModel):
    """What is to be other than in the job before. Left out: as it was."""

    model_config = ConfigDict(extra="forbid")

    preset: Preset | None = Field(None, description="what the job before changed of its own preset stays changed")
    config: Options = Field(default_factory=dict)
    until: Until = None
    priority: Priority | None = None


class Stage(BaseModel):
    name: str = Field(examples=["depth"])
    state: Literal["waiting", "running", "done", "cached", "failed", "cancelled"] = Field(
        description="cached: an earlier job had made it", examples=["running"]
    )
    shards: int = Field(description="pieces that it falls into; 0 until that is known", examples=[12])
    shards_done: int = Field(examples=[5])
    fraction: float = Field(description="0 to 1", examples=[0.45])
    message: str = Field(examples=["view 31 of 64"])
    started_s: float | None = Field(examples=[1767225650.25])
    ended_s: float | None = Field(examples=[None])


class Eta(BaseModel):
    """Seconds until it is done, not counting how long it waits for its turn. At least four jobs in five end between low and high."""

    low_s: float = Field(examples=[210.0])
    expected_s: float = Field(examples=[260.0])
    high_s: float = Field(examples=[350.0])


class Cost(BaseModel):
    compute_s: float = Field(description="seconds that processes worked for it, so far", examples=[512.4])
    price: float = Field(description="of these, at the service's price of an hour", examples=[0.17])


class Failure(BaseModel):
    """Why a job failed."""

    code: str = Field(examples=["no_overlap"])
    message: str = Field(examples=["3 of 40 images"])
    remedy: str = Field(examples=["Take photos that overlap by two thirds"])
    stage: str = Field(examples=["sfm"])


class Job(BaseModel):
    id: str = Field(examples=[_EXAMPLE_ID])
    capture_id: str = Field(examples=["8d2e61f0a97b4c3d5e1f"])
    name: str = Field(description="of the capture", examples=["Town hall"])
    thumbnail: str | None = Field(description="the artifact that shows it, small; null: there is none yet", examples=["thumbnail.jpg"])
    state: State = Field(examples=["running"])
    preset: str = Field(examples=["default"])
    config: dict[str, Any] = Field(description="every option", examples=[{"seed": 0, "mesh": {"faces": 50000}}])
    until: str | None = Field(examples=[None])
    priority: int = Field(examples=[4])
    stage: str | None = Field(description="the one that it is at, or was last", examples=["depth"])
    stages: list[Stage]
    progress: float = Field(description="0 to 1", examples=[0.52])
    eta: Eta | None = Field(description="null: it has ended, or nothing is known yet")
    cost: Cost
    error: Failure | None = Field(examples=[None])
    created_s: float = Field(examples=[1767225600.5])
    started_s: float | None = Field(examples=[1767225601.0])
    ended_s: float | None = Field(examples=[None])
    expires_s: float | None = Field(description="when its results will be removed; null: never", examples=[None])


class ToldEvent(BaseModel):
    id: str = Field(description="grows from event to event; pass it as Last-Event-ID or `after`", examples=["1767225650123-0"])
    kind: Literal["job", "stage", "artifact", "progress", "log", "warning"] = Field(examples=["stage"])
    told: dict[str, Any] = Field(examples=[{"stage": "sfm", "state": "done", "shards": 1, "shards_done": 1}])


class EventPage(BaseModel):
    items: list[ToldEvent] = Field(description="oldest first")
    next: str | None = Field(None, description="pass as `after` for the events after these; null: these are all so far")
