"""A row for every frame of a video from its first registered keyframe to its last: that of a keyframe, by the image, or the spline's."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from recon.capture.pixels import read_grey
from recon.capture.records import ImageRecord
from recon.capture.video import Frames
from recon.sfm.between import MEDIAN_LENGTH, FrameRefiner, Keyframe, KeyframePath, Refined

_LOOKED_AT_PX = 1280
_FAR = 1.0
"""A found centre is not believed further from the spline's than so many times the way from keyframe to keyframe ..."""
_FAR_DEG = 8.0
"""... nor a found rotation turned more than that."""


def keyframes_of(model: pycolmap.Reconstruction, records: Sequence[ImageRecord], sequence: str) -> list[Keyframe]:
    """The registered frames of a video, in order."""
    poses = {image.name: image.cam_from_world() for image in model.images.values() if image.has_pose}
    own = [record for record in records if record.sequence == sequence and record.frame is not None and record.name in poses]
    rows = [Keyframe(record.name, int(record.frame or 0), float(record.timestamp_s or 0.0), poses[record.name]) for record in own]
    kept: list[Keyframe] = []
    for row in sorted(rows, key=lambda key: key.frame):
        if not kept or row.time_s > kept[-1].time_s:  # a broken clock may repeat itself
            kept.append(row)
    return kept


def every_frame(
    video: Path,
    model: pycolmap.Reconstruction,
    keyframes: Sequence[Keyframe],
    paths: Mapping[str, Path],
    threads: int,
    tell: Callable[[float], None],
) -> list[dict[str, Any]]:
    """A row a frame, in order: ``frame``, ``timestamp_s``, ``source`` (``keyframe``, ``image``, ``spline``), ``cam_from_world`` (qw qx qy
    qz tx ty tz), ``sigma_position``, ``sigma_deg`` (null for keyframes) and ``points``.

    ``paths`` leads to the pixels of keyframes by their names. One pass over the video, three frames in memory. What the spline is worth
    where the images don't tell is read off the frames where they do.
    """
    path = KeyframePath(keyframes)
    shape: tuple[int, int] = (0, 0)

    def pixels(name: str) -> Any:
        import cv2

        grey = read_grey(paths[name], _LOOKED_AT_PX)
        return grey if grey.shape == shape else cv2.resize(grey, shape[::-1], interpolation=cv2.INTER_AREA)

    refiner = FrameRefiner(model, pixels)
    first, last = keyframes[0].frame, keyframes[-1].frame
    rows: list[dict[str, Any]] = []
    off: list[tuple[float, float]] = []
    disagreements: list[float] = []
    usual_s = statistics.median(after.time_s - before.time_s for before, after in pairwise(keyframes))
    gaps: dict[int, float] = {}
    at = 0
    for frame in Frames(video, threads):
        if frame.index < first:
            continue
        if frame.index > last:
            break
        while at + 1 < len(keyframes) and keyframes[at + 1].frame <= frame.index:
            at += 1
        here = keyframes[at]
        if here.frame == frame.index:
            rows.append(_row(frame.index, frame.timestamp_s, "keyframe", here.cam_from_world, None, None, None))
            tell((frame.index - first) / max(1, last - first))
            continue
        prior = path.at(frame.timestamp_s)
        grey = frame.grey(_LOOKED_AT_PX)
        shape = (grey.shape[0], grey.shape[1])
        found = refiner.refined(grey, keyframes[at : at + 2], prior)
        if found is not None and _is_near(found, prior, here, keyframes[at + 1]):
            off.append(_apart(found.cam_from_world, prior))
            disagreements += [] if found.disagreement is None else [found.disagreement]
            rows.append(
                _row(frame.index, frame.timestamp_s, "image", found.cam_from_world, found.sigma_position, found.sigma_deg, found.points)
            )
        else:
            gaps[frame.index] = max(1.0, (keyframes[at + 1].time_s - here.time_s) / usual_s)
            rows.append(_row(frame.index, frame.timestamp_s, "spline", prior, None, None, None))
    return _with_sigmas(rows, off, gaps, max(1.0, statistics.median(disagreements)) if disagreements else 1.0)


def _is_near(found: Refined, prior: pycolmap.Rigid3d, before: Keyframe, after: Keyframe) -> bool:
    way, turn_deg = _apart(found.cam_from_world, prior)
    step, _ = _apart(before.cam_from_world, after.cam_from_world)
    return way <= max(_FAR * step, 3 * found.sigma_position) and turn_deg <= _FAR_DEG


def _apart(one: pycolmap.Rigid3d, two: pycolmap.Rigid3d) -> tuple[float, float]:
    """Distance of the centres [world], and angle between the rotations [degrees]."""
    way = np.linalg.norm(one.inverse().translation - two.inverse().translation)
    return float(way), float(np.degrees((one.rotation * two.rotation.inverse()).angle()))


def _with_sigmas(
    rows: list[dict[str, Any]], off: Sequence[tuple[float, float]], gaps: Mapping[int, float], worse: float
) -> list[dict[str, Any]]:
    """Deviations as they are: of poses found in images ``worse`` than their pixels tell, of the spline by its distance from those.

    Tracked points err together, so that poses by one keyframe and by the next lie further apart than independent points would put them.
    Between keyframes that are further apart than usual (``gaps``, by frame) the spline is worse by the square of that: what moves with
    some acceleration leaves its path by the square of the time.
    """
    spline = [statistics.median(column) / MEDIAN_LENGTH for column in zip(*off, strict=True)]
    for row in rows:
        if row["source"] == "image":
            row |= {"sigma_position": worse * row["sigma_position"], "sigma_deg": worse * row["sigma_deg"]}
        elif row["source"] == "spline" and spline:
            by_gap = gaps[row["frame"]] ** 2
            row |= {"sigma_position": by_gap * spline[0], "sigma_deg": min(180.0, by_gap * spline[1])}
    return rows


def _row(
    frame: int,
    timestamp_s: float,
    source: str,
    cam_from_world: pycolmap.Rigid3d,
    sigma_position: float | None,
    sigma_deg: float | None,
    points: int | None,
) -> dict[str, Any]:
    x, y, z, w = (float(part) for part in cam_from_world.rotation.quat)
    pose = [w, x, y, z, *(float(part) for part in cam_from_world.translation)]
    told = {"frame": frame, "timestamp_s": round(timestamp_s, 6), "source": source, "cam_from_world": pose}
    return {**told, "sigma_position": sigma_position, "sigma_deg": sigma_deg, "points": points}
