"""A whole panorama as six pinhole views from one place: ahead, right, behind, left, up and down."""

from __future__ import annotations

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.dense.undistort import check_size

FIELD_DEG = 100.0
"""Wider than a quarter turn: neighbouring views share a rim, where windows of a view alone would see half."""
LEAST_USABLE = 0.05
"""A view of which a mask leaves less than this share is not made."""
_AXES = {
    "front": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "right": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    "back": ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
    "left": ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
    "up": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "down": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
}
"""The axes x, y, z of each view in the panorama's camera: the rows of view_from_cam."""


class Side:
    """Cuts one view out of the panoramas of one camera; what depends on the camera alone is computed once."""

    def __init__(self, camera: pycolmap.Camera, name: str, max_size_px: int) -> None:
        self.source = camera
        self.name = name
        self.view_from_cam: NDArray[np.float64] = np.array(_AXES[name], np.float64)
        """(3, 3) rotation."""
        tangent = float(np.tan(np.radians(FIELD_DEG / 2)))
        side = min(max_size_px, round(2 * tangent * camera.width / (2 * np.pi)))
        focal = side / (2 * tangent)
        self.camera = pycolmap.Camera(model="PINHOLE", width=side, height=side, params=[focal, focal, side / 2, side / 2])
        scale = min(1.0, 2 * np.pi * focal / camera.width)
        self._shrunk = (max(2, round(camera.width * scale)), max(1, round(camera.height * scale)))
        self._map = self._source_of_view()

    def image(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) panorama to (h, h, 3): area-averaged first. Raises InputError where it has another size than its camera."""
        check_size(self.source, pixels)
        return self._cut(pixels, cv2.INTER_CUBIC)

    def mask(self, mask: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
        """(h, h) 255 where the view may be used; None where it all may. ``mask`` is (H, W), zero: not to be used."""
        if mask is None:
            return None
        check_size(self.source, mask)
        usable = self._cut(np.where(mask > 0, np.uint8(255), np.uint8(0)), cv2.INTER_LINEAR) >= 250
        return None if usable.all() else usable.astype(np.uint8) * 255

    def _cut(self, pixels: NDArray[np.uint8], interpolation: int) -> NDArray[np.uint8]:
        small = pixels if pixels.shape[1::-1] == self._shrunk else cv2.resize(pixels, self._shrunk, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.remap(small, *self._map, interpolation, borderMode=cv2.BORDER_WRAP), np.uint8)

    def _source_of_view(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Columns and rows in the shrunk panorama, first pixel's centre at (0, 0), of the view's pixels."""
        side, focal = self.camera.width, self.camera.params[0]
        steps = (np.arange(side) + 0.5 - side / 2) / focal
        u, v = np.meshgrid(steps, steps)
        rays = np.column_stack([u.ravel(), v.ravel(), np.ones(u.size)]) @ self.view_from_cam
        at = self.source.img_from_cam(rays) * (self._shrunk[0] / self.source.width, self._shrunk[1] / self.source.height) - 0.5
        # the rows beyond a pole are those before it, half a turn further: the pole's own row does for them
        at[:, 1] = np.clip(at[:, 1], 0, self._shrunk[1] - 1)
        columns, rows = at.astype(np.float32).T.reshape(2, side, side)
        return columns, rows


def sides(camera: pycolmap.Camera, max_size_px: int) -> list[Side]:
    """The six views of a panorama's camera."""
    return [Side(camera, name, max_size_px) for name in _AXES]
