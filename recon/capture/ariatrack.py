"""Trajectories of Project Aria's machine perception services (MPS) beside a recording: which file is whose, and the pose of each frame.

Sources: Project Aria's documentation, "MPS output - Trajectory" and "MPS File Structure". ``mps_NAME_vrs/slam/`` beside ``NAME.vrs`` holds
``closed_loop_trajectory.csv`` (loops closed, frames named by ``graph_uid``) and ``open_loop_trajectory.csv`` (odometry, which drifts, named
by ``session_uid``): poses of the device at a thousand a second by the device's clock, metres, and gravity in the frame of the poses.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.capture.aria import SUFFIX, UPRIGHT_FROM_STORED, Recording
from recon.capture.ariacsv import MpsTrajectory, is_trajectory, read_trajectory
from recon.capture.device import device_pose
from recon.capture.devicefiles import Claims, Tree, claim, leave, stem
from recon.capture.devicetrack import DeviceTrack, TrackRow
from recon.errors import InputError, NotFound
from recon.geometry.posespline import interpolated
from recon.geometry.rotations import so3_exp

if TYPE_CHECKING:
    from recon.capture.source import SourceFile

NAME = "Project Aria"
_CLOSED, _OPEN = "closed_loop_trajectory.csv", "open_loop_trajectory.csv"
_FOLDERS = ("slam", "trajectory", "mps/slam", "")
"""Where the services' files lie, below ``mps_NAME_vrs`` or, of a recording that lies alone, beside it."""
_MAX_GAP_US = 250_000
"""Poses are interpolated between rows that are no further apart."""


def claimed(tree: Tree) -> Claims:
    claims: Claims = {}
    for folder, inside in list(tree.folders.items()):
        recordings = [file for name, file in inside.items() if name.endswith(SUFFIX)]
        for recording in recordings:
            found = _candidates(tree, folder, recording, alone=len(recordings) == 1)
            if found:
                claims[recording.relative] = claim(recording, "video", NAME)
                claims[found[0].relative] = claim(found[0], "poses", NAME, recording.relative)
            for other in found[1:]:
                name = found[0].relative.rpartition("/")[2]
                claims.setdefault(other.relative, leave(other, NAME, f"{name} is used in its place"))
    for inside in tree.folders.values():
        for name, file in inside.items():
            if name in (_CLOSED, _OPEN) and file.relative not in claims:
                claims[file.relative] = leave(file, NAME, f"a trajectory, and nothing tells of which {SUFFIX} recording", lost=True)
    return claims


def beside(recording: Path) -> list[Path]:
    """Trajectories of a recording that is passed alone, where its folder has them."""
    folder, name = recording.parent, recording.stem.casefold()
    try:
        entries = sorted(entry.name for entry in os.scandir(folder))
    except OSError:
        return []
    alone = sum(entry.casefold().endswith(SUFFIX) for entry in entries) == 1
    found = [folder / entry for entry in entries if entry.casefold().startswith(f"{name}_") and entry.endswith("trajectory.csv")]
    places = [folder / f"mps_{recording.stem}_vrs", *([folder] if alone else [])]
    found += [place / below / file for place in places for below in _FOLDERS for file in (_CLOSED, _OPEN)]
    return [path for path in dict.fromkeys(found) if path.is_file()]


def read_track(recording: Path, files: Sequence[SourceFile], session: str) -> DeviceTrack:
    """A row a colour frame, of the frame as it is stored; what can't be used is named in its warnings.

    Raises what ``Recording`` raises.
    """
    opened = Recording(recording)
    name = files[0].relative.rpartition("/")[2]
    upright_from_device = opened.cam_from_device()
    if upright_from_device is None:
        return _without(opened, f"{name} is not used: the recording does not say where its camera sits in the glasses")
    try:
        trajectory = read_trajectory(Path(files[0].path))
    except (InputError, NotFound) as error:
        return _without(opened, f"{name} is not used: {error}")
    stored_from_device = np.linalg.inv(UPRIGHT_FROM_STORED) @ upright_from_device
    return frame_track(trajectory, opened.times_ns / 1e3, stored_from_device, session, name)


def frame_track(
    trajectory: MpsTrajectory, times_us: NDArray[np.float64], cam_from_device: NDArray[np.float64], session: str, name: str = _CLOSED
) -> DeviceTrack:
    """Poses of the frames at ``times_us`` (N,) by the device's clock, increasing; (4, 4) says how the camera sits in the device.

    Their world has z up where gravity is stated. ``name`` is the file's, for the warnings.
    """
    numbers, frames, rotations, positions = _at(trajectory, times_us)
    level = np.eye(3) if trajectory.up is None else _turned_up(trajectory.up)
    cam = pycolmap.Rigid3d(cam_from_device[:3, :4])
    poses = {}
    for number, frame, rotation, position in zip(numbers.tolist(), frames.tolist(), rotations, positions, strict=True):
        world_from_device = pycolmap.Rigid3d(pycolmap.Rotation3d(np.ascontiguousarray(level @ rotation)), level @ position)
        own = f"{session} {frame}" if trajectory.frames.any() else session
        poses[number] = device_pose(cam * world_from_device.inverse(), own, upright=trajectory.up is not None)
    rows = tuple(TrackRow(number, float(time_us) / 1e6, poses.get(number), None) for number, time_us in enumerate(times_us))
    return DeviceTrack(NAME, rows, (*trajectory.warnings, *_told(trajectory, times_us, len(poses), name)))


def _candidates(tree: Tree, folder: str, recording: SourceFile, alone: bool) -> list[SourceFile]:
    """Trajectories of a recording, the best first."""
    name, own = stem(recording.relative), recording.relative.rpartition("/")[2][: -len(SUFFIX)]
    inside = tree.inside(folder)
    named = [file for other, file in inside.items() if other.startswith(f"{name}_") and other.endswith("trajectory.csv")]
    services = [f"mps_{own}_vrs/{below}".rstrip("/") for below in _FOLDERS] + list(_FOLDERS if alone else ())
    found = [tree.inside(folder, place)[file] for place in services for file in (_CLOSED, _OPEN) if file in tree.inside(folder, place)]
    unique = list({file.relative: file for file in (*named, *found) if _stated(file)}.values())
    return sorted(unique, key=lambda file: file.relative.casefold().endswith(_OPEN))


def _stated(file: SourceFile) -> bool:
    try:
        with open(file.path, encoding="utf-8", errors="replace") as stream:
            return is_trajectory(stream.readline(4096))
    except OSError:
        return False


def _without(recording: Recording, warning: str) -> DeviceTrack:
    return DeviceTrack(NAME, tuple(TrackRow(k, t / 1e9, None, None) for k, t in enumerate(recording.times_ns.tolist())), (warning,))


def _at(
    trajectory: MpsTrajectory, times_us: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Numbers of the video's frames that have a pose (M,), the world that it is in (M,), and world_from_device, (M, 3, 3) and (M, 3).

    A frame has one between two rows of one coordinate frame, and up to half an interval before the first and after the last row.
    """
    rows = trajectory.times_us.astype(np.float64)
    if len(rows) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3, 3)), np.zeros((0, 3))
    left = np.clip(np.searchsorted(rows, times_us, side="right") - 1, 0, len(rows) - 2)
    slack = min(float(np.median(np.diff(rows))), _MAX_GAP_US) / 2
    good = (rows[left + 1] - rows[left] <= _MAX_GAP_US) & (trajectory.frames[left] == trajectory.frames[left + 1])
    good &= (times_us >= rows[0] - slack) & (times_us <= rows[-1] + slack)
    numbers = np.flatnonzero(good)
    rotations, positions = interpolated(rows, trajectory.rotations, trajectory.positions, times_us[numbers])
    return numbers, trajectory.frames[left[numbers]], rotations, positions


def _told(trajectory: MpsTrajectory, times_us: NDArray[np.float64], poses: int, name: str) -> Iterator[str]:
    """What a user should know of frames without a pose."""
    rows, missing = trajectory.times_us, len(times_us) - poses
    if len(rows) and missing and (times_us[-1] < rows[0] or times_us[0] > rows[-1]):
        covered, asked = (f"{start / 1e6:.1f} s to {end / 1e6:.1f} s" for start, end in ((rows[0], rows[-1]), (times_us[0], times_us[-1])))
        yield f"{name} tells of {covered} by the glasses' clock, the frames are of {asked}: it is another recording's, and not used"
    elif missing:
        yield f"{missing} of {len(times_us)} frames have no pose: {name} has gaps there, or ends"
    if trajectory.up is None and poses:
        yield f"{name} states no steady gravity: its poses do not tell what is up"


def _turned_up(up: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) the shortest turn that brings a unit vector to z."""
    axis = np.cross(up, [0.0, 0.0, 1.0])
    length = float(np.linalg.norm(axis))
    if length < 1e-12:
        return np.eye(3) if up[2] > 0 else np.diag([1.0, -1.0, -1.0])
    return np.asarray(so3_exp(axis / length * np.arctan2(length, up[2])))
