"""Two-way nearest neighbours of descriptors with the ratio test, exactly and in little memory."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_ROWS, _COLUMNS = 512, 2048
"""Block of the similarity matrix: 4 MB, which stays in cache between the product and its scan."""
_INDEX_BITS = 12
_INDEX_MASK = np.int32(2**_INDEX_BITS - 1)
_GREATEST = np.int32(2**19 - 1)
_LANES = 64
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
    product = np.empty(_ROWS * _COLUMNS, dtype=np.float32)
    for j in range(0, len(two), _COLUMNS):
        block2 = two[j : j + _COLUMNS].T
        for i in range(0, len(one), _ROWS):
            block1 = one[i : i + _ROWS]
            part = product[: len(block1) * block2.shape[1]].reshape(len(block1), block2.shape[1])
            np.matmul(block1, block2, out=part)
            row_keys, column_keys = _scan(part)
            rows.add(i, j, row_keys)
            columns.add(j, i, column_keys)
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

    def add(self, start: int, other_start: int, keys: NDArray[np.int32]) -> None:
        """Take in the greatest two of a block, as keys of ``_scan``; of equal products the first stays."""
        end = start + keys.shape[1]
        best, second, index = self.best[start:end], self.second[start:end], self.index[start:end]
        values = (keys >> _INDEX_BITS).astype(np.float32)
        nearer = values[0] > best
        second[:] = np.where(nearer, np.maximum(best, values[1]), np.maximum(second, values[0]))
        index[nearer] = other_start + _INDEX_MASK - (keys[0] & _INDEX_MASK)[nearer]
        best[:] = np.maximum(best, values[0])

    def ratio(self) -> NDArray[np.float64]:
        """Nearest over second-nearest angle; infinite for what is not near."""
        best, second = (np.arccos(np.clip(value.astype(np.float64) / _NORM**2, 0, 1)) for value in (self.best, self.second))
        return np.where(best < _MAX_ANGLE_RAD, best / np.maximum(second, 1e-9), np.inf)


@numba.njit(nogil=True, cache=True)
def _scan(part):  # type: ignore[no-untyped-def]
    """(2, R) and (2, C) keys of the greatest two products of each row and each column of a block.

    A key is the product, which has 19 bits at most, and below it how early its partner comes in the block: comparing keys
    compares products, and the loops need no branch, so that they run in vector registers.
    """
    rows, columns = part.shape
    whole = columns // _LANES * _LANES
    row_keys, column_keys = np.empty((2, rows), np.int32), np.zeros((2, columns), np.int32)
    best, second = np.empty(_LANES, np.int32), np.empty(_LANES, np.int32)
    top, next_top = column_keys[0], column_keys[1]
    for i in range(rows):
        line, row_tag = part[i], np.int32(_INDEX_MASK - i)
        best[:], second[:] = 0, 0
        for start in range(0, whole, _LANES):
            values, top_here, next_here = line[start : start + _LANES], top[start : start + _LANES], next_top[start : start + _LANES]
            for k in range(_LANES):
                value = np.int32(min(np.int32(values[k]), _GREATEST) << _INDEX_BITS)
                of_row, of_column = np.int32(value | np.int32(_INDEX_MASK - start - k)), np.int32(value | row_tag)
                second[k] = max(second[k], min(best[k], of_row))
                best[k] = max(best[k], of_row)
                next_here[k] = max(next_here[k], min(top_here[k], of_column))
                top_here[k] = max(top_here[k], of_column)
        first, other = np.int32(0), np.int32(0)
        for k in range(_LANES):
            other = max(max(other, second[k]), min(first, best[k]))
            first = max(first, best[k])
        for j in range(whole, columns):
            value = np.int32(min(np.int32(line[j]), _GREATEST) << _INDEX_BITS)
            of_row, of_column = np.int32(value | np.int32(_INDEX_MASK - j)), np.int32(value | row_tag)
            other = max(other, min(first, of_row))
            first = max(first, of_row)
            next_top[j] = max(next_top[j], min(top[j], of_column))
            top[j] = max(top[j], of_column)
        row_keys[0, i], row_keys[1, i] = first, other
    return row_keys, column_keys
