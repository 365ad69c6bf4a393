"""A textured ground with a plateau, photographed from above: pictures, model and true depth in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.capture.pixels import write_png
from recon.capture.records import ImageRecord, write_records
from recon.stage import Inputs

HEIGHT = 10.0
PLATEAU = 1.5
_HALF = 2.0


@dataclass(frozen=True)
class Photo:
    name: str
    camera: pycolmap.Camera
    cam_from_world: pycolmap.Rigid3d


def looking_down(x: float, y: float, z: float = HEIGHT, tilt_deg: float = 0.0, turn_deg: float = 0.0) -> pycolmap.Rigid3d:
    """A camera above (x, y) whose image is turned about its axis, tilted towards +y."""
    down = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
    turn = cv2.Rodrigues(np.radians([0, 0, turn_deg]))[0]
    tilt = cv2.Rodrigues(np.radians([tilt_deg, 0, 0]))[0]
    rotation = turn @ tilt @ down
    return pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -rotation @ np.array([x, y, z]))


def pinhole(width: int = 320, height: int = 240, focal: float = 320.0) -> pycolmap.Camera:
    return pycolmap.Camera(model="PINHOLE", width=width, height=height, params=[focal, focal * 1.01, width / 2 + 3, height / 2 - 2])


def hits(camera: pycolmap.Camera, pose: pycolmap.Rigid3d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """World point (h, w, 3) and depth along z (h, w) of every pixel's centre."""
    u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = camera.cam_from_img(np.column_stack([u.ravel(), v.ravel()]))
    rotation = pose.rotation.matrix()
    directions = np.column_stack([rays, np.ones(len(rays))]) @ rotation
    center = -rotation.T @ pose.translation
    on_top = center + directions * ((PLATEAU - center[2]) / directions[:, 2])[:, None]
    on_ground = center + directions * (-center[2] / directions[:, 2])[:, None]
    points = np.where((np.abs(on_top[:, :2]) < _HALF).all(1)[:, None], on_top, on_ground)
    depth = points @ rotation[2] + pose.translation[2]
    return points.reshape(camera.height, camera.width, 3), depth.reshape(camera.height, camera.width)


def surface_distance(xyz: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) height above the ground or the plateau, whichever lies below (N, 3) points."""
    return np.asarray(xyz[:, 2] - np.where((np.abs(xyz[:, :2]) < _HALF).all(1), PLATEAU, 0.0), np.float64)


def picture(photo: Photo, rng: np.random.Generator, noise: float = 2.0) -> NDArray[np.uint8]:
    """(h, w, 3): four octaves of random texture that belongs to the ground, with sensor noise [grey levels]."""
    points, _ = hits(photo.camera, photo.cam_from_world)
    grey = np.zeros(points.shape[:2], np.float32)
    paint = np.random.default_rng(7)
    for size in (0.06, 0.15, 0.5, 2.0):
        cells = paint.normal(0, 1, (1024, 1024)).astype(np.float32)
        at = (points[..., :2] / size + 512).astype(np.float32)
        grey += cv2.remap(
            cells, at[..., 0], at[..., 1] + 3 * points[..., 2].astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )
    level = 120 + 22 * grey[..., None] * (1.0, 0.9, 0.7) + rng.normal(0, noise, (*grey.shape, 3))
    return np.clip(level, 0, 255).astype(np.uint8)


def write_capture(root: Path, photos: list[Photo], rng: np.random.Generator, masks: dict[str, NDArray[np.uint8]] | None = None) -> Inputs:
    """Folders of ingest, select and georef as those stages leave them, with 600 true sparse points."""
    ingest, select, georef = (root / name for name in ("ingest", "select", "georef"))
    for folder in (select, georef / "model"):
        folder.mkdir(parents=True)
    records = []
    for photo in photos:
        write_png(ingest / "images" / photo.name, picture(photo, rng))
        mask = (masks or {}).get(photo.name)
        if mask is not None:
            write_png(ingest / "masks" / photo.name, mask)
        records.append(
            ImageRecord(
                name=photo.name,
                file=f"ingest/0/images/{photo.name}",
                source=photo.name,
                sha256=photo.name,
                camera="c",
                width=photo.camera.width,
                height=photo.camera.height,
                mask=None if mask is None else f"ingest/0/masks/{photo.name}",
            )
        )
    write_records(select, records)
    sparse_model(photos, rng).write(georef / "model")
    return {"ingest": (ingest,), "select": (select,), "georef": (georef,)}


def sparse_model(photos: list[Photo], rng: np.random.Generator, count: int = 600) -> pycolmap.Reconstruction:
    model = pycolmap.Reconstruction()
    xy = rng.uniform(-6, 6, (count, 2))
    xyz = np.column_stack([xy, np.where((np.abs(xy) < _HALF).all(1), PLATEAU, 0.0)])
    tracks: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for index, photo in enumerate(photos, start=1):
        photo.camera.camera_id = index
        model.add_camera_with_trivial_rig(photo.camera)
        in_camera = xyz @ photo.cam_from_world.rotation.matrix().T + photo.cam_from_world.translation
        pixels = photo.camera.img_from_cam(in_camera)
        seen = np.flatnonzero(((pixels > 0) & (pixels < (photo.camera.width, photo.camera.height))).all(1) & (in_camera[:, 2] > 0))
        image = pycolmap.Image(name=photo.name, keypoints=pixels[seen], camera_id=index, image_id=index)
        model.add_image_with_trivial_frame(image, photo.cam_from_world)
        for keypoint, point in enumerate(seen):
            tracks[point].append((index, keypoint))
    for point, observations in enumerate(tracks):
        if len(observations) > 1:
            track = pycolmap.Track([pycolmap.TrackElement(image, keypoint) for image, keypoint in observations])
            model.add_point3D(xyz[point], track)
    return model
