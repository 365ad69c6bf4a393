"""DISK keypoints (Tyszkiewicz et al., NeurIPS 2020) by kornia, with the weights trained on depth."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from kornia.feature import DISK
from kornia.feature.disk.detector import heatmap_to_keypoints

from recon.features.learned import Keypoints
from recon.models.device import half_precision
from recon.models.load import fill, read_weights

_STEP_PX = 16
_WINDOW_PX = 5


class Disk:
    scale_px = 4.0
    width = 128

    def __init__(self, model_dir: Path | None = None) -> None:
        self._network = DISK()
        fill(self._network, read_weights("disk-depth", model_dir), "disk-depth-save.pth")

    def to(self, device: torch.device) -> None:
        self._network.to(device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, rgb: torch.Tensor, usable: torch.Tensor | None, max_keypoints: int) -> Keypoints:
        height, width = rgb.shape[-2:]
        padded = F.pad(rgb, (0, -width % _STEP_PX, 0, -height % _STEP_PX))
        with half_precision(rgb.device):
            scores, maps = self._network.heatmap_and_dense_descriptors(padded)
        scores, maps = scores.float()[..., :height, :width], maps.float()[..., :height, :width]
        if usable is not None:
            scores = torch.where(usable > 0, scores, -1.0)
        (found,) = heatmap_to_keypoints(scores, n=max_keypoints, window_size=_WINDOW_PX, score_threshold=0.0)
        order = torch.argsort(found.detection_logp, descending=True, stable=True)
        described = found.merge_with_descriptors(maps[0])
        return Keypoints(described.keypoints[order], described.descriptors[order])
