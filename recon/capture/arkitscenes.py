"""ARKitScenes, raw or 3dod: ``lowres_wide.traj``, images of the wide camera with ``.pincam`` files, ``lowres_depth``, ``confidence``.

Sources: apple/ARKitScenes, ``DATA.md``, ``raw/README.md`` and ``tenFpsDataLoader.py``: a line of the trajectory is time, rotation vector
and translation of camera from world, with our camera axes; its world has z up. Files are called ``VIDEO_TIME.png`` and belong
together by time. The trajectory has ten poses a second, images have up to sixty: between two poses they are interpolated.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.capture.device import MAX_JSON_BYTES, DeviceFrame, Pinhole, device_pose, pinhole, read_beginning
from recon.capture.devicefiles import Claims, Tree, claim, confidence_beside, leave, of_suffix, stem
from recon.capture.records import DevicePose
from recon.errors import InputError
from recon.geometry.posespline import interpolated
from recon.geometry.rotations import so3_exp

if TYPE_CHECKING:
    from recon.capture.source import SourceFile

NAME = "ARKitScenes"
TRAJECTORY = "lowres_wide.traj"
_IMAGES = ("wide", "vga_wide", "lowres_wide")
"""The same camera at three sizes; the best that is there is used."""
_OTHERS = ("ultrawide", "highres_depth")
_SAME_FRAME_S = 0.009
"""Half the time between two frames: the files' names have milliseconds."""
_WIDEST_GAP_S = 0.25
_TIME = re.compile(r"_(\d+(?:\.\d+)?)$")


def claimed(tree: Tree) -> Claims:
    claims: Claims = {}
    for folder in tree.having(TRAJECTORY):
        sizes = {name: of_suffix(tree.inside(folder, name), ".png", ".jpg") for name in _IMAGES}
        best = next((name for name in _IMAGES if sizes[name]), None)
        if best is None:
            continue
        photos = [file for file in sizes[best] if time_of(file.relative) is not None]
        claims |= {file.relative: claim(file, "photo", NAME) for file in photos}
        for name in (*_IMAGES, *_OTHERS):
            reason = f"{best} is used in its place" if name in _IMAGES else "not used: another camera, or the laser scanner's depth"
            for file in of_suffix(tree.inside(folder, name), ".png", ".jpg"):
                claims.setdefault(file.relative, leave(file, NAME, reason))
        for file in tree.inside(folder).values():
            if file.kind == "video":
                claims[file.relative] = leave(file, NAME, f"the frames of {best} are used in its place")
        claims |= {
            file.relative: claim(file, "poses", NAME, photo)
            for file, photo in _paired(of_suffix(tree.inside(folder, f"{best}_intrinsics"), ".pincam"), photos)
        }
        claims[tree.inside(folder)[TRAJECTORY].relative] = claim(tree.inside(folder)[TRAJECTORY], "poses", NAME, folder)
        claims |= _depth(tree, folder, photos)
    return claims


def time_of(relative: str) -> float | None:
    """Seconds in the name of a file."""
    found = _TIME.search(stem(relative))
    return float(found[1]) if found else None


def _depth(tree: Tree, folder: str, photos: Sequence[SourceFile]) -> Claims:
    files = of_suffix(tree.inside(folder, "lowres_depth"), ".png")
    depth = {file.relative: claim(file, "depth", NAME, photo) for file, photo in _paired(files, photos)}
    for file in files:
        depth.setdefault(file.relative, leave(file, NAME, "a depth image at a time without a photo"))
    return depth | confidence_beside(depth, of_suffix(tree.inside(folder, "confidence"), ".png"), NAME, stem)


def _paired(files: Sequence[SourceFile], photos: Sequence[SourceFile]) -> list[tuple[SourceFile, str]]:
    """Each photo's file at the same time, and the photo's path."""
    timed = sorted(((time, file) for file in files if (time := time_of(file.relative)) is not None), key=lambda row: row[0])
    times = [time for time, _ in timed]
    found: dict[str, tuple[float, SourceFile, str]] = {}
    for photo in photos:
        wanted = time_of(photo.relative) or 0.0
        at = bisect_left(times, wanted)
        near = min(timed[max(0, at - 1) : at + 1], key=lambda row: abs(row[0] - wanted), default=None)
        if near is None or abs(near[0] - wanted) > _SAME_FRAME_S:
            continue
        apart = abs(near[0] - wanted)
        if near[1].relative not in found or apart < found[near[1].relative][0]:
            found[near[1].relative] = apart, near[1], photo.relative
    return [(file, photo) for _, file, photo in found.values()]


class Reader:
    """Reads each trajectory once."""

    def __init__(self) -> None:
        self._read: dict[str, NDArray[np.float64]] = {}

    def frame(self, photo: SourceFile, size: tuple[int, int], files: Sequence[SourceFile], session: str) -> DeviceFrame:
        """Raises InputError where the trajectory can't be read."""
        lens, faults = None, []
        rows = np.zeros((0, 7))
        for file in files:
            if file.relative.casefold().endswith(".pincam"):
                lens = _pincam(Path(file.path))
                faults += [] if lens else ["its .pincam states no camera"]
            else:
                if file.path not in self._read:
                    self._read[file.path] = _trajectory(Path(file.path))
                rows = self._read[file.path]
        pose = _pose_at(rows, time_of(photo.relative) or 0.0, session)
        faults += [] if pose else ["the trajectory has no pose at its time"]
        return DeviceFrame(pose, lens, tuple(faults))


def _pose_at(rows: NDArray[np.float64], time_s: float, session: str) -> DevicePose | None:
    at = int(np.searchsorted(rows[:, 0], time_s))
    before, after = (row for row in (max(0, at - 1), min(at, len(rows) - 1))) if len(rows) else (0, 0)
    if not len(rows) or not rows[before, 0] - _SAME_FRAME_S <= time_s <= rows[after, 0] + _SAME_FRAME_S:
        return None
    if rows[after, 0] - rows[before, 0] > _WIDEST_GAP_S:
        near = min((before, after), key=lambda row: abs(rows[row, 0] - time_s))
        if abs(rows[near, 0] - time_s) > _SAME_FRAME_S:
            return None
        before = after = near
    cam_from_world = so3_exp(rows[[before, after], 1:4])
    world_from_cam = np.swapaxes(cam_from_world, 1, 2)
    centers = -np.einsum("nij,nj->ni", world_from_cam, rows[[before, after], 4:7])
    if before == after:
        rotation, center = world_from_cam[0], centers[0]
    else:
        turns, places = interpolated(rows[[before, after], 0], world_from_cam, centers, np.array([time_s]))
        rotation, center = turns[0], places[0]
    cam_from_device = pycolmap.Rigid3d(pycolmap.Rotation3d(np.ascontiguousarray(rotation)), center).inverse()
    return device_pose(cam_from_device, session)


def _trajectory(path: Path) -> NDArray[np.float64]:
    """(N, 7) rows of finite numbers, at increasing times."""
    rows = []
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"{path.stat().st_size >> 20} MB of poses are more than the limit of {MAX_JSON_BYTES >> 20} MB")
        for line in path.read_text("utf-8", errors="replace").splitlines():
            try:
                values = [float(value) for value in line.split()]
            except ValueError:
                continue  # a line that was cut: a gap
            if len(values) == 7 and np.isfinite(values).all():
                rows.append(values)
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}") from None
    if not rows:
        raise InputError("a trajectory without a line of seven numbers")
    found = np.array(rows)
    found = found[np.argsort(found[:, 0], kind="stable")]
    return np.asarray(found[np.concatenate([[True], np.diff(found[:, 0]) > 0])])


def _pincam(path: Path) -> Pinhole | None:
    try:
        width, height, *values = (float(value) for value in read_beginning(path, 4096).split())
        return pinhole(values, width, height)
    except (OSError, ValueError):
        return None
