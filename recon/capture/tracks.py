"""Corners followed through a video by optical flow: how far the view moved since a keyframe, and what both still share."""

from __future__ import annotations

from copy import copy

import cv2
import numpy as np
from numpy.typing import NDArray

_CORNERS = 400
_SPACING_PX = 10
_QUALITY = 0.005
_WINDOW = (15, 15)
_LEVELS = 4
_MAX_RETURN_PX = 1.0
"""Tracked forth and back, a point must come home within this."""
_FEW = 120
_FEWEST, _SURVIVING = 8, 0.12
_PROVEN = 3
_NEARER = 80


class Tracks:
    """Corners of a keyframe, followed frame by frame with Lucas-Kanade and checked by tracking back (Kalal 2010).

    All frames are (h, w) grey of one size. Corners that die are replaced, so that motion stays known over a long way, but
    only those of the keyframe count as overlap.
    """

    def __init__(self, grey: NDArray[np.uint8]) -> None:
        self._last = grey
        self._xy = _corners(grey, None)
        self._start = self._xy.copy()
        """Where each point was in the keyframe: for one found later, where the flow says that it would have been."""
        self._original = np.ones(len(self._xy), bool)
        self._age = np.zeros(len(self._xy), np.int32)
        self._count = len(self._xy)
        self.lost = False
        """Nearly nothing of the frame before was found again: a cut, or a turn too fast."""

    @property
    def overlap(self) -> float:
        """Share of the keyframe's corners that are still seen, 0..1."""
        return float(self._original.sum()) / self._count if self._count else 0.0

    @property
    def motion(self) -> float:
        """Way of the nearer points since the keyframe (80th percentile), of the image's diagonal; 0 where none is left.

        Far points hardly move when the camera flies on, near ones do. Only points count that were followed for a few
        frames: on water or foliage others are found by chance.
        """
        if not len(self._xy):
            return 0.0
        proven = self._age >= min(_PROVEN, int(self._age.max()))
        way_px = np.percentile(np.linalg.norm(self._xy[proven] - self._start[proven], axis=1), _NEARER)
        return float(way_px) / float(np.hypot(*self._last.shape))

    def copy(self) -> Tracks:
        """The same tracks, to be followed another way."""
        return copy(self)  # follow replaces the arrays and changes none

    def follow(self, grey: NDArray[np.uint8]) -> None:
        """Track all points into the next frame."""
        if len(self._xy) and grey.shape == self._last.shape:
            kept, moved = _flow(self._last, grey, self._xy)
        else:
            kept, moved = np.zeros(len(self._xy), bool), self._xy
        self.lost = int(kept.sum()) < max(_FEWEST, _SURVIVING * len(kept))
        self._xy, self._start = moved[kept], self._start[kept]
        self._original, self._age = self._original[kept], self._age[kept] + 1
        self._last = grey
        if len(self._xy) < _FEW and not self.lost:
            self._replenish(grey)

    def _replenish(self, grey: NDArray[np.uint8]) -> None:
        found = _corners(grey, self._xy)
        way = np.median(self._xy - self._start, axis=0)
        self._xy = np.concatenate([self._xy, found])
        self._start = np.concatenate([self._start, found - way])
        self._original = np.concatenate([self._original, np.zeros(len(found), bool)])
        self._age = np.concatenate([self._age, np.zeros(len(found), np.int32)])


def _corners(grey: NDArray[np.uint8], taken: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """(N, 2) corners (Shi-Tomasi), away from those taken."""
    free = None
    if taken is not None:
        free = np.full(grey.shape, 255, np.uint8)
        for x, y in taken.astype(int):
            cv2.circle(free, (int(x), int(y)), _SPACING_PX, 0, -1)
    found = cv2.goodFeaturesToTrack(grey, _CORNERS, _QUALITY, _SPACING_PX, mask=free, blockSize=5)
    return np.zeros((0, 2), np.float32) if found is None else np.asarray(found, np.float32).reshape(-1, 2)


def _flow(last: NDArray[np.uint8], grey: NDArray[np.uint8], xy: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Which of the (N, 2) points are found in grey, and where all of them seem to be."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(last, grey, xy, None, winSize=_WINDOW, maxLevel=_LEVELS)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(grey, last, there, None, winSize=_WINDOW, maxLevel=_LEVELS)
    height, width = grey.shape
    inside = (there >= 0).all(axis=1) & (there[:, 0] < width) & (there[:, 1] < height)
    home = np.linalg.norm(back - xy, axis=1) < _MAX_RETURN_PX
    return (found.ravel() == 1) & (returned.ravel() == 1) & inside & home, np.asarray(there, np.float32)
