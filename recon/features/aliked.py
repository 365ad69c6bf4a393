"""ALIKED keypoints (Zhao et al., IEEE TIM 2023) by kornia: the n16rot weights, which bear images turned by some 60 degrees."""

from __future__ import annotations

from pathlib import Path

import torch
from kornia.feature import ALIKED

from recon.features.learned import Keypoints
from recon.models.device import half_precision
from recon.models.load import fill, read_weights


class Aliked:
    scale_px = 4.0
    width = 128

    def __init__(self, model_dir: Path | None = None) -> None:
        self._network = ALIKED("aliked-n16rot", max_num_keypoints=1, detection_threshold=0.0)  # the strongest, however many
        fill(self._network, read_weights("aliked-n16rot", model_dir), "aliked-n16rot.pth")

    def to(self, device: torch.device) -> None:
        self._network.to(device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, rgb: torch.Tensor, usable: torch.Tensor | None, max_keypoints: int) -> Keypoints:
        with half_precision(rgb.device):
            maps, scores = self._network.extract_dense_map(rgb)
        maps, scores = maps.float(), scores.float()
        if usable is not None:
            scores = scores * usable
        self._network.dkd.top_k = max_keypoints
        (xy,), (strength,), _ = self._network.dkd(scores)
        kept = torch.argsort(strength, descending=True, stable=True)
        kept = kept[strength[kept] > 0]
        (descriptors,), _ = self._network.desc_head(maps, [xy[kept]])
        height, width = rgb.shape[-2:]
        last = torch.tensor([width - 1, height - 1], device=rgb.device)
        return Keypoints((xy[kept] + 1) / 2 * last, descriptors)
