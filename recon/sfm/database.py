"""A COLMAP database of keypoints and verified matches, which the mappers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pycolmap

from recon.capture.records import ImageRecord
from recon.features.store import Features
from recon.matchers.store import PairMatches


def write_database(
    path: Path,
    records: Sequence[ImageRecord],
    cameras: Mapping[str, pycolmap.Camera],
    features: Mapping[str, Features],
    pairs: Sequence[PairMatches],
) -> dict[str, int]:
    """Writes the database; returns the image id of each name (counted from 1, in the records' order).

    Every image is a frame of its camera's own rig: COLMAP's form of independent images that share intrinsics.
    """
    image_ids = {record.name: number for number, record in enumerate(records, start=1)}
    with pycolmap.Database.open(path) as database, pycolmap.DatabaseTransaction(database):
        for camera in cameras.values():
            database.write_camera(camera, use_camera_id=True)
            rig = pycolmap.Rig(rig_id=camera.camera_id)
            rig.add_ref_sensor(camera.sensor_id)
            database.write_rig(rig, use_rig_id=True)
        for record in records:
            _write_image(database, record, image_ids[record.name], cameras[record.camera], features[record.name])
        for pair in pairs:
            database.write_two_view_geometry(image_ids[pair.name1], image_ids[pair.name2], _geometry(pair))
    return image_ids


def _write_image(database: pycolmap.Database, record: ImageRecord, image_id: int, camera: pycolmap.Camera, features: Features) -> None:
    image = pycolmap.Image(name=record.name, camera_id=camera.camera_id, image_id=image_id)
    database.write_image(image, use_image_id=True)
    frame = pycolmap.Frame()
    frame.frame_id = image_id
    frame.rig_id = camera.camera_id
    frame.add_data_id(image.data_id)
    database.write_frame(frame, use_frame_id=True)
    database.write_keypoints(image_id, np.ascontiguousarray(features.keypoints, dtype=np.float32))


def _geometry(pair: PairMatches) -> pycolmap.TwoViewGeometry:
    geometry = pycolmap.TwoViewGeometry()
    geometry.config = pair.config
    geometry.inlier_matches = pair.matches
    geometry.F, geometry.E, geometry.H = pair.F, pair.E, pair.H
    if np.isfinite(pair.cam2_from_cam1).all():
        geometry.cam2_from_cam1 = pycolmap.Rigid3d(pair.cam2_from_cam1)
        geometry.tri_angle = np.radians(pair.tri_angle_deg)
    return geometry
