"""Depth of one view by a plane sweep over several others: for motion along the view, where pairs can't be rectified.

Planes parallel to the image, evenly spaced in inverse depth (Collins, "A space-sweep approach to true multi-image
matching", CVPR 1996), matched by normalised correlation, and made smooth along scan lines (Hirschmueller,
"Stereo processing by semiglobal matching and mutual information", PAMI 2008, section 2.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from recon.dense.rectify import Pose
from recon.dense.stereo import Candidate, Frame

WINDOW_PX = 7
MAX_PLANES = 96
STEP_PX = 1.0
"""Planes are so close that a pixel moves no further than this from one to the next in the view that sees it move most."""
MAX_COST = 0.6
"""1 - correlation above which a pixel is not taken as matched."""
UNIQUE = 0.9
"""The best plane's cost must be below this share of that of any plane that is not its neighbour."""
LEAST_DEVIATION = 2.0
"""Grey levels; less texture than this tells nothing."""
SMALL_STEP, LARGE_STEP = 10, 60
"""Penalties of a change of plane by one and by more, of costs that run to 255."""
_PLANES_AT_ONCE = 16


def sweep_depth(reference: Frame, sources: Sequence[Frame], xyz: NDArray[np.float64]) -> Candidate | None:
    """Depth of the reference where the sources agree with it; None where no point says how deep to look.

    ``xyz`` (N, 3) in world are points that the reference sees; they bound the depths.
    """
    pose = reference.pose
    z = (xyz @ pose.R.T + pose.t)[:, 2]
    z = z[z > 0]
    if len(z) < 8 or not sources:
        return None
    near, far = np.percentile(z, [1, 99]) * (0.85, 1.3)
    inverse = np.linspace(1 / far, 1 / near, _planes(pose, [source.pose for source in sources], near, far), dtype=np.float64)
    cost = np.empty((pose.height, pose.width, len(inverse)), np.uint8)
    for first in range(0, len(inverse), _PLANES_AT_ONCE):  # several side by side: they lie next to each other in the volume
        planes = [_plane_cost(pose, reference.grey, sources, float(value)) for value in inverse[first : first + _PLANES_AT_ONCE]]
        cost[:, :, first : first + len(planes)] = np.moveaxis(np.stack(planes), 0, -1)
    plane = np.full(cost.shape[:2], np.nan, np.float32)
    _best_planes(_smoothed(cost), cost, np.float32(MAX_COST * 127.5), np.float32(UNIQUE), plane)
    with np.errstate(invalid="ignore"):
        depth = (1 / (inverse[0] + plane.astype(np.float64) * (inverse[1] - inverse[0]))).astype(np.float32)
    depth[~reference.usable | (_deviation(reference.grey) < LEAST_DEVIATION)] = np.nan
    return Candidate(depth, _focal_baseline(pose, [source.pose for source in sources]))


def _planes(pose: Pose, others: Sequence[Pose], near: float, far: float) -> int:
    """Number of planes for steps of STEP_PX at the image's corners and middle, whichever moves most."""
    x, y = np.meshgrid([0, pose.width / 2, pose.width], [0, pose.height / 2, pose.height])
    rays = np.stack([x.ravel(), y.ravel(), np.ones(9)], 1) @ np.linalg.inv(pose.K).T
    longest = 0.0
    for other in others:
        ends = [_project(other, (rays * z - pose.t) @ pose.R) for z in (near, far)]
        motion = np.linalg.norm(ends[0] - ends[1], axis=1)
        longest = max(longest, float(np.nanmax(np.append(motion, 0.0))))
    return int(np.clip(longest / STEP_PX, 16, MAX_PLANES))


def _project(pose: Pose, xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    in_camera = xyz @ pose.R.T + pose.t
    in_camera[in_camera[:, 2] <= 1e-9] = np.nan
    pixels = in_camera @ pose.K.T
    return np.asarray(pixels[:, :2] / pixels[:, 2:])


def _plane_cost(pose: Pose, grey: NDArray[np.uint8], sources: Sequence[Frame], inverse_depth: float) -> NDArray[np.uint8]:
    """(h, w) mean of the better half of the sources' costs, 127.5 a unit of 1 - correlation; 255 where none sees it."""
    size = (pose.width, pose.height)
    costs = np.empty((len(sources), pose.height, pose.width), np.float32)
    for number, source in enumerate(sources):
        # the plane n.x = d with n the view axis: H = K' (R + t n^T / d) K^-1
        rotation = source.pose.R @ pose.R.T
        shift = source.pose.t - rotation @ pose.t
        homography = source.pose.K @ (rotation + np.outer(shift, [0, 0, inverse_depth])) @ np.linalg.inv(pose.K)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        b = cv2.warpPerspective(source.grey, homography, size, flags=flags)
        seen = cv2.warpPerspective(source.usable.astype(np.uint8), homography, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
        _correlate(_bordered(grey), _bordered(np.asarray(b, np.uint8)), np.asarray(seen, np.uint8), costs[number])
    cost = np.empty(costs.shape[1:], np.uint8)
    _better_half(costs, cost)
    return cost


def _bordered(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image with half a window more on every side, mirrored."""
    margin = WINDOW_PX // 2
    return np.asarray(cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REFLECT_101), np.uint8)


@njit(nogil=True, cache=True)
def _correlate(a, b, seen, cost):  # type: ignore[no-untyped-def]
    """1 - normalised correlation of the windows around each pixel of two bordered images; 2 where the second is not seen."""
    rows, columns = cost.shape
    sums = np.zeros((5, columns + WINDOW_PX - 1), np.int32)  # over a window's rows, of a, b, aa, bb, ab
    for y in range(rows + WINDOW_PX - 1):
        last = y - WINDOW_PX
        for x in range(sums.shape[1]):
            p, q = np.int32(a[y, x]), np.int32(b[y, x])
            u, v = np.int32(0), np.int32(0)
            if last >= 0:
                u, v = np.int32(a[last, x]), np.int32(b[last, x])
            sums[0, x] += p - u
            sums[1, x] += q - v
            sums[2, x] += p * p - u * u
            sums[3, x] += q * q - v * v
            sums[4, x] += p * q - u * v
        row = y - WINDOW_PX + 1
        if row >= 0:
            _correlate_row(sums, seen[row], cost[row])


@njit(nogil=True, cache=True, error_model="numpy")
def _correlate_row(sums, seen, cost):  # type: ignore[no-untyped-def]
    """One row of costs from the sums over its windows' rows."""
    share = np.float32(1 / WINDOW_PX**2)
    for x in range(len(cost)):
        total_a, total_b, total_aa, total_bb, total_ab = np.int32(0), np.int32(0), np.int32(0), np.int32(0), np.int32(0)
        for k in range(WINDOW_PX):
            total_a += sums[0, x + k]
            total_b += sums[1, x + k]
            total_aa += sums[2, x + k]
            total_bb += sums[3, x + k]
            total_ab += sums[4, x + k]
        mean_a, mean_b = np.float32(total_a) * share, np.float32(total_b) * share
        variance_a = np.float32(total_aa) * share - mean_a * mean_a
        variance_b = np.float32(total_bb) * share - mean_b * mean_b
        covariance = np.float32(total_ab) * share - mean_a * mean_b
        correlation = covariance / np.sqrt(max(variance_a * variance_b, np.float32(1)))
        cost[x] = np.float32(1) - min(max(correlation, np.float32(-1)), np.float32(1)) if seen[x] else np.float32(2)


@njit(nogil=True, cache=True)
def _better_half(costs, cost):  # type: ignore[no-untyped-def]
    """The mean of the lower half of (S, h, w) costs at each pixel, 127.5 a unit."""
    count, rows, columns = costs.shape
    half = (count + 1) // 2
    lowest, rest = np.empty((half, columns), np.float32), np.empty(columns, np.float32)
    for y in range(rows):
        lowest[:] = np.float32(np.inf)
        for n in range(count):  # each source's costs sink to their place, a row at once
            rest[:] = costs[n, y]
            for k in range(half):
                for x in range(columns):
                    lower = min(rest[x], lowest[k, x])
                    rest[x] = max(rest[x], lowest[k, x])
                    lowest[k, x] = lower
        for x in range(columns):
            total = np.float32(0)
            for k in range(half):
                total += lowest[k, x]
            cost[y, x] = np.uint8(min(total / np.float32(half) * np.float32(127.5), np.float32(255)))


def _deviation(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(h, w) standard deviation in each pixel's window, grey levels."""
    image = grey.astype(np.float32)
    mean = cv2.blur(image, (WINDOW_PX, WINDOW_PX))
    variance = cv2.blur(image * image, (WINDOW_PX, WINDOW_PX)) - mean * mean
    return np.asarray(np.sqrt(np.maximum(variance, 0)))


def _smoothed(cost: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Sum of the costs aggregated along four scan directions."""
    total = np.zeros(cost.shape, np.uint16)
    for transpose in (False, True):
        for backwards in (False, True):
            given, added = (cost.transpose(1, 0, 2), total.transpose(1, 0, 2)) if transpose else (cost, total)
            if backwards:
                given, added = given[:, ::-1], added[:, ::-1]
            _aggregate(given, added, np.int32(SMALL_STEP), np.int32(LARGE_STEP))
    return total


@njit(nogil=True, cache=True)
def _aggregate(cost, total, small, large):  # type: ignore[no-untyped-def]
    """Adds to total the cost along each row from left to right: equation 13 of Hirschmueller."""
    rows, columns, planes = cost.shape
    before = np.empty(planes, np.int32)
    now = np.empty(planes, np.int32)
    for y in range(rows):
        lowest = np.int32(0)
        for d in range(planes):
            before[d] = 0
        for x in range(columns):
            least = np.int32(1 << 30)
            for d in range(planes):
                best = min(before[d], lowest + large)
                if d > 0:
                    best = min(best, before[d - 1] + small)
                if d + 1 < planes:
                    best = min(best, before[d + 1] + small)
                value = np.int32(cost[y, x, d]) + best - lowest
                now[d] = value
                least = min(least, value)
                total[y, x, d] += value
            lowest = least
            for d in range(planes):
                before[d] = now[d]


@njit(nogil=True, cache=True)
def _best_planes(total, cost, max_cost, unique, plane):  # type: ignore[no-untyped-def]
    """Sub-plane position of the least total (parabola), NaN where it is poor, at an end, or not unique."""
    rows, columns, planes = total.shape
    for y in range(rows):
        for x in range(columns):
            best = 0
            for d in range(1, planes):
                if total[y, x, d] < total[y, x, best]:
                    best = d
            if best == 0 or best == planes - 1 or cost[y, x, best] > max_cost:
                continue
            rival = np.float32(1e9)
            for d in range(planes):
                if abs(d - best) > 2:
                    rival = min(rival, np.float32(total[y, x, d]))
            middle = np.float32(total[y, x, best])
            if middle > unique * rival:
                continue
            left = np.float32(total[y, x, best - 1])
            right = np.float32(total[y, x, best + 1])
            bend = left - 2 * middle + right
            plane[y, x] = best + (np.float32(0.5) * (left - right) / bend if bend > 0 else np.float32(0))


def _focal_baseline(pose: Pose, others: Sequence[Pose]) -> float:
    """Focal length times the baseline across the line of sight, the median of the sources, at the image's outer parts."""
    radius = 0.35 * np.hypot(pose.width, pose.height) / pose.K[0, 0]  # forward motion shows depth away from the middle
    center = -pose.R.T @ pose.t
    found = []
    for other in others:
        baseline = pose.R @ (-other.R.T @ other.t - center)
        found.append(float(np.hypot(*baseline[:2]) + abs(baseline[2]) * radius))
    return float(pose.K[0, 0] * np.median(found))
