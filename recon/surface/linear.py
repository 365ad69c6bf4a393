"""Sparse least squares whose result does not depend on the number of threads."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


def solve(matrix: csr_matrix, right: NDArray[np.float64], tolerance: float = 1e-6, max_iterations: int = 2000) -> NDArray[np.float64]:
    """X of ``matrix @ X = right`` for a symmetric positive definite (N, N) matrix and (N, M) right sides.

    Conjugate gradients with Jacobi preconditioning (Saad 2003, algorithm 9.1), until every column's residual is below
    tolerance of its right side. Sums run in one order, not through BLAS: there they change with the number of threads.
    """
    inverse = 1 / np.asarray(matrix.diagonal(), dtype=np.float64)
    solution = np.zeros((len(right), 3 * -(-right.shape[1] // 3)))
    for start in range(0, right.shape[1], 3):
        residual, found = np.zeros((len(right), 3)), np.zeros((len(right), 3))
        residual[:, : right.shape[1] - start] = right[:, start : start + 3]
        _descend(matrix.indptr, matrix.indices, matrix.data.astype(np.float64), inverse, residual, found, tolerance, max_iterations)
        solution[:, start : start + 3] = found
    return solution[:, : right.shape[1]]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _descend(
    first: NDArray[np.int32],
    column: NDArray[np.int32],
    value: NDArray[np.float64],
    inverse: NDArray[np.float64],
    residual: NDArray[np.float64],
    solution: NDArray[np.float64],
    tolerance: float,
    max_iterations: int,
) -> None:
    count, sides = len(residual), 3  # a fixed number of columns keeps their sums in registers
    direction, moved = np.empty_like(residual), np.empty_like(residual)
    energy, before, curvature = np.zeros(sides), np.zeros(sides), np.zeros(sides)
    left, target, step = np.zeros(sides), np.zeros(sides), np.zeros(sides)
    for n in range(count):
        for m in range(sides):
            direction[n, m] = inverse[n] * residual[n, m]
            energy[m] += residual[n, m] * direction[n, m]
            target[m] += residual[n, m] ** 2
    left[:], target[:] = target, tolerance**2 * target
    for _ in range(max_iterations):
        if (left <= target).all():
            return
        curvature[:] = 0
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
        before[:], energy[:], left[:] = energy, 0, 0
        for n in range(count):
            for m in range(sides):
                solution[n, m] += step[m] * direction[n, m]
                residual[n, m] -= step[m] * moved[n, m]
                energy[m] += inverse[n] * residual[n, m] ** 2
                left[m] += residual[n, m] ** 2
        for m in range(sides):
            step[m] = energy[m] / before[m] if before[m] > 0 else 0.0
        for n in range(count):
            for m in range(sides):
                direction[n, m] = inverse[n] * residual[n, m] + step[m] * direction[n, m]
