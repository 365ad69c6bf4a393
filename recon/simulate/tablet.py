"""The room as apps on tablets with a laser scanner store it: stand-ins, built from the public descriptions that the readers cite.

Depth images have 256 x 192 pixels, as ``kinds.sensor_depth`` gives them, and confidence is 2 up to 4 m, then 1. The device's own poses
drift (see ``device_poses``); its world begins at the first camera.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lzfse
import numpy as np
import OpenEXR
import pycolmap
from numpy.typing import NDArray
from PIL import Image

from recon.geometry.frames import arkit_world_from_cam, opengl_world_from_cam
from recon.geometry.rotations import quaternion_of, so3_exp, so3_log
from recon.simulate.cameras import pose
from recon.simulate.kinds import DEPTH, DRIFT, FPS, TABLET_RANGE_M, Plan, pictures, sensor_depth, stream
from recon.simulate.options import Format, Options
from recon.simulate.write import JPEG_QUALITY, write_video

_STARTED_S = 4000.0
"""The device's clock at the first frame: seconds since it was switched on."""
_SURE_M = 0.8 * TABLET_RANGE_M
_NERF_UNIT_M = 10.0 / 65535
_VIDEO_ID = "47333462"
_EPOCH = (1980, 1, 1, 0, 0, 0)
SCAN_ZIP = "scan.r3d"


@dataclass(frozen=True)
class Shot:
    """One frame as the device has it."""

    number: int
    time_s: float
    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    """(192, 256), 0 where nothing was measured."""
    sure: NDArray[np.uint8]
    """0, 1, 2."""
    cam_from_device: pycolmap.Rigid3d
    """Our camera axes, z up."""

    @property
    def depth_mm(self) -> NDArray[np.uint16]:
        return np.round(1000 * self.depth_m).astype(np.uint16)


def names_of(form: Format, times_s: NDArray[np.float64]) -> list[str]:
    """What the images are called, relative to the capture."""
    form_of = {
        "stray": "rgb.mp4/{n:06d}.jpg",
        "record3d": "rgb/{n}.jpg",
        "r3d": "rgbd/{n}.jpg",
        "polycam": "keyframes/corrected_images/{us}.jpg",
        "scanner3d": "frame_{n:05d}.jpg",
        "nerfcapture": "images/{n}.png",
        "arkitscenes": "{id}/vga_wide/{id}_{t:.3f}.png",
    }[form]
    return [form_of.format(n=n, t=_STARTED_S + t, us=_microseconds(t), id=_VIDEO_ID) for n, t in enumerate(times_s.tolist())]


def write_scan(plan: Plan, options: Options, form: Format, out: Path) -> None:
    """The capture in the layout of an app."""
    writer: dict[Format, Callable[[Plan, Options, Path], None]] = {
        "stray": _stray,
        "record3d": _record3d,
        "r3d": _r3d,
        "polycam": _polycam,
        "scanner3d": _scanner3d,
        "nerfcapture": _nerfcapture,
        "arkitscenes": _arkitscenes,
    }
    writer[form](plan, options, out)


def device_poses(plan: Plan, options: Options, drift: float | None = None) -> list[pycolmap.Rigid3d]:
    """cam_from_device, z up, the first camera at the origin and looking along y: the true path with errors that add up.

    Each step has an independent error; at the end of a way of length L the errors' root mean square is ``drift`` L, and that of the heading
    ``drift`` rad. The errors know no direction, so that the scale is right in the mean.
    """
    drift = options.drift if drift is None else drift
    rotations, centers = plan.path.at(plan.times_s)
    rng, steps = stream(options, DRIFT), np.diff(centers, axis=0)
    length, count = float(np.linalg.norm(steps, axis=1).sum()), max(1, len(steps))
    errors = drift * length / np.sqrt(3 * count) * rng.standard_normal(steps.shape)
    heading = np.concatenate([[0.0], np.cumsum(drift / np.sqrt(count) * rng.standard_normal(len(steps)))])
    turns = _about_z(heading)
    moved = np.einsum("nij,nj->ni", turns[:-1], steps) + errors
    places = np.concatenate([np.zeros((1, 3)), np.cumsum(moved, axis=0)])
    forward = rotations[0][:, 2]
    start = _about_z(np.array([np.arctan2(forward[0], forward[1])]))[0]
    return [pose(start @ turn @ rotation, start @ place) for turn, rotation, place in zip(turns, rotations, places, strict=True)]


def _about_z(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    return so3_exp(np.stack([np.zeros_like(angles), np.zeros_like(angles), angles], -1))


def _shots(plan: Plan, options: Options, rgb: bool = True) -> Iterator[Shot]:
    rng, poses = stream(options, DEPTH), device_poses(plan, options)
    empty = np.zeros((0, 0, 3), np.uint8)
    images = pictures(plan, options) if rgb else (empty for _ in poses)
    for number, (time_s, image, cam_from_device) in enumerate(zip(plan.times_s, images, poses, strict=True)):
        depth_m = sensor_depth(plan.scene, plan.camera, plan.path.pose(float(time_s)), options.depth_noise, rng)
        sure = np.where(depth_m == 0, 0, np.where(depth_m <= _SURE_M, 2, 1)).astype(np.uint8)
        yield Shot(number, float(time_s), image, depth_m, sure, cam_from_device)


def _stray(plan: Plan, options: Options, out: Path) -> None:
    write_video(out / "rgb.mp4", pictures(plan, options), (plan.camera.width, plan.camera.height), FPS)
    fx, fy, cx, cy = _lens(plan)
    _text(out / "camera_matrix.csv", f"{fx}, 0.0, {cx}\n0.0, {fy}, {cy}\n0.0, 0.0, 1.0\n")
    rows = ["timestamp, frame, x, y, z, qx, qy, qz, qw, fx, fy, cx, cy"]
    for shot in _shots(plan, options, rgb=False):
        _save(out / "depth" / f"{shot.number:06d}.png", shot.depth_mm)
        _save(out / "confidence" / f"{shot.number:06d}.png", shot.sure)
        transform = arkit_world_from_cam(shot.cam_from_device)
        x, y, z, w = quaternion_of(transform[:3, :3] @ np.diag([1.0, -1.0, -1.0]))  # the app turns its camera to our axes
        place = ", ".join(repr(float(v)) for v in (*transform[:3, 3], x, y, z, w, fx, fy, cx, cy))
        rows.append(f"{_STARTED_S + shot.time_s:.9f}, {shot.number:06d}, {place}")
    _text(out / "odometry.csv", "\n".join(rows) + "\n")
    _text(out / "imu.csv", "timestamp, a_x, a_y, a_z, alpha_x, alpha_y, alpha_z\n")


def _record3d(plan: Plan, options: Options, out: Path) -> None:
    shots = []
    for shot in _shots(plan, options):
        _photo(out / "rgb" / f"{shot.number}.jpg", shot.rgb)
        path = out / "depth" / f"{shot.number}.exr"
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, dict.fromkeys("RGB", shot.depth_m)).write(str(path))
        shots.append((shot.time_s, shot.cam_from_device))
    _json(out / "metadata.json", _metadata(plan, shots))


def _r3d(plan: Plan, options: Options, out: Path) -> None:
    shots = []
    with zipfile.ZipFile(out / SCAN_ZIP, "w") as archive:
        for shot in _shots(plan, options):
            _photo(out / "frame.jpg", shot.rgb)
            parts = {
                "jpg": (out / "frame.jpg").read_bytes(),
                "depth": lzfse.compress(shot.depth_m.tobytes()),
                "conf": lzfse.compress(shot.sure.tobytes()),
            }
            for suffix, content in parts.items():
                archive.writestr(zipfile.ZipInfo(f"rgbd/{shot.number}.{suffix}", _EPOCH), content)
            shots.append((shot.time_s, shot.cam_from_device))
        archive.writestr(zipfile.ZipInfo("metadata", _EPOCH), json.dumps(_metadata(plan, shots)))
    (out / "frame.jpg").unlink()


def _metadata(plan: Plan, shots: Sequence[tuple[float, pycolmap.Rigid3d]]) -> dict[str, Any]:
    """Poses count from the first camera; K stands column by column."""
    fx, fy, cx, cy = _lens(plan)
    matrices = np.array([opengl_world_from_cam(cam_from_device) for _, cam_from_device in shots])
    relative = np.linalg.inv(matrices[0]) @ matrices
    return {
        "w": plan.camera.width,
        "h": plan.camera.height,
        "dw": 256,
        "dh": 192,
        "fps": 60,
        "K": [fx, 0, 0, 0, fy, 0, cx, cy, 1],
        "perFrameIntrinsicCoeffs": [[fx, fy, cx, cy]] * len(shots),
        "initPose": [0, 0, 0, 1, 0, 0, 0],
        "frameTimestamps": [_STARTED_S + time_s for time_s, _ in shots],
        "poses": [[*quaternion_of(m[:3, :3]).tolist(), *m[:3, 3].tolist()] for m in relative],
    }


def _polycam(plan: Plan, options: Options, out: Path) -> None:
    """The corrected poses, which the app has closed loops with, drift a third as far."""
    corrected = device_poses(plan, options, options.drift / 3)
    fx, fy, cx, cy = _lens(plan)
    keyframes = out / "keyframes"
    for shot in _shots(plan, options):
        name = _microseconds(shot.time_s)
        for kind, cam_from_device in (("", shot.cam_from_device), ("corrected_", corrected[shot.number])):
            _photo(keyframes / f"{kind}images" / f"{name}.jpg", shot.rgb)
            matrix = arkit_world_from_cam(cam_from_device)
            camera = {"fx": fx, "fy": fy, "cx": cx, "cy": cy, "width": plan.camera.width, "height": plan.camera.height, "blur_score": 150.0}
            camera |= {f"t_{row}{column}": matrix[row, column] for row in range(3) for column in range(4)}
            _json(keyframes / f"{kind}cameras" / f"{name}.json", camera)
        _save(keyframes / "depth" / f"{name}.png", shot.depth_mm)
        _save(keyframes / "confidence" / f"{name}.png", np.array([0, 127, 255], np.uint8)[shot.sure])
    _json(out / "mesh_info.json", {"alignmentTransform": np.eye(4).ravel().tolist()})


def _scanner3d(plan: Plan, options: Options, out: Path) -> None:
    fx, fy, cx, cy = _lens(plan)
    for shot in _shots(plan, options):
        number = f"{shot.number:05d}"
        _photo(out / f"frame_{number}.jpg", shot.rgb)
        _save(out / f"depth_{number}.png", shot.depth_mm)
        _save(out / f"conf_{number}.png", shot.sure)
        matrix = arkit_world_from_cam(shot.cam_from_device).ravel().tolist()
        stated = {"cameraPoseARFrame": matrix, "intrinsics": [fx, 0, cx, 0, fy, cy, 0, 0, 1], "time": _STARTED_S + shot.time_s}
        _json(out / f"frame_{number}.json", stated | {"frame_index": shot.number, "motionQuality": 1})
    _json(out / "info.json", {"title": "scan", "frames": len(plan.times_s)})


def _nerfcapture(plan: Plan, options: Options, out: Path) -> None:
    """Depth images are as large as the photos: the app repeats pixels."""
    fx, fy, cx, cy = _lens(plan)
    lens = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": plan.camera.width, "h": plan.camera.height}
    frames = []
    for shot in _shots(plan, options):
        opaque = np.full((*shot.rgb.shape[:2], 1), 255, np.uint8)
        _save(out / "images" / f"{shot.number}.png", np.concatenate([shot.rgb, opaque], 2))
        units = Image.fromarray(np.round(shot.depth_m / _NERF_UNIT_M).astype(np.uint16))
        _save(out / "images" / f"{shot.number}.depth.png", np.asarray(units.resize((lens["w"], lens["h"]), Image.Resampling.NEAREST)))
        matrix = arkit_world_from_cam(shot.cam_from_device).tolist()
        where = {"file_path": f"images/{shot.number}", "depth_path": f"images/{shot.number}.depth.png"}
        frames.append({**where, "transform_matrix": matrix, "timestamp": _STARTED_S + shot.time_s, **lens})
    _json(out / "transforms.json", {**lens, "integer_depth_scale": _NERF_UNIT_M, "frames": frames})


def _arkitscenes(plan: Plan, options: Options, out: Path) -> None:
    lines, (fx, fy, cx, cy) = [], _lens(plan)
    folder = out / _VIDEO_ID
    for shot in _shots(plan, options):
        time_s = _STARTED_S + shot.time_s
        name = f"{_VIDEO_ID}_{time_s:.3f}"
        _save(folder / "vga_wide" / f"{name}.png", shot.rgb)
        _text(folder / "vga_wide_intrinsics" / f"{name}.pincam", f"{plan.camera.width} {plan.camera.height} {fx} {fy} {cx} {cy}\n")
        _save(folder / "lowres_depth" / f"{name}.png", shot.depth_mm)
        _save(folder / "confidence" / f"{name}.png", shot.sure)
        turn, place = so3_log(shot.cam_from_device.rotation.matrix()), shot.cam_from_device.translation
        lines.append(" ".join(repr(float(v)) for v in (time_s, *turn, *place)))
    _text(folder / "lowres_wide.traj", "\n".join(lines) + "\n")


def _lens(plan: Plan) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy: apps state no distortion."""
    camera = plan.camera
    return camera.focal_length_x, camera.focal_length_y, camera.principal_point_x, camera.principal_point_y


def _microseconds(time_s: float) -> int:
    return round(1e6 * (_STARTED_S + time_s))


def _photo(path: Path, rgb: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, "JPEG", quality=JPEG_QUALITY, subsampling=0)


def _save(path: Path, pixels: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


def _json(path: Path, value: Any) -> None:
    _text(path, json.dumps(value))
