"""What the API says about measurements."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.captures.schemas import Name

MeasurementId = Annotated[str, Path(pattern="^[0-9A-Za-z]{1,40}$", description="of a measurement", examples=["7d3a48261f0e5b1f0c9e"])]
Kind = Literal["distance", "height", "area", "profile"]
LEAST = {"distance": 2, "height": 2, "area": 3, "profile": 2}
"""Points of each kind."""
Number = Annotated[float, Field(strict=True, ge=-1e12, le=1e12, allow_inf_nan=False)]
Point = Annotated[list[Number], Field(min_length=3, max_length=3)]


class NewMeasurement(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Kind = Field(examples=["distance"])
    name: Name = Field(examples=["Ridge to eaves"])
    points: list[Point] = Field(
        min_length=2, max_length=2000, description="x, y, z in the model's world frame, z up", examples=[[[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]]]
    )
    value: Number = Field(description="length, height difference, area, or length of a profile", examples=[5.0])
    unit: str = Field(min_length=1, max_length=20, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$", description="of the value", examples=["m"])
    metric: bool = Field(strict=True, description="false: the model's unit is arbitrary", examples=[True])

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if len(self.points) < LEAST[self.kind]:
            raise ValueError(f"{self.kind} needs {LEAST[self.kind]} points at least")
        return self


class MeasurementChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name = Field(examples=["Ridge to eaves"])


class Measurement(BaseModel):
    id: str = Field(examples=["7d3a48261f0e5b1f0c9e"])
    kind: Kind = Field(examples=["distance"])
    name: str = Field(examples=["Ridge to eaves"])
    points: list[list[float]] = Field(examples=[[[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]]])
    value: float = Field(examples=[5.0])
    unit: str = Field(examples=["m"])
    metric: bool = Field(examples=[True])
    created_s: float = Field(examples=[1789000000.0])


class Measurements(BaseModel):
    items: list[Measurement] = Field(description="the oldest first")


def rounded(value: float) -> float:
    """To nine significant digits: what is written down need not say more."""
    return value if value == 0 else round(value, 8 - math.floor(math.log10(abs(value))))
