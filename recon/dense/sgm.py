"""Dense disparities of a rectified pair: OpenCV's semi-global matching, coarse to fine.

The range of disparities is searched at a coarse scale alone. Every finer level warps the other image by what the
coarser one found and searches the few pixels that remain, so that cost and memory follow the number of pixels and not
the range, and slanted surfaces look level to the smoothness term (Rothermel et al.: SURE, 2012; Scharstein et al.:
Semi-global stereo matching with surface orientation priors, 2017). Matching is done both ways and cross-checked.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

COARSE_DISPARITIES = 128
"""The coarsest level is the first whose range of disparities is no wider."""

REACH_PX = 16
"""How far a finer level looks to either side of the coarser one's result."""

BLOCK_PX = 3
MAX_CROSS_ERROR_PX = 1.0
SMALL_STEP, LARGE_STEP = 6, 24
"""Penalties, a pixel of the block, of a disparity that changes by one and by more."""
PREFILTER_CAP = 15
"""Gradients are clipped here, the least that OpenCV allows: robust to exposure and reflections."""
UNIQUENESS_PERCENT = 5
COARSE_SPECKLE_PX = 40
_MIN_SIDE_PX = 16


def match(
    left: NDArray[np.uint8], right: NDArray[np.uint8], disparities: tuple[float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Disparities (left column - right column, px) of (h, wl) and (h, wr) images at each one's pixels; NaN where the ways disagree.

    ``disparities`` are the least and greatest that are searched.
    """
    lo, hi = disparities
    levels = 0
    while (hi - lo) / 2**levels > COARSE_DISPARITIES and min(left.shape + right.shape) / 2 ** (levels + 1) >= _MIN_SIDE_PX:
        levels += 1
    levels = max(levels, 1 if hi - lo > 4 * REACH_PX and min(left.shape + right.shape) >= 2 * _MIN_SIDE_PX else 0)
    sizes = left.shape, right.shape
    # halving must be exact, or the columns of the levels would not lie on each other
    pyramid_left, pyramid_right = _pyramid(left, levels), _pyramid(right, levels)
    of_left = np.full(pyramid_left[-1].shape, (lo + hi) / 2 / 2**levels, np.float32)
    of_right = np.full(pyramid_right[-1].shape, (lo + hi) / 2 / 2**levels, np.float32)
    reach = min(int(np.ceil((hi - lo) / 2 / 2**levels / 8)) * 8 + 8, 1024)
    for level in range(levels, -1, -1):
        if level < levels:
            of_left, of_right = (_doubled(_filled(d)) for d in (of_left, of_right))
            reach = REACH_PX
        of_left, of_right = _both_ways(pyramid_left[level], pyramid_right[level], of_left, of_right, reach)
        if level:
            for d in (of_left, of_right):
                _drop_speckles(d, COARSE_SPECKLE_PX, 1.0)
    return of_left[: sizes[0][0], : sizes[0][1]], of_right[: sizes[1][0], : sizes[1][1]]


def _pyramid(image: NDArray[np.uint8], levels: int) -> list[NDArray[np.uint8]]:
    step = 2**levels
    pyramid = [cv2.copyMakeBorder(image, 0, -image.shape[0] % step, 0, -image.shape[1] % step, cv2.BORDER_REPLICATE)]
    for _ in range(levels):
        pyramid.append(cv2.resize(pyramid[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return pyramid


def _both_ways(
    left: NDArray[np.uint8], right: NDArray[np.uint8], prior_left: NDArray[np.float32], prior_right: NDArray[np.float32], reach: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    of_left = _one_way(left, right, prior_left, reach)
    # seen in a mirror the right image is the left one; columns are counted from the other end, which shifts all disparities
    offset = right.shape[1] - left.shape[1]
    other, reference = np.ascontiguousarray(left[:, ::-1]), np.ascontiguousarray(right[:, ::-1])
    prior = np.ascontiguousarray(prior_right[:, ::-1]) + np.float32(offset)
    of_right = np.ascontiguousarray(_one_way(reference, other, prior, reach)[:, ::-1]) - np.float32(offset)
    return cross_checked(of_left, of_right, -1), cross_checked(of_right, of_left, +1)


def _one_way(reference: NDArray[np.uint8], other: NDArray[np.uint8], prior: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """(h, w) disparities of the reference within ``reach`` of the prior; NaN where none is found or the match lies outside."""
    # semi-global matching leaves out as many columns as it searches: they are given to it
    prior = cv2.copyMakeBorder(prior, 0, 0, reach, reach, cv2.BORDER_REPLICATE)
    padded = cv2.copyMakeBorder(reference, 0, 0, reach, reach, cv2.BORDER_REPLICATE)
    rows = np.repeat(np.arange(prior.shape[0], dtype=np.float32)[:, None], prior.shape[1], 1)
    columns = np.arange(prior.shape[1], dtype=np.float32)[None]
    warped = cv2.remap(other, columns - reach - prior, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    area = BLOCK_PX**2
    matcher = cv2.StereoSGBM_create(
        minDisparity=-reach, numDisparities=2 * reach, blockSize=BLOCK_PX, P1=SMALL_STEP * area, P2=LARGE_STEP * area,
        disp12MaxDiff=-1, preFilterCap=PREFILTER_CAP, uniquenessRatio=UNIQUENESS_PERCENT, speckleWindowSize=0, speckleRange=0,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )  # fmt: skip
    fixed = matcher.compute(padded, warped)
    rest = fixed.astype(np.float32) / 16
    # the warped column x - rest was taken at x - rest - prior(x - rest)
    disparity = rest + cv2.remap(prior, columns - rest, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    at = columns - reach - disparity
    disparity[(fixed < -16 * reach) | (at < -0.5) | (at > other.shape[1] - 0.5)] = np.nan
    return np.asarray(disparity[:, reach:-reach], np.float32)


def cross_checked(disparity: NDArray[np.float32], back: NDArray[np.float32], sign: int) -> NDArray[np.float32]:
    """``disparity`` where ``back``, the other image's, leads back to the same pixel, else NaN; ``sign`` is -1 in the left image."""
    rows = np.repeat(np.arange(disparity.shape[0], dtype=np.float32)[:, None], disparity.shape[1], 1)
    at = np.arange(disparity.shape[1], dtype=np.float32)[None] + sign * disparity
    there = cv2.remap(back, np.nan_to_num(at, nan=-10.0), rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(np.abs(there - disparity) <= MAX_CROSS_ERROR_PX, disparity, np.float32(np.nan)), np.float32)


def _drop_speckles(disparity: NDArray[np.float32], size_px: int, step_px: float) -> None:
    """Unknown from now on: connected regions of fewer pixels."""
    fixed = np.where(np.isnan(disparity), -32000, np.clip(np.nan_to_num(disparity) * 4, -31000, 31000)).astype(np.int16)
    cv2.filterSpeckles(fixed, -32000, size_px, step_px * 4)
    disparity[fixed == -32000] = np.nan


def _filled(disparity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every hole gets the farther of its two neighbours in the row: what is hidden from one view lies behind."""
    known = ~np.isnan(disparity)
    if not known.any():
        return np.zeros_like(disparity)
    column = np.arange(disparity.shape[1])[None]
    before = np.maximum.accumulate(np.where(known, column, -1), 1)
    after = np.minimum.accumulate(np.where(known, column, disparity.shape[1])[:, ::-1], 1)[:, ::-1]
    rows = np.arange(disparity.shape[0])[:, None]
    large = np.float32(np.inf)
    from_left = np.where(before >= 0, disparity[rows, np.maximum(before, 0)], large)
    from_right = np.where(after < disparity.shape[1], disparity[rows, np.minimum(after, disparity.shape[1] - 1)], large)
    filled = np.where(known, disparity, np.minimum(from_left, from_right))
    empty = np.isinf(filled[:, 0])
    if empty.any():
        # rows without any value take those of the nearest row that has some
        with_values = np.flatnonzero(~empty)
        nearest = with_values[np.abs(np.flatnonzero(empty)[:, None] - with_values[None]).argmin(1)]
        filled[empty] = filled[nearest]
    return np.asarray(cv2.medianBlur(filled.astype(np.float32), 5), np.float32)


def _doubled(disparity: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(disparity, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR) * 2, np.float32)
