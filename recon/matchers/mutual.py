"""Mutual nearest neighbours of descriptors in torch: products in blocks of bounded memory, on any device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

_BLOCK = 4096
"""Rows and columns of the product that is in memory at once: 64 MB."""
_MAX_ANGLE_RAD = 0.7
_SIFT_NORM = 512.0


def match_dense(
    descriptors1: NDArray[np.floating], descriptors2: NDArray[np.floating], device: torch.device, least_cosine: float = 0.0
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """(M, 2) indices of unit descriptors that are each other's nearest, and the (M,) cosines between them, above ``least_cosine``."""
    if len(descriptors1) == 0 or len(descriptors2) == 0:
        return np.zeros((0, 2), np.uint32), np.zeros(0)
    one, two = (torch.from_numpy(np.asarray(d, np.float32)).to(device) for d in (descriptors1, descriptors2))
    rows, columns = _nearest_two(one, two)
    found = _mutual(rows, columns)
    cosines = rows[0][found[:, 0]]
    sure = cosines > least_cosine
    return found[sure].cpu().numpy().astype(np.uint32), cosines[sure].cpu().numpy().astype(np.float64)


def match_sift(
    descriptors1: NDArray[np.uint8], descriptors2: NDArray[np.uint8], ratio: float, device: torch.device
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """What ``recon.matchers.nearest.match`` finds, which see.

    The products are exact in float32 on every device that does not round them to fewer bits, so the matches are the same.
    """
    if len(descriptors1) == 0 or len(descriptors2) == 0:
        return np.zeros((0, 2), np.uint32), np.zeros(0)
    one, two = (torch.from_numpy(np.asarray(d, np.float32)).to(device) for d in (descriptors1, descriptors2))
    rows, columns = _nearest_two(one, two)
    forward, backward = (_ratios(top).cpu().numpy() for top in (rows, columns))
    found = _mutual(rows, columns).cpu().numpy()
    ratios = np.maximum(forward[found[:, 0]], backward[found[:, 1]])
    sure = ratios < ratio
    return found[sure].astype(np.uint32), ratios[sure]


Top = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Greatest product of each descriptor with the others, the second greatest, and the index of the greatest."""


def _nearest_two(one: torch.Tensor, two: torch.Tensor) -> tuple[Top, Top]:
    """Of every row of ``one`` among ``two``, and of every row of ``two`` among ``one``; of equal products the first counts."""
    rows, columns = _none(one), _none(two)
    exact = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False  # it keeps ten bits
    try:
        for i in range(0, len(one), _BLOCK):
            for j in range(0, len(two), _BLOCK):
                product = one[i : i + _BLOCK] @ two[j : j + _BLOCK].T
                _take(rows, product, i, j)
                _take(columns, product.T, j, i)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = exact
    return rows, columns


def _none(descriptors: torch.Tensor) -> Top:
    count, device = len(descriptors), descriptors.device
    low = torch.full((count,), -torch.inf, device=device)
    return low, low.clone(), torch.zeros(count, dtype=torch.long, device=device)


def _take(top: Top, product: torch.Tensor, start: int, other_start: int) -> None:
    """Take in a block whose rows begin at ``start`` and whose columns begin at ``other_start``."""
    best, second, index = (values[start : start + len(product)] for values in top)
    greatest = product.max(dim=1)
    at = (product == greatest.values[:, None]).byte().argmax(dim=1)  # the first of equal ones, on every device
    rest = product.scatter(1, at[:, None], -torch.inf).max(dim=1).values
    nearer = greatest.values > best
    second.copy_(torch.where(nearer, torch.maximum(best, rest), torch.maximum(second, greatest.values)))
    index[nearer] = other_start + at[nearer]
    best.copy_(torch.maximum(best, greatest.values))


def _mutual(rows: Top, columns: Top) -> torch.Tensor:
    """(M, 2)"""
    own = torch.arange(len(rows[2]), device=rows[2].device)
    own = own[columns[2][rows[2]] == own]
    return torch.column_stack([own, rows[2][own]])


def _ratios(top: Top) -> torch.Tensor:
    """Nearest over second-nearest angle, in float64 on the CPU; infinite for what is not near."""
    # a descriptor without a second neighbour counts as if that were at a right angle, as in ``nearest``
    best, second = ((value.cpu().double() / _SIFT_NORM**2).clamp(0, 1).arccos() for value in top[:2])
    return torch.where(best < _MAX_ANGLE_RAD, best / second.clamp(min=1e-9), torch.inf)
