"""Sparse least squares whose result does not depend on the number of threads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


def solve(matrix: csr_matrix, right: NDArray[np.float64], tolerance: float = 1e-6, max_iterations: int = 2000) -> NDArray[np.float64]:
    """X of ``matrix @ X = right`` for a symmetric positive definite (N, N) matrix and (N, M) right sides.

    Conjugate gradients with Jacobi preconditioning (Saad 2003, algorithm 9.1), until every column's residual is below
    tolerance of its right side. NumPy's own sums, not BLAS: those change with the number of threads.
    """
    inverse = 1 / np.asarray(matrix.diagonal())[:, None]
    solution = np.zeros_like(right)
    residual = right.copy()
    scaled = inverse * residual
    direction = scaled.copy()
    energy = (residual * scaled).sum(axis=0)
    target = tolerance**2 * (right * right).sum(axis=0)
    for _ in range(max_iterations):
        if ((residual * residual).sum(axis=0) <= target).all():
            break
        moved = np.asarray(matrix @ direction)
        curvature = (direction * moved).sum(axis=0)
        step = np.divide(energy, curvature, out=np.zeros_like(energy), where=curvature > 0)
        solution += step * direction
        residual -= step * moved
        scaled = inverse * residual
        before, energy = energy, (residual * scaled).sum(axis=0)
        direction = scaled + np.divide(energy, before, out=np.zeros_like(energy), where=before > 0) * direction
    return solution
