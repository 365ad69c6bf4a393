"""What the routes of captures and files take and give."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

MAX_PARTS = 10_000
"""Of a file: what S3 takes."""
MAX_SIZE = 5 * 2**40
"""Of a file, likewise."""
AT_ONCE = 1000
_ID, _FILE_ID = "5b1f0c9e7d3a48261f0e", "9a0c4e2b7f6d1538c0de"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

Id = Annotated[str, Path(pattern="^[0-9A-Za-z]+$", max_length=64, examples=[_ID])]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$", examples=["Town hall"])]
Sha256 = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$", examples=[_SHA256])]


class Wanted(BaseModel):
    """A request's body. A field that it does not have is refused: most likely it is a slip."""

    model_config = ConfigDict(extra="forbid")


class NewCapture(Wanted):
    name: Name


class CaptureChange(Wanted):
    name: Name


class Capture(BaseModel):
    """Files that belong together, of which jobs make a model."""

    id: str = Field(examples=[_ID])
    name: str = Field(examples=["Town hall"])
    state: Literal["open", "ready", "failed"] = Field(description="open until it is completed; failed: a file is damaged")
    files: int = Field(examples=[248])
    size: int = Field(description="bytes of all files, as declared", examples=[1_610_612_736])
    created_s: float = Field(examples=[1789000000.0])
    expires_s: float | None = Field(description="when it is removed; null: never", examples=[None])
    inspection: dict[str, Any] | None = Field(
        description="what was found in it: counts, sizes, warnings and the cost of each preset; null until it was inspected",
        examples=[{"photos": 248, "videos": 0}],
    )
    inspecting: bool
    error: dict[str, Any] | None = Field(
        description="`code`, `message` and `remedy` of why no model can be made of it",
        examples=[None, {"code": "empty_capture", "message": "none of the 3 files can be used", "remedy": "Photos are .jpg, .png, ..."}],
    )


class NewFile(Wanted):
    name: str = Field(
        min_length=1,
        max_length=1024,
        description="relative, '/' between folders; as NFC. One that was declared before with this size is gone on with",
        examples=["DSC_0423.JPG", "flight 2/DJI_0001.MP4"],
    )
    size: int = Field(ge=1, le=MAX_SIZE, description="bytes", examples=[8_388_608])
    sha256: Sha256 | None = Field(None, description="of the whole content, which is then checked")


class NewFiles(Wanted):
    files: list[NewFile] = Field(min_length=1, max_length=AT_ONCE)


class File(BaseModel):
    """A file of a capture. It comes in parts of ``part_bytes``, the last one smaller."""

    id: str = Field(examples=[_FILE_ID])
    capture_id: str = Field(examples=[_ID])
    name: str = Field(examples=["flight 2/DJI_0001.MP4"])
    size: int = Field(examples=[1_073_741_824])
    sha256: str | None = Field(description="as declared", examples=[_SHA256])
    state: Literal["uploading", "whole", "damaged"] = Field(description="damaged: it came whole, but is not the file that was declared")
    part_bytes: int = Field(examples=[16_777_216])
    parts_total: int = Field(examples=[64])
    created_s: float = Field(examples=[1789000000.0])


class Files(BaseModel):
    files: list[File] = Field(description="in the order of the request")


class Part(BaseModel):
    """A part that has arrived."""

    number: int = Field(examples=[1])
    size: int = Field(examples=[16_777_216])
    etag: str = Field(examples=[_SHA256])


class FileWithParts(File):
    parts: list[Part] = Field(description="those that have arrived; none of a file that is whole")


class WantedParts(Wanted):
    numbers: list[Annotated[int, Field(ge=1, le=MAX_PARTS)]] = Field(
        min_length=1, max_length=AT_ONCE, description="from 1 on", examples=[[1, 2, 3]]
    )
    sha256: dict[str, Sha256] = Field(
        default_factory=dict,
        description="of parts, by number: then their URLs take no other content. On S3 those of a file's first request decide: "
        "all its parts come with one, or none does",
        examples=[{"1": _SHA256}],
    )


class PartUrl(BaseModel):
    """Where a part goes to, without an API key. Another body than ``size`` bytes is refused."""

    number: int = Field(examples=[1])
    size: int = Field(examples=[16_777_216])
    method: Literal["PUT"] = "PUT"
    url: str = Field(examples=["https://recon.example.org/v1/parts/eyJmaWxlIjoi..."])
    headers: dict[str, str] = Field(
        description="to be sent with it", examples=[{"x-amz-checksum-sha256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="}]
    )
    expires_s: float = Field(examples=[1789003600.0])


class PartUrls(BaseModel):
    parts: list[PartUrl]
