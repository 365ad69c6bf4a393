"""The similarity (or rigid motion) that best maps one set of points onto another."""

from __future__ import annotations

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.errors import InputError


def fit_similarity(
    source: NDArray[np.float64], target: NDArray[np.float64], scale: bool = True, weights: NDArray[np.float64] | None = None
) -> pycolmap.Sim3d:
    """target_from_source that minimises the sum of squared distances over (N, 3) point pairs, N >= 3.

    Weights (N,), where given, multiply the squared distances. With scale False its scale is 1. Umeyama, "Least-squares estimation
    of transformation parameters between two point patterns", PAMI 1991. Of points on a line, the turn about that line is arbitrary
    (``spread_share`` tells). Raises InputError for fewer than 3 pairs and for points that all lie in one place.
    """
    if len(source) < 3:
        raise InputError(f"{len(source)} point pairs do not fix a similarity", "3 or more are needed")
    weight = np.ones(len(source)) if weights is None else weights / weights.mean()
    mean_source, mean_target = np.average(source, 0, weight), np.average(target, 0, weight)
    from_source, from_target = source - mean_source, target - mean_target
    variance = float((weight[:, None] * from_source**2).sum())
    if variance <= 1e-24 * max(1.0, float((source**2).sum())):
        raise InputError(f"all {len(source)} points lie in one place", "a similarity needs points apart from each other")
    u, strengths, vt = np.linalg.svd((weight[:, None] * from_target).T @ from_source)
    proper = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ (proper[:, None] * vt)
    factor = float(strengths @ proper) / variance if scale else 1.0
    return pycolmap.Sim3d(factor, pycolmap.Rotation3d(rotation), mean_target - factor * rotation @ mean_source)


def spread_share(points: NDArray[np.float64]) -> float:
    """How far (N, 3) points are from a line: their second principal deviation over their first, 0..1."""
    deviations = np.linalg.svd(points - points.mean(0), compute_uv=False)
    return float(deviations[1] / deviations[0]) if deviations[0] > 0 else 0.0
