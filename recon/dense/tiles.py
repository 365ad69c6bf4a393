"""Depth of large views by parts, so that the memory follows the part and not the view.

A pair is matched tile by tile of its first view, each with the window of the second that its depths can reach. Every
pixel of the second whose match lies in the tile's core takes its depth from that tile, so the parts make up what the
whole would give but for what smoothness carries further than the margin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recon.dense.rectify import Pose
from recon.dense.stereo import SPECKLE_PX, Candidate, Frame, agree, drop_speckles, pair_depths
from recon.dense.sweep import sweep_depth
from recon.dense.view import DepthMap

TILE_PX = 8_000_000
"""A frame of no more pixels is matched whole."""
SWEEP_PX = 2_000_000
"""... or swept whole: a sweep holds a hundred costs a pixel."""
HELD_PX = 12_000_000
"""So many pixels of a view's candidates are held in memory."""
BAND_PX = 16_000_000
"""Pixels of candidates that are asked at once."""
MARGIN_PX = 64
ASPECT = 3.0
"""Tiles are this much longer along the baseline: what lies along it must be searched in the other view anyway."""

PairDepths = Callable[[Frame, Frame, NDArray[np.float64]], tuple[Candidate, Candidate] | None]


class Rect(NamedTuple):
    """Columns x0..x1 and rows y0..y1 of an image, ends not included."""

    x0: int
    x1: int
    y0: int
    y1: int

    def grown(self, margin: int, width: int, height: int) -> Rect:
        return Rect(max(0, self.x0 - margin), min(width, self.x1 + margin), max(0, self.y0 - margin), min(height, self.y1 + margin))


def crop(frame: Frame, rect: Rect) -> Frame:
    """The part of a frame, as a frame of its own; no pixel is copied."""
    K = frame.pose.K.copy()
    K[:2, 2] -= rect.x0, rect.y0
    pose = replace(frame.pose, K=K, width=rect.x1 - rect.x0, height=rect.y1 - rect.y0)
    return Frame(pose, frame.grey[rect.y0 : rect.y1, rect.x0 : rect.x1], frame.usable[rect.y0 : rect.y1, rect.x0 : rect.x1])


def tiles(width: int, height: int, most_px: int, aspect: float = 1.0) -> Iterator[Rect]:
    """Tiles of about equal size that part an image, of at most ``most_px`` pixels each, ``aspect`` times as wide as high."""
    wide = min(width, max(1, int(np.sqrt(most_px * aspect))))
    high = min(height, max(1, most_px // wide))
    columns = np.linspace(0, width, -(-width // wide) + 1).round().astype(int)
    rows = np.linspace(0, height, -(-height // high) + 1).round().astype(int)
    for y0, y1 in pairwise(rows):
        for x0, x1 in pairwise(columns):
            yield Rect(int(x0), int(x1), int(y0), int(y1))


def pair_depths_in_tiles(
    a: Frame, b: Frame, xyz: NDArray[np.float64], most_px: int = TILE_PX, match: PairDepths = pair_depths
) -> tuple[Candidate, Candidate] | None:
    """What ``match`` gives for the whole pair, by tiles of ``a`` where either frame is larger than ``most_px``."""
    if max(a.pose.width * a.pose.height, b.pose.width * b.pose.height) <= most_px:
        return match(a, b, xyz)
    inverse = _inverse_depths(a.pose, xyz)
    if inverse is None:
        return None
    whole = Rect(0, b.pose.width, 0, b.pose.height)
    in_a, in_b = (np.full((frame.pose.height, frame.pose.width), np.nan, np.float32) for frame in (a, b))
    to_a, shift = _pixel_to_pixel(b.pose, a.pose)
    precisions = []
    for core in tiles(a.pose.width, a.pose.height, most_px, _aspect(a.pose, b.pose)):
        tile = core.grown(MARGIN_PX, a.pose.width, a.pose.height)
        window = reached(a.pose, tile, b.pose, inverse)
        window = window and window.grown(MARGIN_PX, whole.x1, whole.y1)
        if window is None:
            continue
        found = match(crop(a, tile), crop(b, window), xyz)
        if found is None:
            continue
        precisions.append(found[0].focal_baseline)
        in_a[core.y0 : core.y1, core.x0 : core.x1] = found[0].depth[
            core.y0 - tile.y0 : core.y1 - tile.y0, core.x0 - tile.x0 : core.x1 - tile.x0
        ]
        _take(found[1].depth, window.x0, window.y0, to_a, shift, core.x0 - 0.5, core.x1 - 0.5, core.y0 - 0.5, core.y1 - 0.5, in_b)
    if not precisions:
        return None
    return Candidate(in_a, min(precisions)), Candidate(in_b, min(precisions))


def sweep_depth_in_tiles(reference: Frame, sources: Sequence[Frame], xyz: NDArray[np.float64], most_px: int = SWEEP_PX) -> Candidate | None:
    """What ``sweep_depth`` gives, by tiles of the reference and the windows of the sources that they reach."""
    pose = reference.pose
    if pose.width * pose.height <= most_px:
        return sweep_depth(reference, sources, xyz)
    inverse = _inverse_depths(pose, xyz)
    if inverse is None:
        return None
    depth = np.full((pose.height, pose.width), np.nan, np.float32)
    precisions = []
    for core in tiles(pose.width, pose.height, most_px):
        tile = core.grown(MARGIN_PX, pose.width, pose.height)
        windows = [(source, reached(pose, tile, source.pose, inverse)) for source in sources]
        near = [crop(s, rect.grown(MARGIN_PX, s.pose.width, s.pose.height)) for s, rect in windows if rect]
        found = sweep_depth(crop(reference, tile), near, xyz)
        if found is not None:
            precisions.append(found.focal_baseline)
            depth[core.y0 : core.y1, core.x0 : core.x1] = found.depth[
                core.y0 - tile.y0 : core.y1 - tile.y0, core.x0 - tile.x0 : core.x1 - tile.x0
            ]
    return Candidate(depth, min(precisions)) if precisions else None


class Candidates:
    """What the pairs say of one view; beyond ``most_px`` pixels their depth maps wait on disk, in ``folder``, to be asked."""

    def __init__(self, folder: Path, name: str, most_px: int = HELD_PX) -> None:
        self._folder = folder
        self._name = name
        self._room_px = most_px
        self._found: list[Candidate | tuple[Path, float]] = []
        self._pairs: list[int] = []

    def add(self, candidate: Candidate, again: bool = False) -> None:
        """``again``: of the same pair as the one before, at another size."""
        self._pairs.append(self._pairs[-1] + (not again) if self._pairs else 0)
        if candidate.depth.size <= self._room_px:
            self._room_px -= candidate.depth.size
            self._found.append(candidate)
            return
        file = self._folder / f"{self._name}-{len(self._found)}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, candidate.depth)
        self._found.append((file, candidate.focal_baseline))

    @property
    def focal_baseline(self) -> float:
        """Of a usual one of the pairs, in pixels times world units; infinite where there is none."""
        said = [item.focal_baseline if isinstance(item, Candidate) else item[1] for item in self._found]
        return float(np.median(said)) if said else float("inf")

    def agreed(self, pose: Pose) -> DepthMap:
        """The view's depth, by bands of rows; the files are gone afterwards."""
        depth, confidence = (np.zeros((pose.height, pose.width), np.float32) for _ in range(2))
        rows = max(1, BAND_PX // (pose.width * max(1, len(self._found))))
        for start in range(0, pose.height if self._found else 0, rows):
            band = slice(start, start + rows)
            agree(self._rows(band), self._pairs, depth[band], confidence[band])
        for item in self._found:
            if not isinstance(item, Candidate):
                item[0].unlink()
        drop_speckles(depth, SPECKLE_PX)
        confidence[depth == 0] = 0
        K = pose.K.copy()
        K[:2, 2] += 0.5
        return DepthMap(depth, confidence, K)

    def _rows(self, band: slice) -> list[Candidate]:
        return [
            Candidate(item.depth[band], item.focal_baseline)
            if isinstance(item, Candidate)
            else Candidate(np.array(np.load(item[0], mmap_mode="r")[band]), item[1])
            for item in self._found
        ]


def reached(pose: Pose, rect: Rect, other: Pose, inverse: tuple[float, float]) -> Rect | None:
    """The part of the other image where pixels of ``rect`` lie whose inverse depth is within ``inverse``; None where none does."""
    corners = np.array([[x, y, 1.0] for x in (rect.x0 - 0.5, rect.x1 - 0.5) for y in (rect.y0 - 0.5, rect.y1 - 0.5)])
    rotation = other.R @ pose.R.T
    rays = corners @ np.linalg.inv(pose.K).T @ rotation.T
    shift = other.t - rotation @ pose.t
    # the region is the hull of the corners at both ends, as long as all of it lies before the camera
    pixels = np.concatenate([rays + value * shift for value in inverse]) @ other.K.T
    if (pixels[:, 2] <= 1e-9).all():
        return None
    x0, y0, x1, y1 = 0.0, 0.0, float(other.width), float(other.height)
    if (pixels[:, 2] > 1e-9).all():
        plane = pixels[:, :2] / pixels[:, 2:]
        (x0, y0), (x1, y1) = np.floor(plane.min(0)), np.ceil(plane.max(0)) + 1
    x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, float(other.width)), min(y1, float(other.height))
    return Rect(int(x0), int(x1), int(y0), int(y1)) if x1 - x0 >= 1 and y1 - y0 >= 1 else None


def _inverse_depths(pose: Pose, xyz: NDArray[np.float64]) -> tuple[float, float] | None:
    """Least and greatest inverse depth in a view, with more room than the matching itself takes around the sparse points."""
    z = (xyz @ pose.R.T + pose.t)[:, 2]
    z = z[z > 0]
    if len(z) < 3:
        return None
    low, high = np.percentile(1 / z, [1, 99])
    return max(0.0, float(low - 0.5 * (high - low) - 0.1 * high)), float(2 * high + 0.5 * (high - low))


def _aspect(a: Pose, b: Pose) -> float:
    """Width over height of the tiles: long along the baseline where that is nearly a row or a column."""
    x, y = np.abs(a.R[:2] @ (b.center - a.center))
    if x > 2 * y:
        return ASPECT
    return 1 / ASPECT if y > 2 * x else 1.0


def _pixel_to_pixel(source: Pose, target: Pose) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """M, m: depth * M @ (u, v, 1) + m is the homogeneous pixel in the target."""
    R = target.R @ source.R.T
    return target.K @ R @ np.linalg.inv(source.K), target.K @ (target.t - R @ source.t)


@njit(nogil=True, cache=True)
def _take(part, left, top, to_a, shift, x0, x1, y0, y1, whole):  # type: ignore[no-untyped-def]
    """Copies the depths of a part into the whole where their point lies in columns x0..x1 and rows y0..y1 of the first view."""
    for v in range(part.shape[0]):
        for u in range(part.shape[1]):
            z = np.float64(part[v, u])
            if not z > 0:
                continue
            column, row = left + u, top + v
            w = z * (to_a[2, 0] * column + to_a[2, 1] * row + to_a[2, 2]) + shift[2]
            x = z * (to_a[0, 0] * column + to_a[0, 1] * row + to_a[0, 2]) + shift[0]
            y = z * (to_a[1, 0] * column + to_a[1, 1] * row + to_a[1, 2]) + shift[1]
            if w > 0 and x >= x0 * w and x < x1 * w and y >= y0 * w and y < y1 * w:
                whole[row, column] = part[v, u]
