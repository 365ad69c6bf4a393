"""Issue 6, bars 5 and 6: a fisheye without calibration, 360 walks, and recordings of Project Aria glasses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pycolmap
from numpy.typing import NDArray

from bench.usage import recon
from recon.capture.aria import MODEL, UPRIGHT_FROM_STORED, Recording
from recon.capture.ariacsv import MpsTrajectory, read_trajectory
from recon.capture.records import read_json
from recon.evaluate.poses import pose_errors
from recon.features.sift import detect
from recon.geometry.posespline import interpolated
from recon.geometry.rotations import angle_between
from recon.matchers.nearest import match

if TYPE_CHECKING:
    from bench.bars import Row

WALKS = {
    "glasses, portrait fisheye, no calibration": ("glasses", ()),
    "360 walk, photos": ("panorama", ()),
    "360 walk, video": ("panorama", ("--video", "--images", 60)),
}
RECORDINGS = {"everyday.vrs": 8, "video.vrs": 3}
"""With the colour frames in them."""
_RIM_DEG = 54.0
"""Angle from the axis up to which the colour lens is asked: its image ends at 55 degrees."""


def wide(data: Path, work: Path) -> list[Row]:
    """Simulated walks of exact truth, and the real recordings."""
    rows = []
    for number, (name, (kind, options)) in enumerate(WALKS.items()):
        rows += _walk(name, kind, options, work / f"wide-{number}")
    return [*rows, *_aria(data / "aria")]


def _walk(name: str, kind: str, options: tuple[object, ...], work: Path) -> list[Row]:
    from bench.bars import Row, at_least, at_most

    capture, out = work / "capture", work / "out"
    if not capture.exists():
        recon("simulate", kind, "-o", capture, *options)
    recon("process", capture / read_json(capture / "truth/truth.json")["capture"], "-o", out, "--until", "georef", "--preset", "fast")
    folder = max((out / ".recon").glob("recover-*/0000"), key=os.path.getmtime)
    facts, model = read_json(folder / "sfm.json"), pycolmap.Reconstruction(folder / "model")
    errors = pose_errors(model, pycolmap.Reconstruction(capture / "truth/cameras"))
    length = read_json(capture / "truth/truth.json")["path_length_m"]
    rms = float(np.sqrt(np.mean(errors.position**2)))
    return [
        at_least("6.5", name, f"registered of {facts['images']} images, share", facts["registered"] / facts["images"], 1.0),
        at_most("6.5", name, "position error, RMS, share of the path", rms / length, 0.005),
        Row("6.5", name, "position error, largest, share of the path", float(errors.position.max()) / length, "", True),
        Row("6.5", name, f"reprojection error with {facts['cameras'][0]['model']}, px", facts["reprojection_error_px"], "", True),
    ]


def _aria(folder: Path) -> list[Row]:
    from bench.bars import Row, at_least, at_most

    rows = []
    for name, frames in RECORDINGS.items():
        recording = Recording(folder / name)
        rows.append(at_least("6.6", name, "colour frames read", float(len(list(recording.images()))), frames))
        rows.append(
            at_most("6.6", name, "projection against projectaria-tools' own, largest difference, px", _projection_error(recording), 1e-6)
        )
    recording, trajectory = Recording(folder / "video.vrs"), read_trajectory(folder / "video_trajectory.csv")
    rows.append(at_least("6.6", "video.vrs", "poses in its trajectory file", float(len(trajectory.times_us)), 6))
    turn_deg, sampson_px = _against_trajectory(recording, trajectory)
    rows.append(at_most("6.6", "video.vrs", "turn between frames, images against trajectory, largest, degrees", turn_deg, 0.2))
    rows.append(at_most("6.6", "video.vrs", "matches' distance from the trajectory's epipolar lines, median, px", sampson_px, 1.0))
    rows.append(Row("6.6", "video.vrs", "way of the camera in it, mm", _way_mm(recording, trajectory), "", True))
    return rows


def _camera(recording: Recording) -> pycolmap.Camera:
    lens = recording.lens()
    if lens is None:
        raise ValueError("a recording without calibration")
    return pycolmap.Camera(model=MODEL, width=recording.height, height=recording.width, params=list(lens.params))


def _projection_error(recording: Recording) -> float:
    rng, camera = np.random.default_rng(0), _camera(recording)
    theirs = recording.calibration()
    theta, phi = np.radians(rng.uniform(0, _RIM_DEG, 1000)), rng.uniform(0, 2 * np.pi, 1000)
    rays = np.column_stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    stored = np.array([theirs.project_no_checks(ray) for ray in rays]) + 0.5
    turned = np.column_stack([recording.height - stored[:, 1], stored[:, 0]])
    return float(np.abs(camera.img_from_cam(rays @ UPRIGHT_FROM_STORED[:3, :3].T) - turned).max())


def _poses(recording: Recording, trajectory: MpsTrajectory) -> NDArray[np.float64]:
    """(N, 4, 4) cam_from_world of the colour frames, interpolated between the trajectory's rows."""
    times_us = np.clip(recording.times_ns / 1e3, trajectory.times_us[0], trajectory.times_us[-1])
    rotations, positions = interpolated(trajectory.times_us.astype(np.float64), trajectory.rotations, trajectory.positions, times_us)
    world_from_device = np.tile(np.eye(4), (len(times_us), 1, 1))
    world_from_device[:, :3, :3], world_from_device[:, :3, 3] = rotations, positions
    cam_from_device = recording.cam_from_device()
    if cam_from_device is None:
        raise ValueError("a recording without calibration")
    return np.asarray(cam_from_device @ np.linalg.inv(world_from_device))


def _way_mm(recording: Recording, trajectory: MpsTrajectory) -> float:
    centers = np.linalg.inv(_poses(recording, trajectory))[:, :3, 3]
    return float(1000 * np.linalg.norm(np.diff(centers, axis=0), axis=1).sum())


def _against_trajectory(recording: Recording, trajectory: MpsTrajectory) -> tuple[float, float]:
    """The largest difference [deg] of turns between frames, and the median epipolar error [px] of matches, over all pairs.

    The camera moves 4 mm: turns are those that explain most matches (Kabsch, without the quickest: hands).
    """
    camera, poses, lens = _camera(recording), _poses(recording, trajectory), recording.lens()
    mask = None if lens is None else lens.mask(camera.width, camera.height)
    features = [detect(np.rot90(rgb, -1).copy(), 4096, 0.0066, mask) for _, _, rgb in recording.images()]
    turns_deg, errors = [], []
    for i in range(len(features)):
        for j in range(i + 1, len(features)):
            pairs = match(features[i].descriptors, features[j].descriptors, 0.85)[0]
            one, two = (
                np.asarray(camera.cam_ray_from_img(np.ascontiguousarray(f.keypoints[pairs[:, side], :2], np.float64)))
                for side, f in enumerate((features[i], features[j]))
            )
            j_from_i = poses[j] @ np.linalg.inv(poses[i])
            turns_deg.append(float(np.degrees(angle_between(_turn(one, two), j_from_i[:3, :3]))))
            across = np.cross(j_from_i[:3, 3] / np.linalg.norm(j_from_i[:3, 3]), one @ j_from_i[:3, :3].T)
            errors.append(np.abs((two * across).sum(1)) * camera.focal_length_x)
    return max(turns_deg), float(np.median(np.concatenate(errors)))


def _turn(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) two_from_one of unit rays (N, 3)."""
    kept = np.ones(len(one), bool)
    rotation = np.eye(3)
    for _ in range(10):
        u, _, vt = np.linalg.svd(two[kept].T @ one[kept])
        rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        away = np.linalg.norm(two - one @ rotation.T, axis=1)
        kept = away < 3 * np.median(away)
    return rotation
