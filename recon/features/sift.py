"""SIFT keypoints (Lowe, IJCV 2004) by OpenCV, with root-normalised descriptors (Arandjelovic and Zisserman, CVPR 2012)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from recon.capture.pixels import read_grey, read_rgb
from recon.features.store import Features

_SCALES_PER_OCTAVE = 3
_EDGE_THRESHOLD = 10.0
_SIGMA = 1.6
_CELLS = 16
"""Cells along the longer side, over which keypoints are spread."""

_PIXELS_A_KEYPOINT = 96
"""Small images are not crowded: more keypoints than this cost time in matching and add no accuracy."""


def extract(
    path: Path, mask_path: Path | None, size: tuple[int, int], max_size_px: int, max_keypoints: int, peak_threshold: float
) -> Features:
    """Keypoints of an image file, detected at ``max_size_px`` and given in pixels of the original ``size`` (width, height).

    ``peak_threshold`` is the least difference of Gaussians, grey values in 0..1. Where the mask is zero there are none.
    """
    rgb = read_rgb(path, max_size_px)
    mask = None if mask_path is None else _mask_like(rgb, read_grey(mask_path))
    height, width = rgb.shape[:2]
    found = detect(rgb, min(max_keypoints, height * width // _PIXELS_A_KEYPOINT), peak_threshold, mask)
    return found.scaled(size[0] / width, size[1] / height)


def detect(image: NDArray[np.uint8], max_keypoints: int, peak_threshold: float, mask: NDArray[np.uint8] | None = None) -> Features:
    """Keypoints of an (H, W) grey or (H, W, 3) RGB image in its own pixels, coarsest first, spread over the image.

    At most ``max_keypoints``; for ``peak_threshold`` and the mask see ``extract``.
    """
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) if image.ndim == 3 else image
    # OpenCV compares the peak times the number of scales with its threshold. Without enable_precise_upscale the doubled
    # image is shifted by a quarter pixel.
    sift = cv2.SIFT_create(0, _SCALES_PER_OCTAVE, _SCALES_PER_OCTAVE * peak_threshold, _EDGE_THRESHOLD, _SIGMA, enable_precise_upscale=True)
    keypoints = sift.detect(grey, mask)
    if not keypoints:
        return Features.none()
    xy = cv2.KeyPoint.convert(keypoints)
    response = np.array([k.response for k in keypoints], dtype=np.float32)
    size = np.array([k.size for k in keypoints], dtype=np.float32)
    angle = np.array([k.angle for k in keypoints], dtype=np.float32)
    chosen = spread(xy, response, (grey.shape[1], grey.shape[0]), max_keypoints)
    # Coarse keypoints first: a prefix of an image's keypoints is what another image most likely sees too.
    chosen = chosen[np.lexsort((angle[chosen], xy[chosen, 0], xy[chosen, 1], -size[chosen]))]
    kept, descriptors = sift.compute(grey, [keypoints[i] for i in chosen])
    if len(kept) != len(chosen):  # OpenCV drops keypoints whose patch leaves the image
        xy, size, angle = cv2.KeyPoint.convert(kept), np.array([k.size for k in kept]), np.array([k.angle for k in kept])
        chosen = np.arange(len(kept))
    table = np.column_stack([xy[chosen] + 0.5, size[chosen] / 2, np.radians(angle[chosen])]).astype(np.float32)
    at = np.clip(table[:, :2].astype(np.int64), 0, (grey.shape[1] - 1, grey.shape[0] - 1))  # the pixel that the keypoint lies in
    colours = image[at[:, 1], at[:, 0]]
    return Features(table, root_normalised(descriptors), colours if image.ndim == 3 else np.repeat(colours[:, None], 3, axis=1))


def spread(xy: NDArray[np.float32], response: NDArray[np.float32], size: tuple[int, int], count: int) -> NDArray[np.int64]:
    """Indices of at most ``count`` keypoints: half the strongest of all, half the strongest of each cell of a grid in turn."""
    if len(xy) <= count:
        return np.arange(len(xy))
    order = np.lexsort((xy[:, 0], xy[:, 1], -response))
    strongest, others = order[: count // 2], order[count // 2 :]
    step = max(size) / _CELLS
    cell = (xy[others, 1] // step).astype(np.int64) * (_CELLS + 1) + (xy[others, 0] // step).astype(np.int64)
    by_cell = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(cell[by_cell]) != 0])
    rank_in_cell = np.empty(len(others), dtype=np.int64)
    rank_in_cell[by_cell] = np.arange(len(others)) - np.repeat(starts, np.diff(np.r_[starts, len(others)]))
    fair = others[np.argsort(rank_in_cell, kind="stable")]
    return np.concatenate([strongest, fair[: count - len(strongest)]])


def root_normalised(descriptors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Square root of the L1-normalised (N, 128) descriptors, times 512 as COLMAP stores them: unit vectors in 8 bits."""
    total = descriptors.sum(axis=1, keepdims=True)
    root = np.sqrt(descriptors / np.maximum(total, 1e-12))
    return np.asarray(np.clip(np.rint(512 * root), 0, 255), np.uint8)


def _mask_like(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
