"""Colours of sparse points, from the keypoints that see them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pycolmap

from recon.features.store import Features
from recon.sfm.joining import NO_POINT, point_ids


def colour_points(model: pycolmap.Reconstruction, features: Mapping[str, Features]) -> None:
    """Give each point the mean colour of its observations."""
    ids, colours = [], []
    for name, points in point_ids(model).items():
        seen = points != NO_POINT
        ids.append(points[seen])
        colours.append(features[name].rgb[: len(points)][seen])
    if not ids:
        return
    known, index, counts = np.unique(np.concatenate(ids), return_inverse=True, return_counts=True)
    summed = np.zeros((len(known), 3))
    np.add.at(summed, index, np.concatenate(colours))
    for point_id, rgb in zip(known, np.rint(summed / counts[:, None]).astype(np.uint8), strict=True):
        model.point3D(int(point_id)).color = rgb
