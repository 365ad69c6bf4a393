"""What the learned extractors share: images made ready for a network, and its keypoints turned into ``Features``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from recon.capture.pixels import read_grey, read_rgb
from recon.features.store import Features

LEAST_PX = 64
"""Smaller images are continued to this side by their last row and column: the networks halve an image five times."""


@dataclass(frozen=True)
class Keypoints:
    """What a network finds in an image, the strongest first."""

    xy: torch.Tensor
    """(N, 2) float32, pixels of the image it saw, the first pixel's centre at (0, 0)."""
    descriptors: torch.Tensor
    """(N, D), of unit length."""


class Extractor(Protocol):
    """A network that finds and describes keypoints."""

    scale_px: float
    """Radius of what a descriptor sees."""
    width: int
    """Numbers in a descriptor."""

    def to(self, device: torch.device) -> None: ...

    def __call__(self, rgb: torch.Tensor, usable: torch.Tensor | None, max_keypoints: int) -> Keypoints:
        """Of an image (1, 3, H, W) in 0..1; ``usable`` (1, 1, H, W) is zero where there must be none."""
        ...


@dataclass(frozen=True)
class Picture:
    """A decoded image as a network sees it."""

    rgb: NDArray[np.uint8]
    """(H, W, 3), after ``turn``."""
    usable: NDArray[np.uint8] | None
    """(H, W), zero where there must be no keypoints."""
    size: tuple[int, int]
    """Width and height of the original."""
    turn: int
    """Quarter turns, counterclockwise, by which ``rgb`` was turned."""


def read_picture(path: Path, mask_path: Path | None, size: tuple[int, int], max_size_px: int, turn: int = 0) -> Picture:
    """An image file shrunk to ``max_size_px`` and turned; raises what ``read_rgb`` raises."""
    rgb = read_rgb(path, max_size_px)
    usable = None
    if mask_path is not None:
        usable = np.asarray(cv2.resize(read_grey(mask_path), rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
        usable = np.ascontiguousarray(np.rot90(usable, turn))
    return Picture(np.ascontiguousarray(np.rot90(rgb, turn)), usable, size, turn % 4)


def extract(extractor: Extractor, picture: Picture, max_keypoints: int, device: torch.device) -> Features:
    """Features of a picture, in pixels of the original and in its own direction."""
    height, width = picture.rgb.shape[:2]
    rgb = _tensor(picture.rgb.transpose(2, 0, 1), device) / 255
    # beyond the image there must be no keypoints either
    small = min(height, width) < LEAST_PX
    usable = None if picture.usable is None and not small else _usable(picture, device)
    right, below = max(0, LEAST_PX - width), max(0, LEAST_PX - height)
    if small:
        rgb = F.pad(rgb, (0, right, 0, below), mode="replicate")
        usable = F.pad(usable, (0, right, 0, below)) if usable is not None else None
    found = extractor(rgb.contiguous(memory_format=torch.channels_last), usable, max_keypoints)
    xy = found.xy.float().cpu().numpy()
    inside = (xy >= -0.5).all(1) & (xy[:, 0] < width - 0.5) & (xy[:, 1] < height - 0.5)
    xy, descriptors = xy[inside], found.descriptors.float().cpu().numpy().astype(np.float16)[inside]
    at = np.rint(xy).astype(np.int64)
    colours = picture.rgb[at[:, 1], at[:, 0]]
    return Features(_keypoints(xy, picture, extractor.scale_px), descriptors, colours)


def _keypoints(xy: NDArray[np.float32], picture: Picture, scale_px: float) -> NDArray[np.float32]:
    """(N, 4) in pixels of the original, turned back; all look along the x of what the network saw."""
    height, width = picture.rgb.shape[:2]
    back = turned_back(xy + 0.5, (width, height), picture.turn)
    shown = (width, height) if picture.turn % 2 == 0 else (height, width)
    factors = np.array([picture.size[0] / shown[0], picture.size[1] / shown[1]])
    angle = np.full(len(xy), np.pi / 2 * picture.turn)
    return np.column_stack([back * factors, np.full(len(xy), scale_px * factors.prod() ** 0.5), angle]).astype(np.float32)


def turned_back(xy: NDArray[Any], size: tuple[int, int], turn: int) -> NDArray[np.float64]:
    """(N, 2) points of an image of this size (width, height) in the one that it was made of by quarter turns counterclockwise."""
    x, y = xy[:, 0].astype(np.float64), xy[:, 1].astype(np.float64)
    width, height = size
    places = {0: (x, y), 1: (height - y, x), 2: (width - x, height - y), 3: (y, width - x)}
    return np.column_stack(places[turn % 4])


def as_seen(features: Features, size: tuple[int, int]) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """(N, 2) keypoints of an image of this size, and the size, after the quarter turns in which the network saw it."""
    xy, (width, height) = features.keypoints[:, :2].astype(np.float64), size
    turn = round(float(features.keypoints[0, 3]) / (np.pi / 2)) % 4 if len(features) else 0
    seen = size if turn % 2 == 0 else (height, width)
    return turned_back(xy, size, -turn % 4), seen


def tensors_of(features: Sequence[Features], sizes: Sequence[tuple[int, int]], device: torch.device) -> dict[str, torch.Tensor]:
    """Images of equally many keypoints as one batch: ``keypoints`` (B, N, 2), ``descriptors`` (B, N, D), ``image_size`` (B, 2)."""
    seen = [as_seen(row, size) for row, size in zip(features, sizes, strict=True)]
    keypoints = np.stack([xy - 0.5 for xy, _ in seen]).astype(np.float32)
    descriptors = np.stack([row.descriptors for row in features])
    return {
        "keypoints": torch.from_numpy(keypoints).to(device),
        "descriptors": torch.from_numpy(descriptors).to(device).float(),
        "image_size": torch.tensor(np.asarray([size for _, size in seen], np.float32), device=device),
    }


def _usable(picture: Picture, device: torch.device) -> torch.Tensor:
    mask = np.ones(picture.rgb.shape[:2], np.uint8) if picture.usable is None else picture.usable
    return _tensor((mask > 0)[None].astype(np.uint8), device)


def _tensor(array: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """(1, C, H, W) float32."""
    return torch.from_numpy(np.ascontiguousarray(array))[None].to(device, non_blocking=True).float()
