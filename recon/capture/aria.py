"""Recordings of Project Aria glasses (VRS): frames of the colour camera and its FISHEYE624 calibration.

Reading takes the package projectaria-tools (the extra ``aria``). The colour sensor lies on its side: frames are turned upright, and the
calibration with them. FISHEYE624 is COLMAP's RAD_TAN_THIN_PRISM_FISHEYE with one focal length (Project Aria's documentation, "Camera
Intrinsic Models"); its pixel origin is the first pixel's centre.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.capture.names import shown
from recon.errors import InputError, MissingPart, NotFound

SUFFIX = ".vrs"
ROTATION_DEG = 270
"""Counter-clockwise turn that makes a stored frame upright."""
MODEL = "RAD_TAN_THIN_PRISM_FISHEYE"
_COLOUR = "camera-rgb"
_BEYOND = re.compile(r"(\d+) records are beyond the end of the file")
_TRUNCATED = re.compile(r"record #\d+ truncated")


@dataclass(frozen=True)
class ColourLens:
    """The colour camera's factory calibration, of the upright frame."""

    params: tuple[float, ...]
    """fx, fy, cx, cy, k0..k5, p0, p1, s0..s3 in COLMAP's order and pixel origin."""
    valid_radius_px: float
    """From the principal point: beyond it the lens shows nothing."""

    def mask(self, width: int, height: int) -> NDArray[np.uint8]:
        """(H, W) 255 within the valid radius, else 0."""
        x, y = np.meshgrid(np.arange(width) + 0.5 - self.params[2], np.arange(height) + 0.5 - self.params[3])
        return np.where(np.hypot(x, y) <= self.valid_radius_px, np.uint8(255), np.uint8(0))


class Recording:
    """An open recording. Raises NotFound, MissingPart, and InputError for what holds no colour frame that can be read."""

    def __init__(self, path: Path) -> None:
        self._name = shown(path.name)
        self._provider, log = _opened(path)
        self._stream = self._provider.get_stream_id_from_label(_COLOUR)
        self.frames = int(self._provider.get_num_data(self._stream)) if self._stream is not None else 0
        if not self.frames:
            raise InputError(f"{self._name} holds no frame of the colour camera", "Record with a profile that has RGB images")
        from projectaria_tools.core.sensor_data import TimeDomain

        self.times_ns = np.array(self._provider.get_timestamps_ns(self._stream, TimeDomain.DEVICE_TIME), np.int64)
        """(N,) of the device's clock, the middle of each exposure."""
        shape = self._provider.get_image_data_by_index(self._stream, 0)[0].to_numpy_array().shape
        self.height, self.width = int(shape[0]), int(shape[1])
        """As stored."""
        self.notes = tuple(self._notes(log))

    def images(self, numbers: Iterable[int] | None = None) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        """Number, time from the first frame [s], and (H, W, 3) RGB as stored; all frames, or those of these numbers."""
        for number in range(self.frames) if numbers is None else numbers:
            pixels = self._provider.get_image_data_by_index(self._stream, int(number))[0].to_numpy_array()
            rgb = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
            yield int(number), float(self.times_ns[number] - self.times_ns[0]) / 1e9, np.ascontiguousarray(rgb)

    def lens(self) -> ColourLens | None:
        """None where the recording has no calibration of the lens model that we know."""
        found = self.calibration()
        if found is None or str(found.get_model_name()).rsplit(".", 1)[-1] != "FISHEYE624":
            return None
        scale = self.width / float(found.get_image_size()[0])
        return upright_lens(np.array(found.get_projection_params(), np.float64), float(found.get_valid_radius()), self.height, scale)

    def cam_from_device(self) -> NDArray[np.float64] | None:
        """(4, 4) of the upright camera."""
        found = self.calibration()
        if found is None:
            return None
        stored_from_device = np.linalg.inv(found.get_transform_device_camera().to_matrix())
        return np.asarray(UPRIGHT_FROM_STORED @ stored_from_device)

    def calibration(self) -> Any:
        """The library's own object, of the stored frame; None where there is none."""
        device = self._provider.get_device_calibration()
        return None if device is None else device.get_camera_calib(_COLOUR)

    def _notes(self, log: str) -> Iterator[str]:
        others = []
        for stream in self._provider.get_all_streams():
            label = self._provider.get_label_from_stream_id(stream) or ""
            count = int(self._provider.get_num_data(stream))
            if label.startswith("camera-") and label != _COLOUR and count:
                others.append(f"{label} ({count} images)")
        if others:
            yield f"only the colour camera is used; not {', '.join(others)}"
        if beyond := _BEYOND.search(log):
            yield f"the recording is cut: {beyond[1]} records are missing; the {self.frames} colour frames before the cut are used"
        elif _TRUNCATED.search(log):
            yield f"the recording is cut; the {self.frames} colour frames before the cut are used"


UPRIGHT_FROM_STORED: NDArray[np.float64] = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
"""Camera axes: x right, y down after the frame is turned clockwise by 90 degrees."""


def upright_lens(params: NDArray[np.float64], valid_radius_px: float, height: int, scale: float = 1.0) -> ColourLens:
    """FISHEYE624 (f, cu, cv, k0..k5, p0, p1, s0..s3) of a stored frame as COLMAP's model of the frame turned clockwise.

    ``height`` is the stored frame's, ``scale`` its size over that of the calibration. A turn x' = -y, y' = x leaves the radial terms
    as they are, and exchanges the tangential and thin-prism ones with a sign.
    """
    f, u, v = scale * params[0], scale * (params[1] + 0.5), scale * (params[2] + 0.5)
    p0, p1, s0, s1, s2, s3 = params[9:15]
    turned = (f, f, height - v, u, *params[3:9], -p1, p0, -s2, -s3, s0, s1)
    return ColourLens(tuple(float(value) for value in turned), scale * valid_radius_px)


def _opened(path: Path) -> tuple[Any, str]:
    """The provider, and what the library said while it opened the file."""
    try:
        from projectaria_tools.core import data_provider
    except ImportError:
        raise MissingPart(
            f"{shown(path.name)} is a recording of Project Aria glasses, and projectaria-tools is not installed",
            "pip install 'recon[aria]', or pip install --no-deps projectaria-tools, which is all that reading takes",
        ) from None
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise NotFound(f"{shown(str(path))} can't be read: {error.strerror}") from None
    with _captured() as log:
        try:
            provider = data_provider.create_vrs_data_provider(str(path))
        except RuntimeError as error:
            raise InputError(f"{shown(path.name)} is cut before its first frame, or damaged: {shown(str(error))}") from None
    if provider is None:
        raise InputError(f"{shown(path.name)} is no VRS recording that can be read")
    return provider, "".join(log)


@contextlib.contextmanager
def _captured() -> Iterator[list[str]]:
    """What native code writes to the process's output meanwhile: the library logs every stream that it opens, and has no switch."""
    text: list[str] = []
    with tempfile.TemporaryFile() as file:
        kept = [os.dup(descriptor) for descriptor in (1, 2)]
        try:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
            yield text
        finally:
            for descriptor, old in zip((1, 2), kept, strict=True):
                os.dup2(old, descriptor)
                os.close(old)
            file.seek(0)
            text.append(file.read().decode("utf-8", "replace"))
