"""The cameras for other programs: nerfstudio's transforms.json and a table of positions and angles."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from recon.capture.records import write_json
from recon.geometry.frames import omega_phi_kappa_deg, opengl_world_from_cam, yaw_pitch_roll_deg
from recon.geometry.geodesy import LocalFrame

_DISTORTION = {
    "SIMPLE_PINHOLE": (),
    "PINHOLE": (),
    "SIMPLE_RADIAL": ("k1",),
    "RADIAL": ("k1", "k2"),
    "OPENCV": ("k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "SIMPLE_RADIAL_FISHEYE": ("k1",),
    "RADIAL_FISHEYE": ("k1", "k2"),
    "OPENCV_FISHEYE": ("k1", "k2", "k3", "k4"),
}
"""nerfstudio's names of COLMAP's distortion parameters, in COLMAP's order."""

COLUMNS = (
    *("name", "x", "y", "z", "yaw_deg", "pitch_deg", "roll_deg", "omega_deg", "phi_deg", "kappa_deg"),
    *("lat_deg", "lon_deg", "alt_m", "camera", "focal_px", "observations", "residual_px"),
)


def registered(model: pycolmap.Reconstruction) -> list[pycolmap.Image]:
    """The images with a pose, by name."""
    return sorted((image for image in model.images.values() if image.has_pose), key=lambda image: image.name)


def write_transforms(path: Path, model: pycolmap.Reconstruction, files: Mapping[str, str], points: str, extras: Mapping[str, Any]) -> None:
    """nerfstudio's ``transforms.json``: OpenGL camera axes in the z-up world, intrinsics where they hold for all images.

    files maps an image's name to its path relative to the file written, points is the cloud's.
    """
    images = registered(model)
    intrinsics = {camera_id: _intrinsics(camera) for camera_id, camera in model.cameras.items()}
    shared = {image.camera_id for image in images}
    frames = []
    for image in images:
        pose = {"file_path": files[image.name], "transform_matrix": opengl_world_from_cam(image.cam_from_world()).tolist()}
        frames.append(pose if len(shared) == 1 else {**intrinsics[image.camera_id], **pose})
    kinds = {intrinsics[camera_id]["camera_model"] for camera_id in shared}
    document: dict[str, Any] = {"camera_model": kinds.pop() if len(kinds) == 1 else "OPENCV", "ply_file_path": points}
    if len(shared) == 1:
        document |= intrinsics[next(iter(shared))]
    write_json(path, {**document, "frames": frames, "recon": dict(extras)})


def write_cameras_csv(
    path: Path, model: pycolmap.Reconstruction, cameras: Mapping[str, str], residuals: Mapping[str, Any], frame: LocalFrame | None
) -> None:
    """A row a registered image: position in world, angles (east-north-up), degrees where known, focal length, residual.

    cameras maps a name to the physical camera's key, residuals to ``sfm.json``'s row of it.
    """
    images = registered(model)
    centers = np.array([image.projection_center() for image in images]).reshape(-1, 3)
    degrees = frame.to_geodetic(centers) if frame is not None else None
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(COLUMNS)
        for number, image in enumerate(images):
            pose = image.cam_from_world()
            angles = (f"{angle:.5f}" for angle in (*yaw_pitch_roll_deg(pose), *omega_phi_kappa_deg(pose)))
            where = (
                ["", "", ""] if degrees is None else [f"{degrees[number, 0]:.9f}", f"{degrees[number, 1]:.9f}", f"{degrees[number, 2]:.4f}"]
            )
            residual = residuals.get(image.name, {}).get("residual_px")
            sphere = image.camera.is_spherical()
            focal = "" if sphere else f"{model.cameras[image.camera_id].mean_focal_length():.4f}"
            fit = [cameras.get(image.name, ""), focal, image.num_points3D, "" if residual is None else f"{residual:.4f}"]
            table.writerow([image.name, *(f"{value:.6f}" for value in centers[number]), *angles, *where, *fit])


def _intrinsics(camera: pycolmap.Camera) -> dict[str, Any]:
    """nerfstudio's fields of a camera; pixel origin at the first pixel's corner, as COLMAP's."""
    if camera.is_spherical():
        return {"camera_model": "EQUIRECTANGULAR", "w": camera.width, "h": camera.height}
    values = [float(camera.params[index]) for index in camera.extra_params_idxs()]
    kind = "OPENCV_FISHEYE" if "FISHEYE" in camera.model.name else "OPENCV"
    distortion: dict[str, Any]
    if camera.model.name == "RAD_TAN_THIN_PRISM_FISHEYE":
        kind, distortion = "FISHEYE624", {"distortion_params": values}
    else:
        distortion = dict(zip(_DISTORTION[camera.model.name], values, strict=True))
    return {
        "camera_model": kind,
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.focal_length_x,
        "fl_y": camera.focal_length_y,
        "cx": camera.principal_point_x,
        "cy": camera.principal_point_y,
        **distortion,
    }
