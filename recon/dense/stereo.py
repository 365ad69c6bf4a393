"""Depth of pinhole views from rectified pairs: candidates a pair, and their agreement in each view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from recon.dense.plain import settle_plain
from recon.dense.rectify import Pose, RectifiedPair, rectify
from recon.dense.sgm import cross_checked, match
from recon.dense.view import View

SIGMA_PX = 1.0
"""Disparity difference of two pairs that still agree; each pair's depth follows its own baseline."""

MAX_SPREAD = 0.01
"""... but never a larger part of the depth."""

SPECKLE_PX = 100

KEPT_PX = 64_000_000
"""Of frames that wait to be asked for again, two bytes each."""


@dataclass(frozen=True)
class Frame:
    """A view's pixels at the size that is matched."""

    pose: Pose
    grey: NDArray[np.uint8]
    usable: NDArray[np.bool_]
    """(h, w) false where masked."""


@dataclass(frozen=True)
class Candidate:
    """What one pair says of a view's depth."""

    depth: NDArray[np.float32]
    """(h, w) along z, NaN where unknown."""
    focal_baseline: float
    """Depth squared over this is the depth that one pixel of disparity makes."""


class Frames:
    """Frames by view index, loaded when first asked for; those that were not asked for longest are let go beyond ``KEPT_PX``."""

    def __init__(self, views: Sequence[View], max_size_px: int) -> None:
        self._views = views
        self._max_size_px = max_size_px
        self._kept: dict[int, Frame] = {}

    def __getitem__(self, view: int) -> Frame:
        frame = self._kept.pop(view, None) or load_frame(self._views[view], self._max_size_px)
        while self._kept and frame.grey.size + sum(kept.grey.size for kept in self._kept.values()) > KEPT_PX:
            del self._kept[next(iter(self._kept))]
        self._kept[view] = frame
        return frame

    def drop(self, view: int) -> None:
        self._kept.pop(view, None)


def load_frame(view: View, max_size_px: int) -> Frame:
    from recon.capture.pixels import read_grey

    width, height, K = view.scaled(max_size_px)
    K = K.copy()
    K[:2, 2] -= 0.5
    grey = cv2.resize(read_grey(view.path), (width, height), interpolation=cv2.INTER_AREA)
    return Frame(Pose(K, view.R, view.t, width, height), np.asarray(grey, np.uint8), usable_pixels(view, (width, height)))


def usable_pixels(view: View, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(h, w) which pixels of the view, resized to (width, height), no mask touches."""
    from recon.capture.pixels import read_grey

    if view.mask_path is None:
        return np.ones(size[::-1], bool)
    return np.asarray(cv2.resize(read_grey(view.mask_path), size, interpolation=cv2.INTER_AREA) >= 250)


def pair_depths(a: Frame, b: Frame, xyz: NDArray[np.float64]) -> tuple[Candidate, Candidate] | None:
    """Depth candidates in both frames; None where the pair can't be rectified. ``xyz`` (N, 3) bound the depths."""
    pair = rectify(a.pose, b.pose, xyz)
    if pair is None:
        return None
    windows = [_warp(frame.grey, pair, side) for side, frame in enumerate((a, b))]
    in_a, in_b = match(windows[0], windows[1], pair.column_disparities)
    seen = [_warp(frame.usable.astype(np.uint8) * np.uint8(255), pair, side) == 255 for side, frame in enumerate((a, b))]
    in_a[~seen[0]], in_b[~seen[1]] = np.nan, np.nan
    settle_plain((windows[0], windows[1]), (seen[0], seen[1]), (in_a, in_b))
    # once more: what leads to a masked pixel, or out of the other image, is no match either
    in_a, in_b = cross_checked(in_a, in_b, -1), cross_checked(in_b, in_a, +1)
    return _depth_in(a, pair, 0, in_a), _depth_in(b, pair, 1, in_b)


def _warp(image: NDArray[np.uint8], pair: RectifiedPair, side: int) -> NDArray[np.uint8]:
    size = (pair.widths[side], pair.height)
    return np.asarray(
        cv2.warpPerspective(image, pair.rect_from_pixel[side], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.uint8
    )


def _depth_in(frame: Frame, pair: RectifiedPair, side: int, disparity: NDArray[np.float32]) -> Candidate:
    """A disparity map read at the frame's own pixels: linear in disparity, which is exact on planes."""
    pose = frame.pose
    size = (pose.width, pose.height)
    in_frame = cv2.warpPerspective(
        disparity, pair.rect_from_pixel[side], size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan,
    )  # fmt: skip
    x, y, z = pair.axis_from_pixel[side]
    axis = (x * np.arange(pose.width)[None] + (y * np.arange(pose.height)[:, None] + z)).astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        depth = np.float32(pair.focal_baseline) / ((in_frame + np.float32(pair.shift)) * axis)
        depth[~(depth > 0) | ~np.isfinite(depth) | ~frame.usable] = np.nan
    return Candidate(depth, pair.focal_baseline)


def agree(candidates: Sequence[Candidate], pairs: Sequence[int], depth: NDArray[np.float32], confidence: NDArray[np.float32]) -> None:
    """Write into (h, w) maps the depth that most pairs agree on, averaged by precision; confidence grows with their number and share.

    ``pairs`` says which pair each candidate is of, ascending: what a pair says at two sizes is one voice.
    """
    stack = np.stack([candidate.depth for candidate in candidates])
    precision = np.array([candidate.focal_baseline for candidate in candidates], np.float32)
    _agree(stack, precision, np.array(pairs, np.int64), np.float32(SIGMA_PX), np.float32(MAX_SPREAD), depth, confidence)


@njit(nogil=True, cache=True)
def _agree(stack, precision, pairs, sigma_px, max_spread, depth, confidence):  # type: ignore[no-untyped-def]
    count, height, width = stack.shape
    for y in range(height):
        for x in range(width):
            best = np.float32(0)
            said, speaker = 0, -1
            for a in range(count):
                z = stack[a, y, x]
                if not z > 0:
                    continue
                if pairs[a] != speaker:
                    speaker = pairs[a]
                    said += 1
                support = np.float32(0)
                supporter = -1
                weights = np.float32(0)
                mean = np.float32(0)
                for b in range(count):
                    other = stack[b, y, x]
                    if not other > 0:
                        continue
                    allowed = min(sigma_px * z * z * (1 / precision[a] + 1 / precision[b]), max_spread * z)
                    if abs(other - z) <= allowed:
                        if pairs[b] != supporter:
                            supporter = pairs[b]
                            support += 1
                        weight = precision[b] * precision[b]
                        weights += weight
                        mean += weight * other
                if support > best:
                    best = support
                    depth[y, x] = mean / weights
            if best > 0:
                confidence[y, x] = best / (best + 1) * best / said


def drop_speckles(depth: NDArray[np.float32], size_px: int) -> None:
    """Zero from now on: small regions cut off from their surroundings by a step of more than 2 % in depth."""
    known = depth > 0
    if not known.any():
        return
    # a step of the logarithm is a relative step; 16 bits hold a range of 1 : 10^28 at a five-hundredth
    log = np.zeros(depth.shape, np.float32)
    log[known] = np.log(depth[known]) - np.log(depth[known].min())
    steps = np.where(known, np.minimum(log * 500 + 1, 32000), 0).astype(np.int16)
    cv2.filterSpeckles(steps, 0, size_px, 10)
    depth[steps == 0] = 0
