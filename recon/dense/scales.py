"""A view matched at smaller sizes too: what is too smooth to match pixel by pixel still shows its shape from afar."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from recon.dense.stereo import Candidate, Frame


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


def enlarged(candidate: Candidate, frame: Frame) -> Candidate:
    """What a smaller size says, at the frame's pixels; it stays as imprecise as it is: its pixels of disparity are larger."""
    with np.errstate(divide="ignore", invalid="ignore"):
        # inverse depth is linear on planes
        depth = 1 / cv2.resize(1 / candidate.depth, (frame.pose.width, frame.pose.height), interpolation=cv2.INTER_LINEAR)
    depth[~np.isfinite(depth) | ~frame.usable] = np.nan
    return Candidate(np.asarray(depth, np.float32), candidate.focal_baseline)
