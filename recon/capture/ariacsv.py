"""The rows of a trajectory file of Project Aria's machine perception services."""

from __future__ import annotations

import csv
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from recon.capture.names import shown
from recon.errors import InputError, NotFound
from recon.geometry.rotations import rotation_of

_TIME = "tracking_timestamp_us"
_WORLDS = {"world": "graph_uid", "odometry": "session_uid"}
"""Frame of the poses of closed-loop and of open-loop files, and the column that names it: poses of two names have nothing in common."""
_POSE = ("tx_{}_device", "ty_{}_device", "tz_{}_device", "qx_{}_device", "qy_{}_device", "qz_{}_device", "qw_{}_device")
_GRAVITY = ("gravity_x_{}", "gravity_y_{}", "gravity_z_{}")
_UNIT = 0.02
"""How far from 1 a quaternion's length may be, to be scaled without a word."""
_STEADY = np.cos(np.radians(2.0))
"""Gravity that turns further within one file tells no up."""
_MAX_ROWS = 20_000_000


@dataclass(frozen=True)
class MpsTrajectory:
    """Poses of the device, metres."""

    times_us: NDArray[np.int64]
    """(N,) of the device's clock, increasing."""
    rotations: NDArray[np.float64]
    """(N, 3, 3) world_from_device."""
    positions: NDArray[np.float64]
    """(N, 3) of the device in world."""
    frames: NDArray[np.int64]
    """(N,) which world a row's pose is in, from 0: poses of two have nothing in common."""
    up: NDArray[np.float64] | None
    """(3,) unit vector in world, against the stated gravity; None where none is stated, or it is not steady."""
    warnings: tuple[str, ...]


def is_trajectory(first_line: str) -> bool:
    """Whether a CSV file is an MPS trajectory, by its header."""
    return _world(first_line.strip().split(",")) is not None


def read_trajectory(path: Path) -> MpsTrajectory:
    """A closed-loop or open-loop file. Rows that hold no pose are left out, and counted by what is wrong with them.

    Raises NotFound for a file that can't be read, and InputError for another one.
    """
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as stream:
            return _read(stream, shown(path.name))
    except OSError as error:
        raise NotFound(f"{shown(path.name)} can't be read: {error.strerror}") from None


def _world(header: Sequence[str]) -> str | None:
    return next((world for world in _WORLDS if {_TIME, *(name.format(world) for name in _POSE)} <= set(header)), None)


def _read(stream: TextIO, name: str) -> MpsTrajectory:
    header = stream.readline().strip().split(",")
    world = _world(header)
    if world is None:
        raise InputError(f"{name} is no trajectory of Project Aria's MPS: its header names no poses of the device")
    columns = [header.index(key.format(world)) for key in (_TIME, *_POSE)]
    gravity = [header.index(key.format(world)) for key in _GRAVITY if key.format(world) in header]
    uid = header.index(_WORLDS[world]) if _WORLDS[world] in header else None
    values, frames, faults = array("d"), array("q"), Counter[str]()
    uids: dict[str, int] = {}
    for row in csv.reader(stream):
        fault = _add(row, columns, gravity if len(gravity) == 3 else (), values, values[-11] if values else -math.inf)
        if fault is None:
            frames.append(0 if uid is None else uids.setdefault(row[uid], len(uids)))
        else:
            faults[fault] += 1
        if len(frames) > _MAX_ROWS:
            raise InputError(f"{name} has more than {_MAX_ROWS:,} rows")
    table = np.array(values, np.float64).reshape(-1, 11)
    return _trajectory(table, np.array(frames, np.int64), tuple(_told(faults, table, name)))


def _add(row: Sequence[str], columns: Sequence[int], gravity: Sequence[int], values: array[float], last: float) -> str | None:
    """Put time, pose and gravity (NaN where none is stated) of a row behind the values; or else what is wrong with it."""
    try:
        found = [float(row[k]) for k in columns]
        down = [float(row[k]) for k in gravity] or [math.nan] * 3
    except (ValueError, IndexError):
        return "hold no pose"
    if not all(map(math.isfinite, found)):
        return "hold no pose"
    if math.hypot(*found[4:]) < 1e-6:
        return "have a quaternion of zero"
    if found[0] <= last:
        return "repeat a time or go back in time"
    values.extend(found)
    values.extend(down)
    return None


def _told(faults: Counter[str], table: NDArray[np.float64], name: str) -> Iterator[str]:
    count = len(table) + sum(faults.values())
    yield from (f"{bad} of {count} rows of {name} {fault}: they are left out" for fault, bad in faults.items())
    lengths = np.linalg.norm(table[:, 4:8], axis=1)
    if scaled := int((np.abs(lengths - 1) > _UNIT).sum()):
        yield f"{scaled} of {count} rows of {name} have a quaternion of another length than 1: they are scaled"


def _trajectory(table: NDArray[np.float64], frames: NDArray[np.int64], warnings: tuple[str, ...]) -> MpsTrajectory:
    """From (N, 11) rows of time, place, quaternion and gravity."""
    quaternions = table[:, 4:8] / np.linalg.norm(table[:, 4:8], axis=1, keepdims=True)
    return MpsTrajectory(table[:, 0].astype(np.int64), rotation_of(quaternions), table[:, 1:4], frames, _up(table[:, 8:]), warnings)


def _up(gravity: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Against (N, 3) gravity, of which rows may be NaN."""
    length = np.linalg.norm(gravity, axis=1)
    known = length > 1e-6
    if not known.any():
        return None
    up = -gravity[known] / length[known, None]
    mean = up.mean(0) / max(float(np.linalg.norm(up.mean(0))), 1e-12)
    return mean if (up @ mean).min() > _STEADY else None
