"""Two-way nearest neighbours of descriptors with the ratio test, exactly and in little memory."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_ROWS, _COLUMNS = 512, 2048
"""Block of the similarity matrix: 4 MB, which stays in cache between the product and its scan."""
_NORM = 512.0
_MAX_ANGLE_RAD = 0.7


def match(descriptors1: NDArray[np.uint8], descriptors2: NDArray[np.uint8], ratio: float) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """(M, 2) indices of descriptors that are each other's nearest, nearer than ``ratio`` times the second nearest both ways.

    Also their (M,) ratios, of the way that is less distinct. Distances are angles between descriptors of length 512, as in
    COLMAP. Products of 8-bit integers are exact in float32 (sums stay below 2^24), so the result depends neither on the
    block size nor on the BLAS.
    """
    if len(descriptors1) == 0 or len(descriptors2) == 0:
        return np.zeros((0, 2), dtype=np.uint32), np.zeros(0)
    one, two = descriptors1.astype(np.float32), descriptors2.astype(np.float32)
    rows, columns = _Top2.empty(len(one)), _Top2.empty(len(two))
    product = np.empty((_ROWS, _COLUMNS), dtype=np.float32)
    for j in range(0, len(two), _COLUMNS):
        block2 = two[j : j + _COLUMNS].T
        for i in range(0, len(one), _ROWS):
            block1 = one[i : i + _ROWS]
            part = (
                product[: len(block1), : block2.shape[1]]
                if block2.shape[1] == _COLUMNS
                else np.empty((len(block1), block2.shape[1]), np.float32)
            )
            np.matmul(block1, block2, out=part)
            _scan(part, i, j, rows.best, rows.second, rows.index, columns.best, columns.second, columns.index)
    forward, backward = rows.ratio(), columns.ratio()
    ratios = np.maximum(forward, backward[rows.index])
    mutual = np.flatnonzero((columns.index[rows.index] == np.arange(len(one))) & (ratios < ratio))
    return np.column_stack([mutual, rows.index[mutual]]).astype(np.uint32), ratios[mutual]


class _Top2:
    """Greatest and second greatest product of each descriptor, and with whom."""

    def __init__(self, best: NDArray[np.float32], second: NDArray[np.float32], index: NDArray[np.int32]) -> None:
        self.best, self.second, self.index = best, second, index

    @classmethod
    def empty(cls, count: int) -> _Top2:
        return cls(np.full(count, -1, np.float32), np.full(count, -1, np.float32), np.zeros(count, np.int32))

    def ratio(self) -> NDArray[np.float64]:
        """Nearest over second-nearest angle; infinite for what is not near."""
        best, second = (np.arccos(np.clip(value.astype(np.float64) / _NORM**2, 0, 1)) for value in (self.best, self.second))
        return np.where(best < _MAX_ANGLE_RAD, best / np.maximum(second, 1e-9), np.inf)


@numba.njit(nogil=True, cache=True)
def _scan(part, row_offset, column_offset, row_best, row_second, row_index, column_best, column_second, column_index):  # type: ignore[no-untyped-def]
    rows, columns = part.shape
    for i in range(rows):
        line = part[i]
        best, second, index = row_best[row_offset + i], row_second[row_offset + i], row_index[row_offset + i]
        for j in range(columns):
            value = line[j]
            if value > second:
                if value > best:
                    second = best
                    best = value
                    index = column_offset + j
                else:
                    second = value
            if value > column_second[column_offset + j]:
                if value > column_best[column_offset + j]:
                    column_second[column_offset + j] = column_best[column_offset + j]
                    column_best[column_offset + j] = value
                    column_index[column_offset + j] = row_offset + i
                else:
                    column_second[column_offset + j] = value
        row_best[row_offset + i], row_second[row_offset + i], row_index[row_offset + i] = best, second, index
