"""An undistorted image with its pose, as ``undistort`` writes it and dense, fusion and texture read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.capture.records import Record, read_json, write_json
from recon.errors import NoSurface
from recon.stage import Inputs

VIEWS_FILE = "views.json"


class ViewRecord(Record):
    """One row of ``views.json``."""

    name: str
    """The image's name in the COLMAP model; of a view that shows a part of it, IMAGE/SIDE."""
    part_of: str | None = None
    """The image of which it shows a part."""
    file: str
    """The undistorted image (lossless), relative to its shard's folder."""
    mask: str | None = None
    measured: str | None = None
    """Depth that a sensor measured (``MeasuredDepth``), relative like ``file``."""
    width: int
    height: int
    k: tuple[float, float, float, float]
    """fx, fy, cx, cy in pixels; the first pixel's centre is (0.5, 0.5)."""
    cam_from_world: tuple[tuple[float, float, float, float], ...]
    """3x4, x right, y down, z forward."""


@dataclass(frozen=True)
class View:
    """A pinhole view: image file, size, intrinsics and pose."""

    name: str
    path: Path
    mask_path: Path | None
    width: int
    height: int
    K: NDArray[np.float64]
    """(3, 3) px, COLMAP's pixel origin (first pixel's centre at 0.5, 0.5)."""
    R: NDArray[np.float64]
    """(3, 3) rotation of cam_from_world."""
    t: NDArray[np.float64]
    """(3,) translation of cam_from_world."""
    measured_path: Path | None = None
    part_of: str | None = None
    """The image of which it shows a part."""

    @property
    def image(self) -> str:
        """Name in the COLMAP model of the image that it shows."""
        return self.part_of or self.name

    @property
    def center(self) -> NDArray[np.float64]:
        """(3,) camera centre in world."""
        return np.asarray(-self.R.T @ self.t)

    def scaled(self, max_size_px: int) -> tuple[int, int, NDArray[np.float64]]:
        """Width, height and K of this view resized to a longer side of at most max_size_px."""
        scale = min(1.0, max_size_px / max(self.width, self.height))
        width, height = max(1, round(self.width * scale)), max(1, round(self.height * scale))
        K = self.K.copy()
        K[0] *= width / self.width
        K[1] *= height / self.height
        return width, height, K


def read_views(inputs: Inputs) -> list[View]:
    """All views of the run, in image order, from the shards of ``undistort``."""
    views = []
    for folder in inputs["undistort"]:
        for row in read_json(folder / VIEWS_FILE)["views"]:
            record = ViewRecord.model_validate(row)
            fx, fy, cx, cy = record.k
            pose = np.array(record.cam_from_world)
            views.append(
                View(
                    record.name,
                    folder / record.file,
                    folder / record.mask if record.mask else None,
                    record.width,
                    record.height,
                    np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]),
                    pose[:, :3],
                    pose[:, 3],
                    folder / record.measured if record.measured else None,
                    record.part_of,
                )
            )
    return views


def write_views(folder: Path, views: list[ViewRecord]) -> None:
    write_json(folder / VIEWS_FILE, {"views": [view.model_dump(mode="json") for view in views]})


@dataclass(frozen=True)
class DepthMap:
    """Depth along z of a view, at its own (smaller) size."""

    depth: NDArray[np.float32]
    """(h, w), world units, 0 where unknown."""
    confidence: NDArray[np.float32]
    """(h, w), 0..1, 0 where unknown."""
    K: NDArray[np.float64]
    """(3, 3) px at this size, first pixel's centre at (0.5, 0.5)."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.depth.shape
        return width, height

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, depth=self.depth, confidence=(self.confidence * 255).astype(np.uint8), K=self.K)

    @classmethod
    def load(cls, path: Path) -> DepthMap:
        with np.load(path) as arrays:
            return cls(arrays["depth"], arrays["confidence"].astype(np.float32) / 255, arrays["K"])


@dataclass(frozen=True)
class Points:
    """A dense cloud (or a part of one) in world."""

    xyz: NDArray[np.float32]
    """(N, 3) world, near the origin: georef keeps large offsets out."""
    normal: NDArray[np.float32]
    """(N, 3) unit, towards the cameras."""
    rgb: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    """(N,) 0..1."""
    views: NDArray[np.uint8]
    """(N,) number of views that agree."""
    sigma: NDArray[np.float32]
    """(N,) expected standard deviation along the ray, world units."""

    def save(self, path: Path) -> None:
        np.savez(path, **vars(self))

    def take(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> Points:
        """The points where ``keep`` (N,) holds, or of these indices."""
        return Points(**{name: array[keep] for name, array in vars(self).items()})

    @classmethod
    def load(cls, path: Path) -> Points:
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})

    @classmethod
    def concatenate(cls, parts: list[Points]) -> Points:
        if len(parts) == 1:  # it may be half of the memory
            return parts[0]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__})


def read_points(inputs: Inputs) -> Points:
    """The whole dense cloud, from the shards of ``fuse``. Raises NoSurface where it has no point."""
    points = Points.concatenate([Points.load(folder / "points.npz") for folder in inputs["fuse"]])
    check_not_empty(points)
    return points


def read_some_points(inputs: Inputs, most: int) -> Points:
    """At most that many points of the dense cloud, evenly taken from it; as ``read_points``, but of one shard at a time."""
    counts = [int(read_json(folder / "fuse.json")["points"]) for folder in inputs["fuse"]]
    kept, parts, first = evenly(sum(counts), most), [], 0
    for folder, count in zip(inputs["fuse"], counts, strict=True):
        start, end = np.searchsorted(kept, [first, first + count])
        parts.append(Points.load(folder / "points.npz").take(kept[start:end] - first))
        first += count
    points = Points.concatenate(parts)
    check_not_empty(points)
    return points


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Ascending indices of at most ``most`` of ``count`` things."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).astype(np.int64)


def check_not_empty(points: Points) -> None:
    """Raises NoSurface where a whole cloud has no point."""
    if not len(points.xyz):
        raise NoSurface(
            "no point of the surface is confirmed by enough views: 0 points",
            "Take more photos of each part, from nearby places; --set fuse.min_views=2 accepts less evidence",
        )
