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
    solution = np.zeros_like(right, order="C")
    inverse = 1 / np.asarray(matrix.diagonal(), dtype=np.float64)
    residual = np.array(right, dtype=np.float64, order="C")
    _descend(matrix.indptr, matrix.indices, matrix.data.astype(np.float64), inverse, residual, solution, tolerance, max_iterations)
    return solution


@numba.njit(cache=True, nogil=True)
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
    count, sides = residual.shape
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
            for m in range(sides):
                moved[n, m] = 0
            for k in range(first[n], first[n + 1]):
                for m in range(sides):
                    moved[n, m] += value[k] * direction[column[k], m]
            for m in range(sides):
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
