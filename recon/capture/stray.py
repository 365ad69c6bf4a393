"""Stray Scanner: a video, its frames' depth and confidence by number, ``odometry.csv``, ``camera_matrix.csv``.

Sources: the app's ``docs/format.md``, and its ``OdometryEncoder.swift``: positions in ARKit's world (y up), and its rotations times half
a turn about x, so that the camera's axes are ours already. Newer versions add fx, fy, cx, cy to each row.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pycolmap

from recon.capture.device import Pinhole, checked_quaternion, device_pose, pinhole, read_beginning
from recon.capture.devicefiles import Claims, Tree, claim, confidence_beside, leave, number, of_suffix
from recon.capture.devicetrack import DeviceTrack, TrackRow, gaps
from recon.capture.records import DevicePose
from recon.capture.rgbd import looks_like_depth
from recon.errors import InputError
from recon.geometry.frames import cam_from_y_up

if TYPE_CHECKING:
    from recon.capture.source import SourceFile

NAME = "Stray Scanner"
ODOMETRY, MATRIX = "odometry.csv", "camera_matrix.csv"
_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
_LENS = ("fx", "fy", "cx", "cy")
_MAX_ROWS = 2_000_000


def claimed(tree: Tree) -> Claims:
    claims: Claims = {}
    for folder in tree.having(ODOMETRY):
        inside = tree.inside(folder)
        video = next((file for name, file in inside.items() if file.kind == "video" and name.startswith("rgb.")), None)
        if video is None:
            continue
        claims[video.relative] = claim(video, "video", NAME)
        stated = [inside[name] for name in (ODOMETRY, MATRIX) if name in inside]
        claims |= {file.relative: claim(file, "poses", NAME, video.relative) for file in stated}
        if imu := inside.get("imu.csv"):
            claims[imu.relative] = leave(imu, NAME, "not needed: the poses are level already")
        depths = [file for file in of_suffix(tree.inside(folder, "depth"), ".png") if looks_like_depth(file)]
        depth = {file.relative: claim(file, "depth", NAME, video.relative) for file in depths}
        claims |= depth | confidence_beside(depth, of_suffix(tree.inside(folder, "confidence"), ".png"), NAME, number)
    return claims


def read_track(files: Sequence[SourceFile], session: str, size: tuple[int, int], measured: Sequence[int]) -> DeviceTrack:
    """What the files say of a video of (width, height) as it is stored; ``measured`` are the numbers of its depth images.

    What can't be used is named in its warnings.
    """
    warnings: list[str] = []
    rows: list[TrackRow] = []
    lens = None
    for file in files:
        try:
            if file.relative.casefold().endswith(MATRIX):
                lens = _matrix(Path(file.path), size)
            else:
                rows, told = _odometry(Path(file.path), session, size)
                warnings += told
        except InputError as error:
            warnings.append(f"{file.relative.rpartition('/')[2]}: {error}")
    if missing := gaps([row.number for row in rows]):
        warnings.append(f"{missing} frames have no row in {ODOMETRY}: they have no pose")
    return DeviceTrack(NAME, tuple(rows), tuple(warnings), lens, tuple(sorted(measured)))


def _odometry(path: Path, session: str, size: tuple[int, int]) -> tuple[list[TrackRow], list[str]]:
    rows: dict[int, TrackRow] = {}
    faults: Counter[str] = Counter()
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            names = {(name or "").strip().casefold(): name for name in reader.fieldnames or ()}
            if missing := [name for name in ("frame", *_POSE) if name not in names]:
                raise InputError(f"no columns {', '.join(missing)}")
            for line, values in enumerate(reader):
                if line >= _MAX_ROWS:
                    raise InputError(f"more than {_MAX_ROWS:,} rows")
                row, told = _row({name: values[key] or "" for name, key in names.items()}, session, size)
                faults.update(told)
                if row is not None:
                    rows.setdefault(row.number, row)
    except (OSError, csv.Error) as error:
        raise InputError(f"can't be read: {error}") from None
    warnings = [f"{ODOMETRY}: {count} rows: {fault}" for fault, count in faults.items()]
    return [rows[key] for key in sorted(rows)], warnings


def _row(values: Mapping[str, str], session: str, size: tuple[int, int]) -> tuple[TrackRow | None, tuple[str, ...]]:
    frame, time_s = _number(values["frame"]), _number(values.get("timestamp", ""))
    if frame is None or frame < 0:
        return None, ("its frame has no number",)
    x, y, z, *quaternion = (_number(values[name]) for name in _POSE)
    pose: DevicePose | None = None
    faults: tuple[str, ...] = ()
    try:
        matrix, faults = checked_quaternion(
            [np.nan if q is None else q for q in quaternion], [np.nan if t is None else t for t in (x, y, z)]
        )
        world_from_cam = pycolmap.Rigid3d(pycolmap.Rotation3d(np.ascontiguousarray(matrix[:3, :3])), matrix[:3, 3])
        pose = device_pose(cam_from_y_up(world_from_cam.inverse()), session)
    except InputError as error:
        faults = (str(error),)
    lens = pinhole([_number(values.get(name, "")) for name in _LENS], *size)
    return TrackRow(int(frame), time_s, pose, lens), faults


def _matrix(path: Path, size: tuple[int, int]) -> Pinhole | None:
    try:
        rows = [[float(v) for v in line.split(",")] for line in read_beginning(path, 4096).splitlines() if line.strip()]
        (fx, _, cx), (_, fy, cy) = rows[0], rows[1]
    except (OSError, ValueError, IndexError):
        raise InputError("no matrix of 3 x 3") from None
    found = pinhole([fx, fy, cx, cy], *size)
    if found is None:
        raise InputError(f"focal length {fx:g} and principal point {cx:g}, {cy:g} fit no image of {size[0]} x {size[1]}")
    return found


def _number(text: str) -> float | None:
    """A finite number; None where the text is none."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
