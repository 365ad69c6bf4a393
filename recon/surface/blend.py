"""Local seam levelling: around a seam, faces take colours from all photos that meet there.

At a vertex where charts meet, the colour is the mean of their photos'; at other vertices it is the chart's own. Across a
face colours are blended by barycentric weights, so the texture is continuous over every seam whose both sides both photos
see, and a difference that global levelling left fades over one face, or a few texels of a large one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from recon.surface.charts import Charts
from recon.surface.mesh import TriMesh
from recon.surface.seams import Offsets
from recon.surface.visibility import Candidates

_MAX_LAYERS = 4  # photos that lend a face their colours
_BAND_TEXELS = 16.0


@dataclass(frozen=True)
class Layers:
    """Photos that lend colours to a face of another photo's chart, or share their own; sorted by photo."""

    face: NDArray[np.int64]
    """(L,)"""
    photo: NDArray[np.int32]
    """(L,)"""
    weight: NDArray[np.float32]
    """(L, 3) share of the photo at the face's corners."""
    blended: NDArray[np.bool_]
    """(F,) which faces have layers; their own photo is one of them."""
    reach: NDArray[np.float32]
    """(V,) how much more a vertex that no seam touches weighs, so that a seam reaches a few texels and no more."""

    def of(self, photo: int) -> slice:
        """The rows of a photo."""
        return slice(*(int(n) for n in np.searchsorted(self.photo, [photo, photo + 1])))


def find_layers(
    mesh: TriMesh, label: NDArray[np.int32], candidates: Candidates, rejected: NDArray[np.bool_], offsets: Offsets, charts: Charts
) -> Layers:
    """Which photos share in which faces. Only photos that see a face and were not rejected there."""
    vertex, photo = offsets.nodes // offsets.span, (offsets.nodes % offsets.span - 1).astype(np.int32)
    vertex, photo = vertex[photo >= 0], photo[photo >= 0]
    start = np.searchsorted(vertex, np.arange(len(mesh.vertices) + 1))
    several = np.diff(start) > 1
    touched = np.flatnonzero((label >= 0) & several[mesh.faces].any(axis=1))
    room = len(touched) * _MAX_LAYERS
    face, lender, weight = np.empty(room, np.int64), np.empty(room, np.int32), np.zeros((room, 3), np.float32)
    usable = (candidates.photo >= 0) & ~rejected
    count = _share(touched, mesh.faces, label, start, photo, candidates.photo, usable, face, lender, weight)
    order = np.argsort(lender[:count], kind="stable")
    blended = np.zeros(len(label), bool)
    blended[face[:count]] = True
    return Layers(face[order], lender[order], weight[order], blended, _reach(mesh, charts, several))


def _reach(mesh: TriMesh, charts: Charts, several: NDArray[np.bool_]) -> NDArray[np.float32]:
    edge = np.linalg.norm(charts.corners - np.roll(charts.corners, -1, axis=1), axis=2).mean(axis=1) * charts.scale[charts.of_face]
    total = np.bincount(mesh.faces.ravel(), np.repeat(edge, 3), minlength=len(mesh.vertices))
    mean = total / np.maximum(np.bincount(mesh.faces.ravel(), minlength=len(mesh.vertices)), 1)
    return np.where(several, 1, np.maximum(mean / _BAND_TEXELS, 1)).astype(np.float32)


@numba.njit(cache=True)
def _share(
    touched: NDArray[np.int64],
    faces: NDArray[np.int32],
    label: NDArray[np.int32],
    start: NDArray[np.int64],
    photo: NDArray[np.int32],
    seen_by: NDArray[np.int32],
    usable: NDArray[np.bool_],
    out_face: NDArray[np.int64],
    out_photo: NDArray[np.int32],
    out_weight: NDArray[np.float32],
) -> int:
    count = 0
    lenders = np.empty(_MAX_LAYERS, np.int32)
    has = np.zeros((_MAX_LAYERS, 3), np.bool_)
    for f in touched:
        lenders[0] = label[f]
        has[0, :] = True
        found = 1
        for k in range(3):
            for n in range(start[faces[f, k]], start[faces[f, k] + 1]):
                other = 0
                while other < found and lenders[other] != photo[n]:
                    other += 1
                if other == found:
                    if found == _MAX_LAYERS:
                        continue
                    sees = False
                    for slot in range(seen_by.shape[1]):
                        sees |= seen_by[f, slot] == photo[n] and usable[f, slot]
                    if not sees:
                        continue
                    lenders[found] = photo[n]
                    has[found, :] = False
                    found += 1
                has[other, k] = True
        if found == 1:
            continue
        for m in range(found):
            out_face[count], out_photo[count] = f, lenders[m]
            for k in range(3):
                sharing = 0
                for other in range(found):
                    sharing += has[other, k]
                out_weight[count, k] = has[m, k] / sharing
            count += 1
    return count
