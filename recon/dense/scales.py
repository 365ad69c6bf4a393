"""A view matched at smaller sizes too: what is too smooth to match pixel by pixel still shows its shape from afar."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from recon.dense.stereo import Frame
from recon.dense.view import DepthMap

SURE = 0.51
"""Confidence that a smaller size's depth needs: at least two pairs that agree, and most of those that say anything."""
COARSE_TRUST = 0.5
"""Weight of a smaller size's depth beside that of a view which measured the same place finely."""


def halved(frame: Frame) -> Frame:
    """The frame at half its size, rounded up; a pixel is usable where all that it covers are."""
    pose = frame.pose
    width, height = -(-pose.width // 2), -(-pose.height // 2)
    K = pose.K.copy()
    K[:2, 2] += 0.5
    K[0] *= width / pose.width
    K[1] *= height / pose.height
    K[:2, 2] -= 0.5
    grey = cv2.resize(frame.grey, (width, height), interpolation=cv2.INTER_AREA)
    usable = cv2.resize(frame.usable.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA) >= 250
    return Frame(replace(pose, K=K, width=width, height=height), np.asarray(grey, np.uint8), usable)


def completed(fine: DepthMap, coarse: DepthMap, frame: Frame) -> DepthMap:
    """``fine``, with sure depths of ``coarse`` (the same view, smaller) where it has none and the frame is usable."""
    size = (fine.depth.shape[1], fine.depth.shape[0])
    known = np.where(coarse.confidence >= SURE, coarse.depth, np.float32(0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # inverse depth is linear on planes; next to an unknown pixel it becomes infinite, and the depth 0
        depth = 1 / cv2.resize(1 / known, size, interpolation=cv2.INTER_LINEAR)
    depth[~np.isfinite(depth) | ~frame.usable] = 0
    empty = (fine.depth == 0) & (depth > 0)
    trust = cv2.resize(coarse.confidence, size, interpolation=cv2.INTER_NEAREST) * np.float32(COARSE_TRUST)
    return DepthMap(
        np.where(empty, depth, fine.depth).astype(np.float32), np.where(empty, trust, fine.confidence).astype(np.float32), fine.K
    )
