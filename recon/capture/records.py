"""What is known of an image before any geometry, as ``ingest`` and ``select`` write it and the rest reads it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from recon.stage import Inputs

IMAGES_FILE = "images.json"
FRAME_MASK = ".mask.png"
"""What the name of a keyframe's mask, which lies beside it, ends with after the keyframe's own."""


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Gps(Record):
    """A position fix: WGS84 degrees, metres; the datum says what the altitude is measured from."""

    lat_deg: float
    lon_deg: float
    alt_m: float | None = None
    alt_datum: Literal["ellipsoid", "sea_level", "takeoff", "unknown"] = "unknown"
    sigma_m: tuple[float, float] | None = None
    """Horizontal and vertical standard deviation, where the device states them."""


class DevicePose(Record):
    """Where a device's own tracking has the camera of an image, which is upright: it drifts, so it is never taken for the truth."""

    session: str
    """Poses of one session share a frame, in metres; those of two have nothing to do with each other."""
    rotation_xyzw: tuple[float, float, float, float]
    """cam_from_device, a unit quaternion."""
    translation_m: tuple[float, float, float]
    """Of cam_from_device."""
    upright: bool
    """Whether the device's frame has z up, by its accelerometer; else its first camera gave the axes."""
    sigma_share: float
    """Standard deviation of the way between two images over its length, where nothing better is known."""


class Lens(Record):
    """Intrinsics that a device states whole: they are taken as they are."""

    model: str
    """COLMAP's name."""
    params: tuple[float, ...]
    """In COLMAP's order, pixels of the upright image."""


class ImageRecord(Record):
    """One usable image, upright."""

    name: str
    """Unique in the capture, safe as a path, '/' between folders: the image's name in the COLMAP model."""
    file: str
    """Where the pixels are: ``stage/shard index/path in that shard's folder``; see ``ImageSet.path``."""
    source: str
    """The file it came from, relative to the capture, as the user named it."""
    sha256: str
    width: int
    height: int
    camera: str
    """Images with the same key were taken by one physical camera at one zoom and size, and share intrinsics."""
    focal_px: float | None = None
    focal_source: Literal["exif", "exif_35mm", "device", "none"] = "none"
    principal_px: tuple[float, float] | None = None
    """Where the device states it."""
    lens: Lens | None = None
    projection: Literal["perspective", "equirectangular"] = "perspective"
    """Equirectangular: a whole panorama, its middle column ahead."""
    sequence: str | None = None
    """Name of the video (or burst) it belongs to; frames of a sequence are matched with their neighbours."""
    frame: int | None = None
    chapter: tuple[str, int] | None = None
    """Of a recording that its camera split into several videos: the first one's name, and which of them this frame's is, from 0."""
    timestamp_s: float | None = None
    captured_at: str | None = None
    """ISO 8601, as the device wrote it."""
    gps: Gps | None = None
    gimbal_deg: tuple[float, float, float] | None = None
    """Yaw (clockwise from north), pitch (0 level, -90 down), roll, where a drone states them."""
    sharpness: float = 0.0
    brightness: float = 0.0
    """Mean grey value, 0..1."""
    mask: str | None = None
    """Locator of an 8-bit mask, like ``file``: zero where the image must not be used."""
    depth: str | None = None
    """Locator of what a depth sensor measured, like ``file``: a ``DepthImage``, upright as the image is."""
    pose: DevicePose | None = None


class ImageSet:
    """The images that ``select`` kept, and frames that ``recover`` added, in order, with their pixels' paths."""

    def __init__(self, records: Iterable[ImageRecord], inputs: Inputs) -> None:
        self.records = tuple(records)
        self._inputs = inputs

    def __len__(self) -> int:
        return len(self.records)

    @classmethod
    def read(cls, inputs: Inputs) -> ImageSet:
        """From the folder of ``recover`` where it is among the inputs, else from those of ``select``."""
        return cls([record for folder in inputs.get("recover", inputs["select"]) for record in read_records(folder)], inputs)

    def path(self, record: ImageRecord) -> Path:
        return locate(record.file, self._inputs)

    def mask_path(self, record: ImageRecord) -> Path | None:
        return locate(record.mask, self._inputs) if record.mask else None

    def depth_path(self, record: ImageRecord) -> Path | None:
        return locate(record.depth, self._inputs) if record.depth else None

    def subset(self, names: Iterable[str]) -> ImageSet:
        wanted = set(names)
        return ImageSet([r for r in self.records if r.name in wanted], self._inputs)


def locate(locator: str, inputs: Inputs) -> Path:
    """The path behind a ``stage/shard/path`` locator."""
    stage, shard, path = locator.split("/", 2)
    return inputs[stage][int(shard)] / path


def read_records(folder: Path) -> list[ImageRecord]:
    return [ImageRecord.model_validate(row) for row in read_json(folder / IMAGES_FILE)["images"]]


def write_records(folder: Path, records: Iterable[ImageRecord]) -> None:
    write_json(folder / IMAGES_FILE, {"images": [record.model_dump(mode="json") for record in records]})


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """JSON with a stable layout, so that equal values give equal bytes."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def replace_json(path: Path, value: Mapping[str, Any]) -> None:
    """As ``write_json``, in one step: after a kill or a power cut there is the old file or the new one."""
    beside = path.with_name(f".{path.name}.part")
    write_json(beside, value)
    with beside.open("rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(beside, path)
