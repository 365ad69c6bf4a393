"""Sparse least squares whose result does not depend on the number of threads."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

_COARSEST = 8
_LEAST_SHRINKING = 0.7  # of the nodes of a level that the next may have


def solve(matrix: csr_matrix, right: NDArray[np.float64], tolerance: float = 1e-6, max_iterations: int = 2000) -> NDArray[np.float64]:
    """X of ``matrix @ X = right`` for a symmetric positive definite (N, N) matrix and (N, M) right sides.

    Conjugate gradients (Saad 2003, algorithm 9.1) until every column's residual is below tolerance of its right side. They are
    preconditioned by the diagonals of the system and of those of ever larger groups of its nodes (Bramble, Pasciak and Xu 1990):
    with the first alone, what is the same far and wide takes hundreds of steps to settle. Sums run in one order, not through
    BLAS: there they change with the number of threads.
    """
    group, inverse = _levels(matrix)
    solution = np.zeros((len(right), 3 * -(-right.shape[1] // 3)))
    for start in range(0, right.shape[1], 3):
        residual, found = np.zeros((len(right), 3)), np.zeros((len(right), 3))
        residual[:, : right.shape[1] - start] = right[:, start : start + 3]
        _descend(matrix.indptr, matrix.indices, matrix.data.astype(np.float64), group, inverse, residual, found, tolerance, max_iterations)
        solution[:, start : start + 3] = found
    return solution[:, : right.shape[1]]


def _levels(matrix: csr_matrix) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The nodes, then groups of them, groups of those, and so on: which group each is in, -1 for the last, and one over its diagonal."""
    groups: list[NDArray[np.int32]] = []
    inverses = [1 / np.asarray(matrix.diagonal(), dtype=np.float64)]
    before = 0
    while matrix.shape[0] > _COARSEST:
        group, count = _groups(matrix.indptr, matrix.indices, matrix.data)
        if count > _LEAST_SHRINKING * len(group):
            break
        member = csr_matrix((np.ones(len(group)), group, np.arange(len(group) + 1)), shape=(len(group), count))
        matrix = (member.T @ matrix @ member).tocsr()
        before += len(group)
        groups.append(before + group)
        inverses.append(1 / matrix.diagonal())
    groups.append(np.full(matrix.shape[0], -1, np.int32))
    return np.concatenate(groups).astype(np.int32), np.concatenate(inverses)


@numba.njit(cache=True, nogil=True)
def _groups(first: NDArray[np.int32], column: NDArray[np.int32], value: NDArray[np.float64]) -> tuple[NDArray[np.int32], int]:
    """(N,) a group for each node, and how many there are: nodes with all their neighbours, and what is left to the nearest of those."""
    nodes = len(first) - 1
    group, count = np.full(nodes, -1, np.int32), 0
    for n in range(nodes):
        free = group[n] < 0
        for k in range(first[n], first[n + 1]):
            free = free and group[column[k]] < 0
        if free:
            group[n] = count
            for k in range(first[n], first[n + 1]):
                group[column[k]] = count
            count += 1
    for n in range(nodes):
        if group[n] >= 0:
            continue
        strongest = 0.0
        for k in range(first[n], first[n + 1]):
            if column[k] != n and group[column[k]] >= 0 and -value[k] > strongest:
                strongest, group[n] = -value[k], group[column[k]]
        if group[n] < 0:
            group[n] = count
            count += 1
    return group, count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _precondition(group: NDArray[np.int32], inverse: NDArray[np.float64], residual: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Into ``out``, of all nodes and groups: what the nodes' residual makes of each. Every group comes after all that is in it."""
    out[: len(residual)] = residual
    out[len(residual) :] = 0
    for n in range(len(group)):
        if group[n] >= 0:
            for m in range(3):
                out[group[n], m] += out[n, m]
    for n in range(len(group) - 1, -1, -1):
        for m in range(3):
            out[n, m] *= inverse[n]
            if group[n] >= 0:
                out[n, m] += out[group[n], m]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _descend(
    first: NDArray[np.int32],
    column: NDArray[np.int32],
    value: NDArray[np.float64],
    group: NDArray[np.int32],
    inverse: NDArray[np.float64],
    residual: NDArray[np.float64],
    solution: NDArray[np.float64],
    tolerance: float,
    max_iterations: int,
) -> None:
    count, sides = len(residual), 3  # a fixed number of columns keeps their sums in registers
    direction, moved = np.zeros_like(residual), np.empty_like(residual)
    settled = np.empty((len(group), 3))
    energy, before, curvature = np.zeros(sides), np.zeros(sides), np.zeros(sides)
    left, target, step = np.zeros(sides), np.zeros(sides), np.zeros(sides)
    for n in range(count):
        for m in range(sides):
            left[m] += residual[n, m] ** 2
    target[:] = tolerance**2 * left
    for _ in range(max_iterations):
        if (left <= target).all():
            return
        _precondition(group, inverse, residual, settled)
        before[:], energy[:] = energy, 0
        for n in range(count):
            for m in range(sides):
                energy[m] += residual[n, m] * settled[n, m]
        for m in range(sides):
            step[m] = energy[m] / before[m] if before[m] > 0 else 0.0
        for n in range(count):
            for m in range(sides):
                direction[n, m] = settled[n, m] + step[m] * direction[n, m]
        curvature[:], left[:] = 0, 0
        for n in range(count):
            red, green, blue = 0.0, 0.0, 0.0
            for k in range(first[n], first[n + 1]):
                near = np.uint32(column[k])
                red += value[k] * direction[near, 0]
                green += value[k] * direction[near, 1]
                blue += value[k] * direction[near, 2]
            moved[n, 0], moved[n, 1], moved[n, 2] = red, green, blue
            for m in range(3):
                curvature[m] += direction[n, m] * moved[n, m]
        for m in range(sides):
            step[m] = energy[m] / curvature[m] if curvature[m] > 0 else 0.0
        for n in range(count):
            for m in range(sides):
                solution[n, m] += step[m] * direction[n, m]
                residual[n, m] -= step[m] * moved[n, m]
                left[m] += residual[n, m] ** 2
