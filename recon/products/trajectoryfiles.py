"""The way of a video's camera, frame by frame, for other programs: a table, TUM's format, and a path to render along."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from recon.capture.records import write_json
from recon.geometry.frames import opengl_world_from_cam
from recon.geometry.geodesy import LocalFrame

COLUMNS = (
    *("video", "frame", "timestamp_s", "source", "x", "y", "z", "lat_deg", "lon_deg", "alt_m"),
    *("qw", "qx", "qy", "qz", "tx", "ty", "tz", "sigma_position", "sigma_deg", "points"),
)
Video = dict[str, Any]
"""A shard's ``trajectory.json``."""


def write_trajectories(
    out: Path, videos: Sequence[Video], model: pycolmap.Reconstruction, frame: LocalFrame | None, place: dict[str, Any]
) -> None:
    """``trajectory.csv`` and ``.json`` of all videos; of each ``trajectory.tum`` and ``camera_path.json``, numbered."""
    write_json(out / "trajectory.json", {**place, "videos": list(videos)})
    _write_table(out / "trajectory.csv", videos, frame)
    for number, video in enumerate(videos, 1):
        end = f"_{number}" if len(videos) > 1 else ""
        _write_tum(out / f"trajectory{end}.tum", video)
        _write_path(out / f"camera_path{end}.json", video, _camera_of(video, model))


def _pose(row: dict[str, Any]) -> pycolmap.Rigid3d:
    w, x, y, z, *translation = row["cam_from_world"]
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([x, y, z, w])), np.array(translation))


def _write_table(path: Path, videos: Sequence[Video], frame: LocalFrame | None) -> None:
    """``qw`` to ``tz`` are cam_from_world, ``x y z`` the centre in world."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(COLUMNS)
        for video in videos:
            centers = np.array([_pose(row).inverse().translation for row in video["frames"]]).reshape(-1, 3)
            degrees = None if frame is None else frame.to_geodetic(centers)
            for number, (row, center) in enumerate(zip(video["frames"], centers, strict=True)):
                place = ["", "", ""] if degrees is None else [f"{value:.{d}f}" for value, d in zip(degrees[number], (9, 9, 4), strict=True)]
                pose = [f"{value:.9f}" for value in row["cam_from_world"]]
                sigmas = ["" if row[key] is None else f"{row[key]:.6g}" for key in ("sigma_position", "sigma_deg")]
                points = "" if row["points"] is None else row["points"]
                own = [video["source"], row["frame"], f"{row['timestamp_s']:.6f}", row["source"], *(f"{value:.6f}" for value in center)]
                table.writerow([*own, *place, *pose, *sigmas, points])


def _write_tum(path: Path, video: Video) -> None:
    """A line a frame: time [s], the centre, and world_from_cam as qx qy qz qw [Sturm et al., IROS 2012]."""
    lines = []
    for row in video["frames"]:
        world_from_cam = _pose(row).inverse()
        values = (*world_from_cam.translation, *world_from_cam.rotation.quat)
        lines.append(f"{row['timestamp_s']:.6f} " + " ".join(f"{value:.9f}" for value in values) + "\n")
    path.write_text("".join(lines), encoding="ascii")


def _write_path(path: Path, video: Video, camera: pycolmap.Camera) -> None:
    """nerfstudio's ``camera_path.json``: every frame, OpenGL axes, world as in ``transforms.json``."""
    fov_deg = 2 * math.degrees(math.atan(camera.height / 2 / camera.focal_length_y))
    frames = video["frames"]
    seconds = frames[-1]["timestamp_s"] - frames[0]["timestamp_s"]
    shown = [
        {"camera_to_world": opengl_world_from_cam(_pose(row)).ravel().tolist(), "fov": fov_deg, "aspect": camera.width / camera.height}
        for row in frames
    ]
    size = {"render_width": camera.width, "render_height": camera.height}
    timing = {"fps": (len(frames) - 1) / seconds if seconds > 0 else 1.0, "seconds": seconds}
    write_json(path, {"camera_type": "perspective", **size, **timing, "is_cycle": False, "keyframes": [], "camera_path": shown})


def _camera_of(video: Video, model: pycolmap.Reconstruction) -> pycolmap.Camera:
    """That of its keyframes."""
    wanted = f"{video['name']}/"
    image = min((image for image in model.images.values() if image.name.startswith(wanted)), key=lambda image: image.name)
    return model.cameras[image.camera_id]
