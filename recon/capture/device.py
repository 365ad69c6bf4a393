"""What a tablet or phone says of one image: the pose of its camera, the camera itself, the time. Read from its own files, then checked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.capture.records import DevicePose, ImageRecord
from recon.errors import InputError
from recon.geometry.frames import turned_by_exif

DRIFT = 0.01
"""Deviation of a way that a device states, a share of it, where the images do not tell: tracking of phones drifts by a per cent or two."""
_UNIT = 0.02
"""So far a quaternion's length may be from 1, and a matrix from a rotation, to be scaled without a word."""
_BROKEN = 0.2
EXIF_OF_TURN = {0: 1, 90: 8, 180: 3, 270: 6}
"""The orientation that EXIF would state for a turn of so many degrees counter-clockwise, by which a video is shown upright."""
MAX_JSON_BYTES = 64 << 20


@dataclass(frozen=True)
class Pinhole:
    """Intrinsics in pixels of an image of that size, as it came from the sensor; the origin is its corner."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def turned(self, orientation: int) -> Pinhole:
        """Of the image set upright as EXIF's orientation asks (1, 3, 6, 8)."""
        w, h = self.width, self.height
        if orientation == 3:
            return Pinhole(self.fx, self.fy, w - self.cx, h - self.cy, w, h)
        if orientation == 6:
            return Pinhole(self.fy, self.fx, h - self.cy, self.cx, h, w)
        return Pinhole(self.fy, self.fx, self.cy, w - self.cx, h, w) if orientation == 8 else self


@dataclass(frozen=True)
class DeviceFrame:
    """What is stated of one image, before it is turned upright; None where nothing is."""

    pose: DevicePose | None = None
    pinhole: Pinhole | None = None
    faults: tuple[str, ...] = ()
    """What was wrong with either, in words that are the same for all images of a fault."""
    depth_size: tuple[int, int] | None = None
    """Width and height of its depth image, where the file itself does not say."""
    depth_unit_m: float | None = None

    def upright(self, orientation: int, size: tuple[int, int]) -> DeviceFrame:
        """Of the upright image of (width, height). Where the device states its camera for that size already, it stands upright.

        A mirrored image has no pose.
        """
        stated = (self.pinhole.width, self.pinhole.height) if self.pinhole else None
        quarter = orientation in (5, 6, 7, 8)
        if orientation == 1 or (quarter and stated and _alike(stated, size)):
            return self
        pose = self.pose
        if pose is not None:
            turned = turned_by_exif(rigid(pose), orientation)
            pose = None if turned is None else _with(pose, turned)
        pinhole = self.pinhole.turned(orientation) if self.pinhole and orientation in (3, 6, 8) else None
        return replace(self, pose=pose, pinhole=pinhole)

    def told_to(self, record: ImageRecord) -> ImageRecord:
        """The record with the pose and the camera of this frame, which is upright; the focal length stays where EXIF states it better."""
        changes: dict[str, Any] = {} if self.pose is None else {"pose": self.pose}
        if self.pinhole is not None and _alike((self.pinhole.width, self.pinhole.height), (record.width, record.height)):
            scale = record.width / self.pinhole.width
            focal = (self.pinhole.fx + self.pinhole.fy) / 2 * scale
            changes |= {"principal_px": (round(self.pinhole.cx * scale, 3), round(self.pinhole.cy * scale, 3))}
            if record.focal_source != "exif":
                changes |= {"focal_px": round(focal, 3), "focal_source": "device"}
        return record.model_copy(update=changes)


def rigid(pose: DevicePose) -> pycolmap.Rigid3d:
    """cam_from_device."""
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array(pose.rotation_xyzw)), np.array(pose.translation_m))


def device_pose(cam_from_device: pycolmap.Rigid3d, session: str, upright: bool = True) -> DevicePose:
    """A pose with our camera axes, in a frame with z up where ``upright``."""
    return _with(
        DevicePose(session=session, rotation_xyzw=(0, 0, 0, 1), translation_m=(0, 0, 0), upright=upright, sigma_share=DRIFT),
        cam_from_device,
    )


def checked_matrix(values: Any) -> NDArray[np.float64]:
    """A rigid 4x4 of 16 numbers in a row, or of 4 rows, or the first three of them. Raises InputError where it is none."""
    try:
        matrix = np.asarray(values, np.float64)
        matrix = matrix.reshape(-1, 4)[:4]
    except (TypeError, ValueError):
        raise InputError("its pose is no matrix of 4 x 4") from None
    if len(matrix) < 3:
        raise InputError("its pose is no matrix of 4 x 4")
    if not np.isfinite(matrix).all():
        raise InputError("its pose is not a number")
    u, strengths, vt = np.linalg.svd(matrix[:3, :3])
    if np.abs(strengths - 1).max() > _BROKEN or np.linalg.det(matrix[:3, :3]) < 0:
        raise InputError("the matrix of its pose holds no rotation")
    return np.vstack([np.column_stack([u @ vt, matrix[:3, 3]]), [[0.0, 0.0, 0.0, 1.0]]])


def checked_quaternion(xyzw: Any, translation: Any) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The rigid 4x4 of a quaternion (x, y, z, w) and a translation, and what was wrong but could be mended.

    Raises InputError where they are none.
    """
    try:
        q, t = np.asarray(xyzw, np.float64).reshape(4), np.asarray(translation, np.float64).reshape(3)
    except (TypeError, ValueError):
        raise InputError("its pose is no quaternion and translation") from None
    length = float(np.linalg.norm(q))
    if not (math.isfinite(length) and np.isfinite(t).all()):
        raise InputError("its pose is not a number")
    if length < 1e-6:
        raise InputError("its quaternion is zero")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = pycolmap.Rotation3d(q / length).matrix(), t
    return matrix, ("its quaternion had another length than 1 and was scaled",) if abs(length - 1) > _UNIT else ()


def pinhole(values: Iterable[Any], width: Any, height: Any) -> Pinhole | None:
    """Of fx, fy, cx, cy and the size they hold for; None where they can't be true."""
    try:
        fx, fy, cx, cy = (float(value) for value in values)
        found = Pinhole(fx, fy, cx, cy, int(width), int(height))
    except (TypeError, ValueError):
        return None
    longer = max(found.width, found.height)
    good = math.isfinite(fx + fy + cx + cy) and longer > 0 and 0.1 * longer < fx < 10 * longer and 0.8 < fx / fy < 1.25
    return found if good and 0 < cx < found.width and 0 < cy < found.height else None


def read_beginning(path: Path, size: int) -> str:
    """The first ``size`` letters of a text file, of which no more is read, however large it is. Raises OSError."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        return stream.read(size)


def read_object(path: Path) -> Mapping[str, Any]:
    """A JSON object. Raises InputError."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"{path.stat().st_size >> 20} MB of JSON are more than the limit of {MAX_JSON_BYTES >> 20} MB")
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise InputError("no JSON") from None
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}") from None
    if not isinstance(found, dict):
        raise InputError("no JSON object")
    return found


def _with(pose: DevicePose, cam_from_device: pycolmap.Rigid3d) -> DevicePose:
    x, y, z, w = cam_from_device.rotation.quat.tolist()
    return pose.model_copy(update={"rotation_xyzw": (x, y, z, w), "translation_m": tuple(cam_from_device.translation.tolist())})


def _alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes have one shape."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) < 0.02
