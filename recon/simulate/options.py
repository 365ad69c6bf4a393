"""What can be asked of the simulator, and what it says about what it made. Light to import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recon.capture.records import Record, read_json, write_json
from recon.errors import ConfigError, NotFound

Kind = Literal["drone", "object", "room", "glasses", "panorama"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Format = Literal["stray", "record3d", "r3d", "polycam", "scanner3d", "nerfcapture", "arkitscenes"]
FORMATS: tuple[Format, ...] = get_args(Format)
TRUTH_FILE = "truth.json"
Side = Annotated[int, Field(ge=16, le=20_000)]


class Options(BaseModel):
    """None takes the kind's own value."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    images: int | None = Field(None, ge=2, description="number of photos, or of frames of a video")
    size: tuple[Side, Side] | None = Field(None, description="width and height [px]; even numbers for video")
    seed: int = Field(0, ge=0)
    video: bool | None = Field(None, description="an H.264 video instead of photos (not room); a drone's has telemetry beside it")
    noise: float = Field(1.5, ge=0, description="standard deviation of the image noise, grey levels of 255")
    shutter_s: float = Field(0.0, ge=0, description="exposure time, in which a moving camera blurs the picture")
    exposure_ev: float = Field(0.0, ge=0, description="standard deviation of brightness changes between images, stops")
    distortion: tuple[float, ...] = Field(
        (), description="none: PINHOLE; k: SIMPLE_RADIAL; k1, k2, p1, p2: OPENCV; for glasses k1..k4 of OPENCV_FISHEYE"
    )
    gps_noise_m: float = Field(0.5, ge=0, description="standard deviation of each GPS coordinate")
    gps_bias_m: tuple[float, float, float] = Field((0.0, 0.0, 0.0), description="east, north, up, the same for all images")
    gps_offset_s: float = Field(0.0, ge=-3, le=3, description="the clock of a drone video's telemetry minus the video's")
    depth: bool = Field(False, description="write truth/depth/NAME.npz: along z; of a panorama along the ray")
    depth_noise_m: float | None = Field(
        None, ge=0, description="standard deviation of each pixel of the room's depth images; none, or with a format 1 cm"
    )
    plain_wall: bool = Field(False, description="the room's wall at y = 2 has no texture")
    format: Format | None = Field(None, description="the room as an app on a tablet stores it")
    drift: float = Field(0.01, ge=0, le=0.2, description="of the poses that the tablet states, a share of the way")

    @property
    def depth_noise(self) -> float:
        """[m]"""
        return self.depth_noise_m if self.depth_noise_m is not None else 0.01 if self.format else 0.0

    @classmethod
    def of(cls, **options: Any) -> Options:
        """Raises ConfigError for an unknown option or a value out of range."""
        try:
            return cls(**options)
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
            raise ConfigError("; ".join(faults), f"the simulator's options are {', '.join(cls.model_fields)}") from error


class Origin(Record):
    """Where the world's origin lies; z of the world is height above it."""

    lat_deg: float
    lon_deg: float
    alt_m: float
    alt_datum: Literal["ellipsoid", "sea_level"]


class StockpileTruth(Record):
    """A truncated cone on level ground."""

    volume_m3: float
    center: tuple[float, float, float]
    """In world, on the ground under its axis."""
    radius_m: float
    height_m: float


class Truth(Record):
    """``truth/truth.json``; lengths in metres, the world is z up (east, north, up where there is an origin)."""

    kind: str
    options: Options
    capture: str
    """What to reconstruct, relative to the simulated folder: a folder of photos, of photos with depth beside them (.), or a video."""
    images: int
    scene_size_m: float
    """Diagonal of the bounding box of what the cameras see."""
    path_length_m: float
    """Of the polyline through the camera centres."""
    origin: Origin | None = None
    stockpile: StockpileTruth | None = None
    fps: float | None = None
    readout_s: float = 0.0
    """Between the first and the last row of a rolling shutter; the pose in the model is that of the middle row."""

    def write(self, folder: Path) -> None:
        write_json(folder / TRUTH_FILE, self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path) -> Truth:
        """From a ``truth`` folder."""
        if not (folder / TRUTH_FILE).is_file():
            raise NotFound(f"no {TRUTH_FILE} in {folder}", "name the truth folder that recon simulate wrote")
        return cls.model_validate(read_json(folder / TRUTH_FILE))
