"""Rectangles on pages."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from recon.surface.charts import Charts

_ROUND_TO = 64  # pages are whole multiples of this
_GROWTH = 1.08


@dataclass(frozen=True)
class Atlas:
    """Where each chart lies."""

    page: NDArray[np.int32]
    """(C,) index of page."""
    position: NDArray[np.int64]
    """(C, 2) x and y of the chart's rectangle on its page, from the top left [texels]."""
    sizes: tuple[tuple[int, int], ...]
    """Width and height of each page."""

    def corners(self, charts: Charts) -> NDArray[np.float64]:
        """(F, 3, 2) corners of faces on their pages [texels from the top left]."""
        shift = self.shift(charts)[charts.of_face]
        return charts.corners * charts.scale[charts.of_face][:, None, None] + shift[:, None]

    def shift(self, charts: Charts) -> NDArray[np.float64]:
        """(C, 2) page texels less scaled photo pixels: whole numbers, so that texels fall on pixels."""
        return self.position - charts.origin

    def uv(self, charts: Charts) -> NDArray[np.float32]:
        """(F, 3, 2) texture coordinates, origin bottom left."""
        size = np.array(self.sizes, dtype=np.float64).reshape(-1, 2)[self.page[charts.of_face]]
        uv = self.corners(charts) / size[:, None]
        uv[..., 1] = 1 - uv[..., 1]
        return uv.astype(np.float32)


def pack(size: NDArray[np.int64], page_px: int) -> Atlas:
    """Rectangles (C, 2), none larger than a page, on as few pages as a skyline finds, tall ones first.

    One page is no larger than it need be; of several, the last is cut to what it holds.
    """
    order = np.lexsort((np.arange(len(size)), -size[:, 0], -size[:, 1]))
    side = max(int(size.max(initial=1)), int((size.prod(axis=1).sum() * 1.02) ** 0.5))
    while True:
        width = min(page_px, -(-side // _ROUND_TO) * _ROUND_TO)
        page, position = _skyline(size[order], width)
        if width == page_px or page.max(initial=0) == 0:
            break
        side = int(width * _GROWTH) + 1
    pages, places = np.empty(len(size), np.int32), np.empty((len(size), 2), np.int64)
    pages[order], places[order] = page, position
    bottom = np.zeros(int(page.max(initial=0)) + 1, np.int64)
    np.maximum.at(bottom, pages, places[:, 1] + size[:, 1])
    return Atlas(pages, places, tuple((width, int(min(width, -(-int(low) // _ROUND_TO) * _ROUND_TO))) for low in bottom))


@numba.njit(cache=True)
def _skyline(size: NDArray[np.int64], side: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Each rectangle to the lowest place on the first page that has room, leftmost among equals."""
    count = len(size)
    page = np.zeros(count, np.int32)
    position = np.zeros((count, 2), np.int64)
    heights = np.zeros((1, side), np.int64)
    window = np.empty(side, np.int64)
    for n in range(count):
        w, h = size[n, 0], size[n, 1]
        p = 0
        while True:
            if p == len(heights):
                heights = np.concatenate((heights, np.zeros((1, side), np.int64)))
            # the sliding maximum of column heights under a rectangle of width w: a queue of falling heights
            head, tail = 0, 0
            best_x, best_y = -1, side - h + 1
            for x in range(side):
                while tail > head and heights[p, window[tail - 1]] <= heights[p, x]:
                    tail -= 1
                window[tail] = x
                tail += 1
                if window[head] <= x - w:
                    head += 1
                if x >= w - 1 and heights[p, window[head]] < best_y:
                    best_x, best_y = x - w + 1, heights[p, window[head]]
            if best_x >= 0:
                page[n] = p
                position[n, 0], position[n, 1] = best_x, best_y
                heights[p, best_x : best_x + w] = best_y + h
                break
            p += 1
    return page, position
