"""What samples support: the surface near them and between them, not beyond them nor across them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from recon.surface.poisson import Surface
from recon.surface.support import support
from recon.surface.thin import Samples, spacing_of

CELL = 0.7


def _plane(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([np.stack(np.meshgrid(x, y), -1).reshape(-1, 2), np.zeros(len(x) * len(y))])


def _samples(xyz: NDArray[np.float64]) -> Samples:
    count = len(xyz)
    normal, rgb = np.tile(np.float32([0, 0, 1]), (count, 1)), np.zeros((count, 3), np.float32)
    return Samples(xyz, normal, rgb, np.ones(count, np.float32), np.full(count, 0.1, np.float32), count, 0, 0, 0.0, spacing_of(xyz))


def _grid(width: int, height: int) -> NDArray[np.int32]:
    """(F, 3) two faces for each square of width x height vertices, row by row."""
    corner = (np.arange(height - 1)[:, None] * width + np.arange(width - 1)).ravel()
    a, b, c, d = corner, corner + 1, corner + width + 1, corner + width
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)


@pytest.fixture(scope="module")
def gap() -> Samples:
    """Samples a unit apart on a plane but for a strip four wide."""
    every = _plane(np.arange(40.0), np.arange(40.0))
    return _samples(every[np.abs(every[:, 0] - 19) > 1.6])


def test_a_gap_between_samples_is_spanned_and_no_rim_is_overrun_far(gap: Samples) -> None:
    at = np.arange(-6.0, 46.0, 0.5)
    surface = Surface(_plane(at, at), _grid(len(at), len(at)), 6, CELL)
    near = support(surface, gap).near
    inside = ((surface.vertices[:, :2] >= 0) & (surface.vertices[:, :2] <= 39)).all(axis=1)
    assert near[inside & (np.abs(surface.vertices[:, 1] - 19.5) < 15)].all()
    beyond = np.abs(surface.vertices[:, :2] - 19.5).max(axis=1) - 19.5
    assert near[(beyond > 0) & (beyond <= 1.0)].mean() > 0.9  # it goes on as flat as the samples lie
    assert not near[beyond > 2.5].any()


def test_a_surface_that_bends_away_at_a_rim_is_cut_there() -> None:
    at = np.arange(-6.0, 46.0, 0.25)
    vertices = _plane(at, at)
    beyond = np.abs(vertices[:, :2] - 19.5).max(axis=1) - 19.5
    vertices[:, 2] = -np.maximum(beyond, 0)
    near = support(Surface(vertices, _grid(len(at), len(at)), 6, CELL), _samples(_plane(np.arange(40.0), np.arange(40.0)))).near
    assert near[beyond <= 0].all()
    assert not near[beyond > 1.0].any()


def test_no_web_from_one_level_to_another() -> None:
    """Two levels side by side, and a wall between them that no sample lies on."""
    low = _plane(np.arange(20.0), np.arange(40.0))
    high = low + np.array([20.0, 0.0, 4.0])
    y, z = np.arange(5.0, 35.0, 0.5), np.arange(0.0, 4.1, 0.5)
    wall = np.stack([np.full(len(y) * len(z), 19.5), np.repeat(y, len(z)), np.tile(z, len(y))], 1)
    near = support(Surface(wall, _grid(len(z), len(y)), 6, CELL), _samples(np.concatenate([low, high]))).near
    assert not near[np.abs(wall[:, 2] - 2) < 0.9].any()
