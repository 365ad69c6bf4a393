"""Cameras of Strecha's benchmark: "On benchmarking camera calibration and multi-view stereo for high resolution imagery" (CVPR 2008)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap

from recon.errors import InputError, NotFound


def read_strecha(folder: Path) -> pycolmap.Reconstruction:
    """The ``NAME.camera`` files of a folder as a model whose images are called NAME, in metres.

    A file holds K (3 rows), a row of distortion, R world_from_camera (3 rows), the centre C, and width and height.
    """
    files = sorted(folder.glob("*.camera"))
    if not files:
        raise NotFound(f"no *.camera files in {folder}")
    model = pycolmap.Reconstruction()
    for number, path in enumerate(files, 1):
        camera, cam_from_world = _read_camera(path, number)
        model.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(name=path.name.removesuffix(".camera"), camera_id=number, image_id=number)
        model.add_image_with_trivial_frame(image, cam_from_world)
    return model


def _read_camera(path: Path, camera_id: int) -> tuple[pycolmap.Camera, pycolmap.Rigid3d]:
    try:
        values = np.array(path.read_text(encoding="utf-8").split(), np.float64)
    except ValueError as error:
        raise InputError(f"{path} is no Strecha camera file: {error}") from error
    if len(values) != 26:
        raise InputError(f"{path} is no Strecha camera file: {len(values)} numbers instead of 26")
    K, rotation, center = values[:9].reshape(3, 3), values[12:21].reshape(3, 3), values[21:24]
    width, height = (int(v) for v in values[24:26])
    camera = pycolmap.Camera(camera_id=camera_id, model="PINHOLE", width=width, height=height, params=[K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
    return camera, pycolmap.Rigid3d(pycolmap.Rotation3d(rotation.T), -rotation.T @ center)
