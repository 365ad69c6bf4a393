"""LightGlue (Lindenberger et al., ICCV 2023) by kornia, for each kind of learned keypoints; LighterGlue is its small form for XFeat."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from kornia.feature import LightGlue

from recon.models.device import half_precision
from recon.models.load import fill, read_weights

_SHAPES: Mapping[str, Mapping[str, Any]] = {
    "aliked": {"input_dim": 128},
    "disk": {"input_dim": 128},
    "xfeat": {
        "input_dim": 64, "descriptor_dim": 96, "n_layers": 6, "num_heads": 1, "depth_confidence": -1, "width_confidence": 0.95,
    },
}  # fmt: skip
_WEIGHTS = {"aliked": "aliked-lightglue", "disk": "disk-lightglue", "xfeat": "xfeat-lighterglue"}
_OLD_NAME = re.compile(r"^(self_attn|cross_attn)\.(\d+)\.")


class Glue:
    """Matches two sets of keypoints with their descriptors, in batches of pairs."""

    def __init__(self, kind: str, model_dir: Path | None = None) -> None:
        self.network = LightGlue(features=None, **_SHAPES[kind])
        fill(self.network, renamed(read_weights(_WEIGHTS[kind], model_dir)), _WEIGHTS[kind])
        self._stops = (self.network.conf.depth_confidence, self.network.conf.width_confidence)

    def to(self, device: torch.device) -> None:
        """On the CPU a pair stops early and drops points that match nothing; elsewhere the pairs of a batch all go to the end."""
        self.network.to(device)
        conf = self.network.conf
        conf.depth_confidence, conf.width_confidence = self._stops if device.type == "cpu" else (-1, -1)

    @torch.inference_mode()
    def __call__(self, image0: Mapping[str, torch.Tensor], image1: Mapping[str, torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(M, 2) indices and (M,) scores of each pair of a batch; what each image is: see ``recon.features.learned.tensors_of``."""
        with half_precision(image0["keypoints"].device):
            found = self.network({"image0": dict(image0), "image1": dict(image1)})
        return list(zip(found["matches"], found["scores"], strict=True))


def renamed(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published files' names of tensors as kornia's network has them, without what belongs to the extractor."""
    found = {}
    for name, value in tensors.items():
        name = _OLD_NAME.sub(r"transformers.\2.\1.", name.removeprefix("matcher."))
        if not name.startswith("extractor.") and not (name.startswith("log_assignment.") and name.endswith(".r")):
            found[name] = value
    return found
