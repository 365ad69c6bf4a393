"""Which views see the same surface, and from which the depth of one is best measured: from the sparse points alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy import sparse

from recon.dense.view import View

BEST_ANGLE_DEG = 10.0
"""Triangulation angle at which a pair is worth most: wider is more precise, narrower looks more alike."""

MIN_SHARED_POINTS = 8
MAX_CANDIDATES = 30
MIN_GAIN = 0.02
"""A further pair must still serve this share of a view's points."""
SERVED = 0.6
"""How much of a point's need the best possible pair meets."""
MAX_TILT_DEG = 60.0
"""A pair whose views look further than this out of the plane normal to their baseline can't be rectified well."""


@dataclass(frozen=True)
class SparsePoints:
    """The sparse model's points, and which view sees which."""

    xyz: NDArray[np.float64]
    """(P, 3) world."""
    seen: tuple[NDArray[np.int64], ...]
    """For each view the sorted indices of its points."""

    @classmethod
    def read(cls, model: pycolmap.Reconstruction, views: Sequence[View], only: Collection[int] | None = None) -> SparsePoints:
        """From the model that the views come from. With ``only`` the views of these indices see points, the others none."""
        ids = np.array(sorted(model.points3D), np.int64)
        xyz = np.array([model.points3D[int(i)].xyz for i in ids]).reshape(-1, 3)
        image_of = {image.name: image for image in model.images.values()}
        seen = []
        for index, view in enumerate(views):
            wanted = only is None or index in only
            observed = [point.point3D_id for point in image_of[view.image].get_observation_points2D()] if wanted else []
            index_of = np.unique(np.searchsorted(ids, np.array(observed, np.int64)))
            seen.append(index_of if view.part_of is None else index_of[_inside(view, xyz[index_of])])
        return cls(xyz, tuple(seen))

    @cached_property
    def covisible(self) -> list[NDArray[np.int64]]:
        """For each view the others that share at least MIN_SHARED_POINTS, most first, at most MAX_CANDIDATES."""
        rows = np.concatenate([np.full(len(points), i) for i, points in enumerate(self.seen)] or [np.empty(0, np.int64)])
        columns = np.concatenate([*self.seen, np.empty(0, np.int64)])
        shape = (len(self.seen), len(self.xyz))
        sees = sparse.csr_array((np.ones(len(rows), np.int32), (rows, columns)), shape)
        shared = (sees @ sees.T).tocsr()
        result = []
        for i in range(len(self.seen)):
            others, counts = shared[[i]].indices, shared[[i]].data
            keep = (counts >= MIN_SHARED_POINTS) & (others != i)
            others, counts = others[keep], counts[keep]
            result.append(others[np.lexsort((others, -counts))][:MAX_CANDIDATES].astype(np.int64))
        return result


def _inside(view: View, xyz: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which world points (N, 3) lie within the view: of a panorama a view shows a part."""
    in_cam = xyz @ view.R.T + view.t
    at = (in_cam @ view.K.T)[:, :2] / np.where(in_cam[:, 2:] > 0, in_cam[:, 2:], np.nan)
    return np.asarray((at >= 0).all(1) & (at <= (view.width, view.height)).all(1))


def stereo_neighbours(views: Sequence[View], points: SparsePoints, count: int, angles_deg: tuple[float, float]) -> list[list[int]]:
    """For each view up to ``count`` others to match it with, best first.

    Chosen one by one for the points that those before do not measure well yet, so that together they cover the view.
    """
    chosen = []
    for i, candidates in enumerate(points.covisible):
        ids = points.seen[i]
        worth = np.array([_worth(views[i], views[j], points, ids, points.seen[j], angles_deg) for j in candidates])
        chosen.append([int(candidates[k]) for k in _cover(worth, count)] if len(worth) else [])
    return chosen


def sweep_neighbours(view: int, views: Sequence[View], points: SparsePoints, count: int, angles_deg: tuple[float, float]) -> list[int]:
    """Up to ``count`` views to sweep planes over for a view that has no good pairs: those that see its points move enough."""
    candidates = points.covisible[view]
    ids = points.seen[view]
    worth = [_worth(views[view], views[j], points, ids, points.seen[j], angles_deg, by_tilt=False).sum() for j in candidates]
    best = sorted(range(len(worth)), key=lambda k: (-worth[k], k))
    return [int(candidates[k]) for k in best[:count] if worth[k] > 0]


def _cover(worth: NDArray[np.float64], count: int) -> list[int]:
    """Greedy choice of rows of (candidates, points): a point already served counts for less."""
    missing = np.ones(worth.shape[1])
    chosen: list[int] = []
    for _ in range(min(count, len(worth))):
        gain = worth @ missing
        gain[chosen] = 0.0
        best = int(np.argmax(gain))
        if gain[best] <= MIN_GAIN * worth.shape[1]:
            break
        chosen.append(best)
        missing *= 1.0 - SERVED * worth[best]
    return chosen


def _worth(
    a: View,
    b: View,
    points: SparsePoints,
    in_a: NDArray[np.int64],
    in_b: NDArray[np.int64],
    angles_deg: tuple[float, float],
    by_tilt: bool = True,
) -> NDArray[np.float64]:
    """How well each point of view ``a`` is measured with ``b``, 0..1: by triangulation angle, scale and tilt of the pair."""
    worth = np.zeros(len(in_a))
    shared = np.isin(in_a, in_b, assume_unique=True)
    tilt = tilt_deg(a, b) if by_tilt else 0.0
    if not shared.any() or tilt > MAX_TILT_DEG:
        return worth
    xyz = points.xyz[in_a[shared]]
    ray_a, ray_b = xyz - a.center, xyz - b.center
    range_a, range_b = np.linalg.norm(ray_a, axis=1), np.linalg.norm(ray_b, axis=1)
    cosine = (ray_a * ray_b).sum(1) / np.maximum(range_a * range_b, 1e-300)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    width = np.where(angle < BEST_ANGLE_DEG, 6.0, 12.0)
    by_angle = np.exp(-(((angle - BEST_ANGLE_DEG) / width) ** 2))
    by_angle[(angle < angles_deg[0]) | (angle > angles_deg[1])] = 0.0
    ratio = (a.K[0, 0] / range_a) / np.maximum(b.K[0, 0] / range_b, 1e-300)
    worth[shared] = by_angle * np.minimum(ratio, 1 / np.maximum(ratio, 1e-300)) * np.cos(np.radians(tilt)) ** 2
    return worth


def tilt_deg(a: View, b: View) -> float:
    """The larger angle between a view's axis and the plane normal to the baseline: 0 side by side, 90 straight ahead."""
    baseline = b.center - a.center
    length = float(np.linalg.norm(baseline))
    if length == 0.0:
        return 90.0
    along = max(abs(float(view.R[2] @ baseline)) for view in (a, b)) / length
    return float(np.degrees(np.arcsin(min(1.0, along))))
