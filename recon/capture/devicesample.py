"""What tablets, phones and glasses wrote, for ``recon inspect``: which app, how many images have a pose, what is wrong with the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recon.capture import photos
from recon.capture.depthimage import TURNED
from recon.capture.device import DeviceFrame, rigid
from recon.capture.devicefiles import number
from recon.capture.devices import Readers, session_of, track_of_video
from recon.capture.photos import Header
from recon.capture.records import DevicePose, Record
from recon.capture.source import Source, SourceFile
from recon.capture.video import VideoInfo
from recon.errors import InputError

SAMPLE = 200
"""Photos of a recording whose poses are read, evenly spread; of a video all rows are."""


class DeviceFound(Record):
    """One recording of an app that states poses."""

    app: str
    folder: str
    """Relative to the capture; empty for the capture itself."""
    images: int
    """Photos, or frames of the video that have a row."""
    looked_at: int
    poses: int
    """Of those looked at."""
    upright: bool
    """Whether the poses tell what is up."""
    way_m: float
    """Length of the way through the poses looked at, as the device has it."""
    intrinsics: bool
    warnings: tuple[str, ...]


def devices_found(
    source: Source, headers: Sequence[tuple[SourceFile, Header]], videos: Sequence[tuple[SourceFile, VideoInfo]], max_pixels: int
) -> tuple[DeviceFound, ...]:
    """A row a recording; none in a capture without."""
    poses = source.poses
    found = [_of_video(file, info, poses[file.name], source) for file, info in videos if file.name in poses]
    sessions: dict[str, list[tuple[SourceFile, Header]]] = {}
    for file, header in headers:
        if file.name in poses:
            sessions.setdefault(session_of(poses[file.name]), []).append((file, header))
    for rows in sessions.values():
        count, readers = min(SAMPLE, len(rows)), Readers()
        chosen = [rows[i * len(rows) // count] for i in range(count)]
        faults: Counter[str] = Counter()
        frames = [_frame(readers, file, header, poses[file.name], max_pixels, faults) for file, header in chosen]
        first = rows[0][0]
        found.append(_summary(first.device, _folder(poses[first.name]), len(rows), frames, _told(faults)))
    return tuple(found)


def _frame(
    readers: Readers, file: SourceFile, header: Header, poses: Sequence[SourceFile], max_pixels: int, faults: Counter[str]
) -> DeviceFrame:
    turned = photos.orientation(Path(file.path), max_pixels) in TURNED
    try:
        frame = readers.frame(file, (header.height, header.width) if turned else (header.width, header.height), poses)
    except InputError as error:
        faults[str(error)] += 1
        return DeviceFrame()
    faults.update(frame.faults)
    return frame


def _of_video(file: SourceFile, info: VideoInfo, poses: Sequence[SourceFile], source: Source) -> DeviceFound:
    lying = info.rotation_deg in (90, 270)
    measured = [int(number(pair.depth.relative) or 0) for pair in source.frames.get(file.name, ())]
    track = track_of_video(file, poses, (), (info.height, info.width) if lying else (info.width, info.height), measured)
    frames = [DeviceFrame(row.pose, row.pinhole or track.pinhole) for row in track.rows]
    warnings = list(track.warnings)
    if info.frames and track.rows and abs(info.frames - len(track.rows)) > max(2, 0.02 * info.frames):
        warnings.append(f"{len(track.rows)} rows of poses, {info.frames} frames in the video")
    return _summary(file.device, _folder(poses), len(frames), frames, warnings)


def _summary(app: str, folder: str, images: int, frames: Sequence[DeviceFrame], warnings: Sequence[str]) -> DeviceFound:
    stated: list[DevicePose] = [frame.pose for frame in frames if frame.pose]
    centers = np.array([rigid(pose).inverse().translation for pose in stated]).reshape(-1, 3)
    return DeviceFound(
        app=app,
        folder=folder,
        images=images,
        looked_at=len(frames),
        poses=len(stated),
        upright=any(pose.upright for pose in stated),
        way_m=round(float(np.linalg.norm(np.diff(centers, axis=0), axis=1).sum()), 2),
        intrinsics=any(frame.pinhole for frame in frames),
        warnings=tuple(warnings),
    )


def _folder(poses: Sequence[SourceFile]) -> str:
    return poses[0].relative.rpartition("/")[0]


def _told(faults: Counter[str]) -> list[str]:
    return [f"{count} images looked at: {fault}" for fault, count in faults.items()]
