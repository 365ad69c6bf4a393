"""XFeat keypoints (Potje et al., CVPR 2024) by kornia: small, quick on a CPU, and whole pixels only."""

from __future__ import annotations

from pathlib import Path

import torch
from kornia.feature import XFeat

from recon.features.learned import Keypoints
from recon.models.device import half_precision
from recon.models.load import fill, read_weights

_STEP_PX = 32
_SPARE = 2
"""With a mask so many times the keypoints are looked for, since those that it hides are dropped afterwards."""


class Xfeat:
    scale_px = 4.0
    width = 64

    def __init__(self, model_dir: Path | None = None) -> None:
        self._network = XFeat()
        fill(self._network.net, read_weights("xfeat", model_dir), "xfeat.pt")
        self._network.eval()

    def to(self, device: torch.device) -> None:
        self._network.to(device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, rgb: torch.Tensor, usable: torch.Tensor | None, max_keypoints: int) -> Keypoints:
        wanted = max_keypoints if usable is None else _SPARE * max_keypoints
        with half_precision(rgb.device):
            (found,) = self._network.detectAndCompute(rgb, top_k=wanted)
        # kornia resizes to multiples of 32 and states keypoint i of that image at i times the ratio: centres move with that
        height, width = rgb.shape[-2:]
        seen = torch.tensor([max(_STEP_PX, n // _STEP_PX * _STEP_PX) for n in (width, height)], device=rgb.device)
        ratio = torch.tensor([width, height], device=rgb.device) / seen
        xy = (found["keypoints"] / ratio + 0.5) * ratio - 0.5
        descriptors = found["descriptors"].float()
        if usable is not None:
            at = xy.round().long()
            clear = usable[0, 0, at[:, 1].clamp(0, height - 1), at[:, 0].clamp(0, width - 1)] > 0
            xy, descriptors = xy[clear][:max_keypoints], descriptors[clear][:max_keypoints]
        return Keypoints(xy, descriptors)
