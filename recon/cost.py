"""What a run will cost in time, memory and disk: a linear model, with its coefficients in one table.

``seconds = start + frames x decode + images x (image + its megapixels x read + depth megapixels x dense) + pairs x match``,
the part after ``start`` divided by the cores. Good to a factor of two; what matters is that it is known beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence

from recon.capture.records import Record
from recon.config import Config
from recon.system import core_count

START_S = 40.0
"""Mesh, texture, products and report of a small scene: one core."""
FACE_S = 60e-6
DECODE_S = 0.012
IMAGE_S = 1.5
READ_S = 0.06
DETECT_S = 0.9
"""A megapixel at which keypoints are detected."""
MATCH_S = 0.2
DENSE_S = 1.2
"""A megapixel of a depth map and neighbour."""
BASE_MB = 1600.0
MPX_MB = 12.0
"""A megapixel of the largest image: it is held decoded a few times."""
IMAGE_MB = 1.5
FACE_MB = 2e-3
DISK_IMAGE_MB = 1.5
DISK_MPX_MB = 6.0
"""A megapixel of undistorted image and depth map."""


class Cost(Record):
    """Of one preset, on this machine's cores."""

    preset: str
    minutes: float
    memory_mb: int
    disk_mb: int


def estimate(preset: str, config: Config, images: int, sizes_mpx: Sequence[float], frames: int, copied_bytes: int) -> Cost:
    """Of ``images`` used out of images of these sizes, and frames of video that are decoded to find them."""
    largest, mean = max(sizes_mpx, default=0.0), sum(sizes_mpx) / max(1, len(sizes_mpx))
    pairs = images * (images - 1) / 2 if images <= config.pairs.exhaustive_up_to else images * config.pairs.neighbours
    depth_mpx = _limited_mpx(mean, config.depth.max_size_px)
    each_s = (
        IMAGE_S
        + READ_S * mean
        + DETECT_S * _limited_mpx(mean, config.features.max_size_px)
        + DENSE_S * depth_mpx * config.depth.pairs_a_view
    )
    parallel_s = DECODE_S * frames + images * each_s + MATCH_S * pairs
    seconds = START_S + FACE_S * config.mesh.faces + parallel_s / core_count()
    memory_mb = BASE_MB + MPX_MB * largest + IMAGE_MB * images + FACE_MB * config.mesh.faces
    disk_mb = copied_bytes / 1e6 + images * (DISK_IMAGE_MB + DISK_MPX_MB * (depth_mpx + _limited_mpx(mean, config.undistort.max_size_px)))
    return Cost(preset=preset, minutes=round(seconds / 60, 1), memory_mb=round(memory_mb), disk_mb=round(disk_mb))


def _limited_mpx(mpx: float, max_size_px: int) -> float:
    """Megapixels of a 4:3 image once its longer side is limited."""
    return min(mpx, max_size_px**2 * 0.75 / 1e6)
