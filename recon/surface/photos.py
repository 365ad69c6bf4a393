"""The registered photos as texture sees them: pixels at a bounded size, and where a world point lies in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.capture.pixels import read_grey, read_rgb
from recon.capture.records import ImageSet
from recon.dense.view import View
from recon.errors import InputError

_REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))
_ROUND_TRIP = 1e-3  # tangent by which a point may miss itself after projection and back


@dataclass(frozen=True)
class Photo:
    """A photo with its lens and pose; pixels are the original's, distortion and all."""

    name: str
    path: Path
    mask_path: Path | None
    camera: pycolmap.Camera
    R: NDArray[np.float64]
    """(3, 3) rotation of cam_from_world."""
    t: NDArray[np.float64]
    """(3,) translation of cam_from_world."""
    sharpness: float

    @property
    def center(self) -> NDArray[np.float64]:
        """(3,) camera centre in world."""
        return np.asarray(-self.R.T @ self.t)

    def size(self, max_size_px: int) -> tuple[int, int]:
        """Width and height at which ``pixels`` gives the photo."""
        scale = min(1.0, max_size_px / max(self.camera.width, self.camera.height))
        return max(1, round(self.camera.width * scale)), max(1, round(self.camera.height * scale))

    def pixels(self, max_size_px: int) -> NDArray[np.uint8]:
        """(H, W, 3) RGB with its longer side at most max_size_px."""
        image = read_rgb(self.path, max_size_px)
        width, height = self.size(max_size_px)
        if image.shape[:2] != (height, width):
            raise InputError(
                f"{self.name} has {image.shape[1]}x{image.shape[0]} pixels where its camera says {width}x{height}",
                "Give the images that the model was made from",
            )
        return image

    def glance(self, max_size_px: int) -> NDArray[np.uint8]:
        """As ``pixels``, for mean colours: a JPEG much larger than that is decoded at a fraction of its size, and so sooner."""
        width, height = self.size(max_size_px)
        fraction = max(self.camera.width, self.camera.height) / max(width, height)
        reduced = next((flag for least, flag in _REDUCED if fraction >= least), None)
        image = None if reduced is None else cv2.imdecode(np.fromfile(self.path, np.uint8), reduced)
        if image is None:
            return self.pixels(max_size_px)
        return np.asarray(cv2.cvtColor(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB), np.uint8)

    def mask(self, max_size_px: int) -> NDArray[np.bool_] | None:
        """(H, W) whether a pixel may be used; None where all may."""
        if self.mask_path is None:
            return None
        return np.asarray(read_grey(self.mask_path, max_size_px) >= 250)

    def project(self, xyz: NDArray[np.floating], max_size_px: int) -> NDArray[np.float64]:
        """(N, 2) pixels at that size of (N, 3) world points, NaN where the photo can't see them.

        The first pixel's centre is (0.5, 0.5). Points behind the camera or beyond its borders are NaN, and so are those that
        strong distortion folds back into the picture.
        """
        camera, in_cam = self.camera, xyz @ self.R.T + self.t
        at = np.full((len(xyz), 2), np.nan)
        ahead = np.flatnonzero(in_cam[:, 2] > 1e-9)
        pixel = camera.img_from_cam(np.ascontiguousarray(in_cam[ahead], dtype=np.float64))
        inside = ((pixel >= 0) & (pixel <= (camera.width, camera.height))).all(axis=1)
        ahead, pixel = ahead[inside], pixel[inside]
        ray = in_cam[ahead, :2] / in_cam[ahead, 2:]
        miss = np.linalg.norm(camera.cam_from_img(pixel) - ray, axis=1) if len(pixel) else np.zeros(0)
        good = miss <= _ROUND_TRIP * (1 + np.linalg.norm(ray, axis=1) ** 2)
        width, height = self.size(max_size_px)
        at[ahead[good]] = pixel[good] * (width / camera.width, height / camera.height)
        return at


def registered_photos(model: pycolmap.Reconstruction, images: ImageSet, views: Sequence[View] = ()) -> list[Photo]:
    """The capture's images that have a pose in the model, in image order; of panoramas their views."""
    by_name = {image.name: image for image in model.images.values() if image.has_pose}
    photos = []
    for record in images.records:
        if record.name in by_name:
            image = by_name[record.name]
            if image.camera.is_spherical():
                photos += [_of_view(view, record.sharpness) for view in views if view.part_of == record.name]
                continue
            pose = image.cam_from_world()
            photos.append(
                Photo(
                    record.name,
                    images.path(record),
                    images.mask_path(record),
                    model.cameras[image.camera_id],
                    pose.rotation.matrix(),
                    np.array(pose.translation),
                    record.sharpness,
                )
            )
    return photos


def _of_view(view: View, sharpness: float) -> Photo:
    fx, fy, cx, cy = view.K[0, 0], view.K[1, 1], view.K[0, 2], view.K[1, 2]
    camera = pycolmap.Camera(model="PINHOLE", width=view.width, height=view.height, params=[fx, fy, cx, cy])
    return Photo(view.name, view.path, view.mask_path, camera, view.R, view.t, sharpness)
