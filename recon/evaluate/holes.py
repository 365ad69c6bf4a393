"""How wide a plane part of a surface lies open in a cloud."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.dense.view import View
from recon.evaluate.clouds import MIN_VIEWS, Surface, thin, views_of
from recon.simulate.trials import Patch


def gsd(xyz: NDArray[np.float64], views: Sequence[View]) -> NDArray[np.float64]:
    """(N,) ground sampling distance at (N, 3) points: of the nearest camera."""
    return np.asarray(np.min([np.linalg.norm(xyz - view.center, axis=1) / view.K[0, 0] for view in views], axis=0))


def hole_width(patch: Patch, xyz: NDArray[np.float64], truth: Surface, views: Sequence[View], model: pycolmap.Reconstruction) -> float:
    """Diameter of the largest disc on a patch that MIN_VIEWS cameras see all of and that holds none of (N, 3) points."""
    corner, u, v = (np.array(vector) for vector in (patch.corner, patch.u, patch.v))
    step = 2 * float(np.median(gsd((corner + (u + v) / 2)[None], views)))
    counts = [int(np.linalg.norm(side) / step) for side in (u, v)]
    a, b = np.meshgrid((np.arange(counts[0]) + 0.5) / counts[0], (np.arange(counts[1]) + 0.5) / counts[1])
    on_patch = corner + a.reshape(-1, 1) * u + b.reshape(-1, 1) * v
    normal = np.cross(u, v) / np.linalg.norm(np.cross(u, v))
    seen = views_of(on_patch, np.tile(normal, (len(on_patch), 1)), truth.vertices, truth.faces, model) >= MIN_VIEWS
    to_point = cKDTree(thin(xyz, step / 8)).query(on_patch)[0]
    seen_cells = cv2.copyMakeBorder(seen.reshape(counts[1], counts[0]).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    to_unseen = cv2.distanceTransform(seen_cells, cv2.DIST_L2, 5)[1:-1, 1:-1].ravel() * step
    return float(2 * np.minimum(to_point, to_unseen).max())
