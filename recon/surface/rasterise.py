"""Which texels belong to which face, and what to paint on them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from recon.surface.atlas import Atlas
from recon.surface.charts import PADDING, Charts


@dataclass(frozen=True)
class Texels:
    """Texels of some charts of one page."""

    page: int
    index: NDArray[np.int64]
    """(T,) row times the page's width plus column."""
    face: NDArray[np.int32]
    """(T,) index of face; in the padding, the nearest."""
    inside: NDArray[np.bool_]
    """(T,) whether the texel's centre lies in the face, not in the padding."""

    def centres(self, width: int) -> NDArray[np.float64]:
        """(T, 2) texels from the page's top left."""
        return np.stack([self.index % width + 0.5, self.index // width + 0.5], axis=1)


class Rasteriser:
    """Texels of the charts of a photo, page by page."""

    def __init__(self, charts: Charts, atlas: Atlas) -> None:
        self._charts, self._atlas = charts, atlas
        self.corners = atlas.corners(charts)
        self._order = np.argsort(charts.of_face, kind="stable")
        self._start = np.searchsorted(charts.of_face[self._order], np.arange(len(charts.photo) + 1))

    def texels(self, photo: int) -> list[Texels]:
        """All texels whose colours come from a photo (-1: from none), one entry a page."""
        mine = np.flatnonzero(self._charts.photo == photo)
        found = []
        for page in np.unique(self._atlas.page[mine]):
            charts = mine[self._atlas.page[mine] == page]
            rectangles = np.hstack([self._atlas.position[charts], self._charts.size[charts]])
            room = int(rectangles[:, 2:].prod(axis=1).sum())
            width = self._atlas.sizes[page][0]
            index, face, inside = _cover(charts, rectangles, self._start, self._order, self.corners, PADDING, width, room)
            found.append(Texels(int(page), index, face, inside))
        return found

    def add(self, page: NDArray[np.uint8], texels: Texels, values: NDArray[np.float32]) -> None:
        """Add to the texels of a page what (F, 3, 3) values a corner and channel are there, rounded."""
        _add_interpolated(page.reshape(-1, 3), page.shape[1], texels.index, texels.face, self.corners, values)


@numba.njit(cache=True)
def barycentric(corners: NDArray[np.float64], x: float, y: float) -> tuple[float, float, float]:
    """Weights of a triangle's (3, 2) corners at a point; the centroid's for a triangle without area."""
    ax, ay = corners[1, 0] - corners[0, 0], corners[1, 1] - corners[0, 1]
    bx, by = corners[2, 0] - corners[0, 0], corners[2, 1] - corners[0, 1]
    px, py = x - corners[0, 0], y - corners[0, 1]
    twice = ax * by - ay * bx
    if abs(twice) < 1e-9:
        return 1 / 3, 1 / 3, 1 / 3
    second, third = (px * by - py * bx) / twice, (ax * py - ay * px) / twice
    return 1 - second - third, second, third


@numba.njit(cache=True)
def _cover(
    charts: NDArray[np.int64],
    rectangles: NDArray[np.int64],
    start: NDArray[np.int64],
    order: NDArray[np.int64],
    corners: NDArray[np.float64],
    padding: int,
    page_width: int,
    room: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.bool_]]:
    index, face = np.empty(room, np.int64), np.empty(room, np.int32)
    inside = np.empty(room, np.bool_)
    count = 0
    for c in range(len(charts)):
        left, top, w, h = rectangles[c]
        owner = np.full((h, w), -1, np.int32)
        for n in range(start[charts[c]], start[charts[c] + 1]):
            f = order[n]
            x0 = max(0, int(np.floor(corners[f, :, 0].min() - left - 0.5)))
            x1 = min(w - 1, int(np.ceil(corners[f, :, 0].max() - left - 0.5)))
            y0 = max(0, int(np.floor(corners[f, :, 1].min() - top - 0.5)))
            y1 = min(h - 1, int(np.ceil(corners[f, :, 1].max() - top - 0.5)))
            for y in range(y0, y1 + 1):
                for x in range(x0, x1 + 1):
                    a, b, d = barycentric(corners[f], left + x + 0.5, top + y + 0.5)
                    if owner[y, x] < 0 and a >= -1e-9 and b >= -1e-9 and d >= -1e-9:
                        owner[y, x] = f
        bare = owner < 0
        for _ in range(padding):
            owner = _dilated(owner)
        for y in range(h):
            for x in range(w):
                if owner[y, x] >= 0:
                    index[count], face[count], inside[count] = (top + y) * page_width + left + x, owner[y, x], not bare[y, x]
                    count += 1
    return index[:count], face[:count], inside[:count]


@numba.njit(cache=True)
def _dilated(owner: NDArray[np.int32]) -> NDArray[np.int32]:
    h, w = owner.shape
    grown = owner.copy()
    for y in range(h):
        for x in range(w):
            if owner[y, x] >= 0:
                continue
            for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)):
                if 0 <= y + dy < h and 0 <= x + dx < w and owner[y + dy, x + dx] >= 0:
                    grown[y, x] = owner[y + dy, x + dx]
                    break
    return grown


@numba.njit(cache=True)
def _add_interpolated(
    page: NDArray[np.uint8],
    width: int,
    index: NDArray[np.int64],
    face: NDArray[np.int32],
    corners: NDArray[np.float64],
    values: NDArray[np.float32],
) -> None:
    for n in range(len(index)):
        f = face[n]
        a, b, d = barycentric(corners[f], index[n] % width + 0.5, index[n] // width + 0.5)
        # the padding lies outside its face, and an extrapolated colour could be anything
        a, b, d = max(a, 0.0), max(b, 0.0), max(d, 0.0)
        total = a + b + d
        for c in range(3):
            value = page[index[n], c] + (a * values[f, 0, c] + b * values[f, 1, c] + d * values[f, 2, c]) / total
            page[index[n], c] = np.uint8(min(max(value + 0.5, 0.0), 255.0))


def fill_gutters(page: NDArray[np.uint8], painted: NDArray[np.bool_]) -> None:
    """Give each bare texel the colour of the nearest painted one, so that no viewer's mip levels bleed in another."""
    if painted.all() or not painted.any():
        return
    _, nearest = cv2.distanceTransformWithLabels((~painted).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colour = np.zeros((int(nearest.max()) + 1, 3), np.uint8)
    colour[nearest[painted]] = page[painted]
    bare = ~painted
    page[bare] = colour[nearest[bare]]
