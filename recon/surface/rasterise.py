"""Which face each texel of the pages shows, and what fills the texels that show none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from recon.surface.atlas import Atlas
from recon.surface.charts import PADDING, Charts

BARE = -1


@dataclass(frozen=True)
class Texels:
    """Texels of some faces of one page."""

    index: NDArray[np.int64]
    """(T,) row times the page's width plus column."""
    face: NDArray[np.int32]
    """(T,) index of face; in the padding, the nearest."""
    inside: NDArray[np.bool_]
    """(T,) whether the texel's centre lies in the face, not in the padding."""

    def centres(self, width: int) -> NDArray[np.float64]:
        """(T, 2) texels from the page's top left."""
        return np.stack([self.index % width + 0.5, self.index // width + 0.5], axis=1)


@dataclass(frozen=True)
class FaceMap:
    """The face of every texel."""

    pages: list[NDArray[np.int32]]
    """(H, W) index of face; BARE for none; -2 less the face in the padding next to it."""
    corners: NDArray[np.float64]
    """(F, 3, 2) on their pages [texels from the top left]."""
    counts: NDArray[np.int64]
    """(F,) texels of each face, its padding included."""

    @classmethod
    def of(cls, charts: Charts, atlas: Atlas, threads: int = 1) -> FaceMap:
        corners = atlas.corners(charts)
        order = np.argsort(charts.of_face, kind="stable")
        start = np.searchsorted(charts.of_face[order], np.arange(len(charts.photo) + 1))
        pages = [np.full((height, width), BARE, np.int32) for width, height in atlas.sizes]
        counts = np.zeros(len(charts.of_face), np.int64)
        rectangles = np.hstack([atlas.position, charts.size])

        def cover(number: int) -> None:
            for page, owner in enumerate(pages):
                mine = np.flatnonzero(atlas.page == page)[number::threads]
                _cover(mine, rectangles, start, order, corners, PADDING, owner, counts)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(cover, range(threads)))
        return cls(pages, corners, counts)

    def texels(self, page: int, faces: NDArray[np.int64]) -> Texels:
        """All texels of some faces that lie on a page, face by face."""
        room = int(self.counts[faces].sum())
        index, face, inside = np.empty(room, np.int64), np.empty(room, np.int32), np.empty(room, np.bool_)
        _gather(self.pages[page], self.corners, faces.astype(np.int64), index, face, inside)
        return Texels(index, face, inside)


@numba.njit(cache=True, nogil=True)
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


@numba.njit(cache=True, nogil=True)
def bounds(corners: NDArray[np.float64], margin: int, width: int, height: int) -> tuple[int, int, int, int]:
    """First and last column, first and last row of the texels a face may own, margin texels around it included."""
    left, right = min(corners[0, 0], corners[1, 0], corners[2, 0]), max(corners[0, 0], corners[1, 0], corners[2, 0])
    top, bottom = min(corners[0, 1], corners[1, 1], corners[2, 1]), max(corners[0, 1], corners[1, 1], corners[2, 1])
    x0, x1 = max(0, int(np.floor(left - 0.5)) - margin), min(width - 1, int(np.ceil(right - 0.5)) + margin)
    y0, y1 = max(0, int(np.floor(top - 0.5)) - margin), min(height - 1, int(np.ceil(bottom - 0.5)) + margin)
    return x0, x1, y0, y1


@numba.njit(cache=True, nogil=True)
def _cover(
    charts: NDArray[np.int64],
    rectangles: NDArray[np.int64],
    start: NDArray[np.int64],
    order: NDArray[np.int64],
    corners: NDArray[np.float64],
    padding: int,
    page: NDArray[np.int32],
    counts: NDArray[np.int64],
) -> None:
    for chart in charts:
        left, top, w, h = rectangles[chart]
        owner = page[top : top + h, left : left + w]
        for n in range(start[chart], start[chart + 1]):
            f = order[n]
            x0, x1, y0, y1 = bounds(corners[f], 0, page.shape[1], page.shape[0])
            for y in range(max(y0, top), min(y1, top + h - 1) + 1):
                for x in range(max(x0, left), min(x1, left + w - 1) + 1):
                    if owner[y - top, x - left] != BARE:
                        continue
                    a, b, d = barycentric(corners[f], x + 0.5, y + 0.5)
                    if a >= -1e-9 and b >= -1e-9 and d >= -1e-9:
                        owner[y - top, x - left] = f
                        counts[f] += 1
        for _ in range(padding):
            _dilate(owner, counts)


@numba.njit(cache=True, nogil=True)
def _dilate(owner: NDArray[np.int32], counts: NDArray[np.int64]) -> None:
    h, w = owner.shape
    before = owner.copy()
    for y in range(h):
        for x in range(w):
            if before[y, x] != BARE:
                continue
            for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)):
                if 0 <= y + dy < h and 0 <= x + dx < w and before[y + dy, x + dx] != BARE:
                    near = before[y + dy, x + dx]
                    owner[y, x] = near if near < 0 else -2 - near
                    counts[near if near >= 0 else -2 - near] += 1
                    break


@numba.njit(cache=True, nogil=True)
def _gather(
    owner: NDArray[np.int32],
    corners: NDArray[np.float64],
    faces: NDArray[np.int64],
    index: NDArray[np.int64],
    face: NDArray[np.int32],
    inside: NDArray[np.bool_],
) -> None:
    count = 0
    for f in faces:
        x0, x1, y0, y1 = bounds(corners[f], PADDING, owner.shape[1], owner.shape[0])
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                if owner[y, x] == f or owner[y, x] == -2 - f:
                    index[count], face[count], inside[count] = y * owner.shape[1] + x, f, owner[y, x] == f
                    count += 1


def fill_gutters(page: NDArray[np.uint8], painted: NDArray[np.bool_]) -> None:
    """Give each bare texel a smooth mean of the painted ones around it (Gortler et al. 1996, pull and push).

    So no viewer's mip levels bleed in a foreign colour, and the page compresses well.
    """
    if painted.all() or not painted.any():
        return
    half, known = _pulled(page, painted)
    fill_gutters(half, known)
    _push(page, painted, half)


@numba.njit(cache=True, nogil=True)
def _pulled(page: NDArray[np.uint8], painted: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The page at half its size, each texel the mean of the painted ones under it, and where there are any."""
    h, w = page.shape[:2]
    half = np.zeros(((h + 1) // 2, (w + 1) // 2, 3), np.uint8)
    known = np.zeros(half.shape[:2], np.bool_)
    for y in range(half.shape[0]):
        for x in range(half.shape[1]):
            count, red, green, blue = 0, 0, 0, 0
            for v in range(2 * y, min(2 * y + 2, h)):
                for u in range(2 * x, min(2 * x + 2, w)):
                    if painted[v, u]:
                        count += 1
                        red += page[v, u, 0]
                        green += page[v, u, 1]
                        blue += page[v, u, 2]
            if count:
                known[y, x] = True
                half[y, x, 0], half[y, x, 1] = (red + count // 2) // count, (green + count // 2) // count
                half[y, x, 2] = (blue + count // 2) // count
    return half, known


@numba.njit(cache=True, nogil=True)
def _push(page: NDArray[np.uint8], painted: NDArray[np.bool_], half: NDArray[np.uint8]) -> None:
    """Fill the bare texels from the page of half size, bilinearly."""
    h, w = half.shape[:2]
    for y in range(page.shape[0]):
        ya = y // 2
        yb = min(max(ya + (1 if y % 2 else -1), 0), h - 1)
        for x in range(page.shape[1]):
            if painted[y, x]:
                continue
            xa = x // 2
            xb = min(max(xa + (1 if x % 2 else -1), 0), w - 1)
            for c in range(3):
                near = 9 * half[ya, xa, c] + 3 * half[ya, xb, c] + 3 * half[yb, xa, c] + half[yb, xb, c]
                page[y, x, c] = (near + 8) // 16
