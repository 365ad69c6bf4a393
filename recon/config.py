"""Every option of the pipeline: frozen, unknown keys refused, one small class a stage. Presets are values."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from recon.errors import ConfigError, NotFound

Preset = Literal["fast", "default", "high"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Ingest(Section):
    min_size_px: int = Field(64, ge=1, description="an image with a shorter side than this is skipped")
    max_pixels: int = Field(400_000_000, ge=1, description="a larger image is skipped, never decoded")
    use_depth: bool = Field(True, description="read the depth images that a device measured beside its photos")
    depth_unit_m: float | None = Field(
        None, gt=0, le=1, description="metres a unit of 16-bit depth images; None: as a file beside them states, else a millimetre"
    )
    nadir_mask_deg: float = Field(
        30.0, ge=0, lt=90, description="of a panorama so many degrees from straight down are not used: operator, tripod"
    )


class Select(Section):
    max_images: int = Field(2000, ge=2, description="at most this many images are used")
    keyframe_parallax: float = Field(0.028, gt=0, lt=1, description="motion of the nearer tracks between keyframes, of the diagonal")
    min_overlap: float = Field(0.7, gt=0, lt=1, description="share of tracks that must live on from one keyframe to the next")
    min_sharpness: float = Field(0.6, ge=0, le=1, description="a frame is blurred below this share of its neighbours' sharpness")
    near_duplicate_bits: int = Field(2, ge=0, le=64, description="photos whose 64-bit perceptual hashes differ by no more are duplicates")


class Camera(Section):
    """Known intrinsics. Left out, they come from EXIF or are estimated."""

    model: Literal["auto", "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE"] = "auto"
    params: tuple[float, ...] = Field((), description="in COLMAP's order, pixels of the original image, origin at the first pixel's corner")
    refine: bool | None = Field(None, description="refine intrinsics in bundle adjustment; None: only those not given")


class Features(Section):
    kind: Literal["auto", "sift", "aliked", "disk", "xfeat"] = Field(
        "auto", description="auto: aliked where torch sees a GPU and the weights are at hand, else sift"
    )
    max_size_px: int = Field(1600, ge=64, description="longer side at which keypoints are detected")
    max_keypoints: int = Field(8192, ge=64)
    learned_size_px: int = Field(1024, ge=128, description="longer side at which a network looks for keypoints")
    learned_keypoints: int = Field(2048, ge=64, description="... and how many it gives at most")
    peak_threshold: float = Field(0.0066, gt=0, description="least difference of Gaussians, grey values in 0..1")


class Pairs(Section):
    exhaustive_up_to: int = Field(60, ge=2, description="all pairs up to this many unordered images")
    neighbours: int = Field(20, ge=1, description="pairs an image is in beyond that, about: by GPS, or by likeness and a quick look")
    sequence_window: int = Field(6, ge=1, description="keyframes before and after; further ones at doubling gaps")
    loop_neighbours: int = Field(3, ge=0, description="retrieved frames a keyframe, for loop closure")


class Matches(Section):
    kind: Literal["auto", "nearest", "lightglue"] = Field(
        "auto", description="auto: lightglue for learned keypoints, nearest for SIFT; nearest: on a GPU where torch sees one"
    )
    ratio: float = Field(0.85, gt=0, le=1, description="nearest over second-nearest descriptor distance")
    max_error_px: float = Field(4.0, gt=0, description="epipolar error in original pixels at 1600 px; grows with the image")
    min_inliers: int = Field(15, ge=8)


class Sfm(Section):
    mapper: Literal["auto", "global", "incremental"] = "auto"
    max_reproj_error_px: float = Field(2.0, gt=0, description="in original pixels up to 4000 px; grows with larger images")
    min_angle_deg: float = Field(1.5, gt=0, description="smallest triangulation angle of a point")
    align_keypoints: bool = Field(True, description="learned keypoints of a track are aligned in the images to a fraction of a pixel")


class Recover(Section):
    """What may be spent on a capture whose images do not come together. The bounds are numbers, so that a run can be repeated."""

    enabled: bool = Field(True, description="try harder where images are left out, models fall apart or hang on few points")
    max_frames: int = Field(120, ge=0, description="frames added to a video's keyframes where they break off")
    max_pairs: int = Field(600, ge=0, description="more pairs matched across a break")
    max_learned_pairs: int = Field(120, ge=0, description="pairs matched again with the learned matcher; 0: never")
    learned_size_px: int = Field(1024, ge=128, description="longer side at which the learned matcher looks at images")


class Georef(Section):
    use_gps: bool = True
    max_gps_error_m: float = Field(15.0, gt=0, description="a GPS position further from the trajectory than this is an outlier")


class Trajectory(Section):
    all_frames: bool = Field(False, description="a pose for every frame of videos between their keyframes, not for keyframes alone")


class Undistort(Section):
    max_size_px: int = Field(1600, ge=64, description="longer side of the images that depth is computed on")


class Depth(Section):
    max_size_px: int = Field(1600, ge=64, description="longer side of a depth map, at most that of the undistorted image")
    sizes: int = Field(
        1, ge=1, le=4, description="pairs are matched at this many sizes, each half the one before: smooth parts show at the smaller"
    )
    pairs_a_view: int = Field(4, ge=1, description="at most this many others are matched with a view for its own sake")
    min_angle_deg: float = Field(1.5, gt=0, description="smallest triangulation angle at which depth is measured")
    max_angle_deg: float = Field(40.0, gt=0, description="... and the largest")
    method: Literal["auto", "sgm", "cuda"] = "auto"


class Fuse(Section):
    min_views: int = Field(3, ge=2, description="views that must agree on a point")
    pair_confidence: float = Field(0.75, ge=0, le=1, description="one view fewer, two at least, will do for a point of this confidence")
    max_depth_error: float = Field(0.01, gt=0, description="relative depth difference at which two views agree")
    max_reproj_error_px: float = Field(2.0, gt=0)
    neighbours: int = Field(10, ge=1, description="a view's points are held against so many others at most, those that share most with it")


class Mesh(Section):
    mode: Literal["3d", "2.5d", "tsdf"] = Field(
        "3d", description="2.5d: one height over every place of the ground, for photos from above; tsdf: through a sensor's depth alone"
    )
    watertight: bool = Field(False, description="a closed surface, invented where no point is, within the cube about the points")
    faces: int = Field(200_000, ge=100, description="the mesh is simplified to at most this many triangles")
    depth: int = Field(0, ge=0, le=14, description="octree depth of the Poisson reconstruction; 0: from the point spacing")
    max_points: int = Field(3_000_000, ge=1000)
    max_uncertainty: float = Field(
        7.2, ge=0, description="rims whose expected error and spacing of points exceed so many times what is typical are cut away; 0: none"
    )
    max_hole: float = Field(0.02, ge=0, le=1, description="holes up to this width are closed, a share of the square root of the area")
    max_flat_hole: float = Field(0.15, ge=0, le=1, description="the same amid what is flat, where nothing is seen behind the hole")

    @model_validator(mode="after")
    def _one_shape(self) -> Mesh:
        if self.watertight and self.mode == "2.5d":
            raise ValueError("a height field is open below: set mesh.watertight with mesh.mode 3d")
        if self.watertight and self.mode == "tsdf":
            raise ValueError("a mesh of measured depth ends where none was measured: set mesh.watertight with mesh.mode 3d")
        return self


class Texture(Section):
    page_px: int = Field(4096, ge=256, le=16384, description="largest side of a page of the texture")
    max_pages: int = Field(4, ge=1, le=64, description="images lend their colours at a smaller size if more pages were needed")
    max_size_px: int = Field(3200, ge=64, description="longer side at which an image lends its colours")
    page_format: Literal["jpg", "png"] = Field(
        "jpg", description="of the pages: png keeps every colour as painted, and is some six times as large"
    )


class Products(Section):
    points_format: tuple[Literal["ply", "laz"], ...] = ("ply", "laz")
    turntable_s: float = Field(6.0, ge=0, description="length of the turntable video; 0: none")
    max_points: int = Field(20_000_000, ge=1000)


class Report(Section):
    max_points: int = Field(300_000, ge=1000, description="points in the report's 3D view")
    max_faces: int = Field(200_000, ge=100, description="triangles in the report's 3D view")


class Config(Section):
    """One run's options: a section a stage, and the seed of all randomness."""

    seed: int = Field(0, ge=0, lt=2**31)
    ingest: Ingest = Ingest()
    select: Select = Select()
    camera: Camera = Camera()
    features: Features = Features()
    pairs: Pairs = Pairs()
    matches: Matches = Matches()
    sfm: Sfm = Sfm()
    recover: Recover = Recover()
    georef: Georef = Georef()
    trajectory: Trajectory = Trajectory()
    undistort: Undistort = Undistort()
    depth: Depth = Depth()
    fuse: Fuse = Fuse()
    mesh: Mesh = Mesh()
    texture: Texture = Texture()
    products: Products = Products()
    report: Report = Report()

    def only(self, sections: tuple[str, ...]) -> Config:
        """This config with every section but those named at its default, so that nothing else can be read."""
        return Config(seed=self.seed, **{name: getattr(self, name) for name in sections})


PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "fast": {
        "features": {"max_size_px": 1200, "max_keypoints": 4096},
        "recover": {"max_frames": 60, "max_pairs": 200, "max_learned_pairs": 40},
        "undistort": {"max_size_px": 800},
        "depth": {"max_size_px": 800, "pairs_a_view": 2},
        "fuse": {"neighbours": 6},
        "mesh": {"faces": 50_000},
        "texture": {"page_px": 2048, "max_size_px": 1600},
    },
    "default": {},
    "high": {
        "features": {"max_size_px": 2400, "max_keypoints": 12000},
        "recover": {"max_frames": 240, "max_pairs": 1500, "max_learned_pairs": 400},
        "undistort": {"max_size_px": 2400},
        "depth": {"max_size_px": 2400, "pairs_a_view": 8, "sizes": 2},
        "mesh": {"faces": 1_000_000, "max_points": 10_000_000},
        "texture": {"page_px": 8192, "max_size_px": 6000},
    },
}


def load(preset: str = "default", file: Path | None = None, overrides: tuple[str, ...] = (), seed: int | None = None) -> Config:
    """The config of a run: the preset, then the TOML file, then ``stage.key=value`` overrides, then the seed.

    Raises ConfigError for an unknown preset or key (naming the nearest known one) and for a value out of range.
    """
    return layered(preset, options(file, overrides, seed))


def options(file: Path | None = None, overrides: tuple[str, ...] = (), seed: int | None = None) -> dict[str, Any]:
    """What these set, as plain values that are not checked yet."""
    layers: list[Mapping[str, Any]] = [] if file is None else [_read_toml(file)]
    layers += [_parse_override(text) for text in overrides]
    if seed is not None:
        layers.append({"seed": seed})
    return _merged(layers)


def layered(preset: str, *layers: Mapping[str, Any]) -> Config:
    """The preset, and each layer of plain values over what comes before it, option by option. Raises what ``load`` raises."""
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset '{preset}'", f"Presets are {', '.join(PRESETS)}")
    return parse(_merged((PRESETS[preset], *layers)))


def _merged(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping):
                merged.setdefault(key, {})
                if isinstance(merged[key], dict):
                    merged[key].update(value)
            else:
                merged[key] = value
    return merged


def parse(values: Mapping[str, Any]) -> Config:
    """Config from plain values; ConfigError in words where pydantic would list."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = tuple(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"unknown option '{'.'.join(where)}'", _nearest(where)) from None
        raise ConfigError(f"option '{'.'.join(where)}' is {first['input']!r}: {first['msg'].lower()}") from None


def option_names() -> list[str]:
    """All options as ``section.key``."""
    names = ["seed"]
    for section, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            names += [f"{section}.{key}" for key in field.annotation.model_fields]
    return names


def _nearest(where: tuple[str, ...]) -> str:
    known = option_names()
    name = ".".join(where)
    pool = known if len(where) > 1 else sorted({option.split(".")[0] for option in known})
    close = difflib.get_close_matches(name, pool, n=1, cutoff=0.4)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Sections are {', '.join(Config.model_fields)}"


def _read_toml(file: Path) -> Mapping[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise NotFound(f"config file {file} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {file} is not TOML: {error}") from None


def _parse_override(text: str) -> Mapping[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"'{text}' sets nothing", "Write --set stage.key=value, for example --set mesh.faces=50000")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value  # a bare word is a string
    section, dot, key = name.strip().partition(".")
    return {section: {key: parsed}} if dot else {section: parsed}
