"""Which kind of keypoints ``auto`` stands for here, and on which device the networks run."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Mapping
from pathlib import Path

from recon.models.find import located
from recon.models.manifest import weights_of

log = logging.getLogger(__name__)

NEEDED: Mapping[str, tuple[str, str]] = {
    "aliked": ("aliked-n16rot", "aliked-lightglue"),
    "disk": ("disk-depth", "disk-lightglue"),
    "xfeat": ("xfeat", "xfeat-lighterglue"),
}
"""Weights of the extractor and of the matcher of each learned kind."""
_DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))
"""Where Linux shows NVIDIA's, AMD's and (under Windows) any card's driver."""


def is_at_hand(kind: str) -> bool:
    """Whether the libraries and weights of a learned kind are there; they are not loaded."""
    libraries = all(importlib.util.find_spec(name) is not None for name in ("torch", "kornia"))
    return libraries and all(located(weights_of(name)) is not None for name in NEEDED[kind])


def learned_device(device: str = "cpu") -> str:
    """``device`` if it is a GPU, else the one that torch sees, else ``cpu``. Without a driver torch is not even loaded."""
    if device != "cpu" or importlib.util.find_spec("torch") is None:
        return device
    if sys.platform != "darwin" and not any(path.exists() for path in _DRIVERS):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def resolved(kind: str, device: str = "cpu") -> str:
    """What ``features.kind`` means here: ``auto`` is ALIKED where torch sees a GPU and the weights are at hand, else SIFT."""
    if kind != "auto":
        return kind
    return "aliked" if is_at_hand("aliked") and learned_device(device) != "cpu" else "sift"
