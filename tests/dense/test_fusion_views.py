"""Fusion of made depth maps: the mean along the ray, its stated error, and what one view alone can do to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from recon.dense.fused import Agreement, Seen
from recon.dense.fusion import fuse_view
from recon.dense.view import Points, View

SIZE = (120, 90)
FOCAL = 100.0
STEP = 0.5
NORMAL, AWAY = np.array([0.3, -0.2, -1.0]), -10.0
AGREEMENT = Agreement(3, 0.75, 0.01, 2.0)


def seen(x: float, noise: NDArray[np.float64] | float = 0.0) -> Seen:
    """A level camera at (x, 0, 0), looking along z at the plane NORMAL . X = AWAY; noise is relative, (h, w)."""
    width, height = SIZE
    K = np.array([[FOCAL, 0, width / 2], [0, FOCAL, height / 2], [0, 0, 1.0]])
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([(u - K[0, 2]) / FOCAL, (v - K[1, 2]) / FOCAL, np.ones_like(u)], 2)
    depth = (AWAY - NORMAL[0] * x) / (rays @ NORMAL) * (1 + noise)
    view = View(str(x), Path(), None, width, height, K, np.eye(3), np.array([-x, 0, 0]))
    grey = np.full((height, width, 3), 100, np.uint8)
    return Seen(view, depth.astype(np.float32), np.full((height, width), 200, np.uint8), grey, K)


def fused(views: list[Seen], agreement: Agreement = AGREEMENT) -> Points:
    return fuse_view(0, range(1, len(views)), views.__getitem__, agreement)


def along_ray(points: Points) -> NDArray[np.float64]:
    """(N,) signed error along the ray from the origin."""
    xyz = points.xyz.astype(np.float64)
    return np.asarray((1 - AWAY / (xyz @ NORMAL)) * np.linalg.norm(xyz, axis=1))


def patches(rng: np.random.Generator, deviation: float) -> NDArray[np.float64]:
    """Noise as block matching makes it: alike over some pixels."""
    noise = cv2.blur(rng.standard_normal((SIZE[1], SIZE[0])), (5, 5)) * 5
    return np.asarray(deviation * noise)


def test_exact_maps_give_exact_points() -> None:
    points = fused([seen(STEP * n) for n in range(5)])
    assert len(points.xyz) > 0.9 * SIZE[0] * SIZE[1] / 5
    error = np.abs(along_ray(points))
    assert np.percentile(error, 90) < 1e-4
    assert error.max() < 0.02  # beside the border of another view its nearest pixel has to do
    np.testing.assert_allclose(points.normal, np.tile(NORMAL / np.linalg.norm(NORMAL), (len(points.xyz), 1)), atol=0.02)
    # what is left is the step of a disparity: 0.018 px, at 10 over 100 px and a baseline of some 0.5 to 1
    assert 1e-3 < np.median(points.sigma) < 0.05


@pytest.mark.parametrize("deviation", [2e-3, 4e-3, 8e-3])
def test_the_stated_error_follows_the_noise(deviation: float, rng: np.random.Generator) -> None:
    points = fused([seen(STEP * n, patches(rng, deviation)) for n in range(6)], Agreement(3, 1.0, 0.05, 3.0))
    ratio = along_ray(points) / points.sigma
    # matches of real pairs share more of their error than these maps, whose noise is their own
    assert 0.35 < np.sqrt(np.mean(ratio**2)) < 1.0


def test_one_wrong_view_moves_the_mean_by_less_than_its_share() -> None:
    views = [seen(STEP * n) for n in range(6)]
    views[2] = seen(STEP * 2, 0.008)  # within what still agrees
    six = fused(views)
    shift = np.abs(along_ray(six.take(six.views == 6))) / -AWAY
    assert len(shift) > 100
    assert np.percentile(shift, 90) < 0.008 / 6 / 10
    assert shift.max() < 0.008 / 6


def test_what_half_of_the_views_look_through_is_no_point() -> None:
    views = [seen(STEP * n) for n in range(4)]
    hanging = views[0].depth.copy()
    for view in views[:2]:
        view.depth[40:60, 40:80] = 6.0
    points = fused(views, Agreement(2, 0.0, 0.01, 2.0))
    assert (hanging > 7).all()
    assert points.xyz[:, 2].min() > 7


def test_two_views_are_doubted_more_than_three() -> None:
    least = Agreement(2, 0.0, 0.01, 2.0)
    two, three = (np.median(fused([seen(STEP * n) for n in range(count)], least).confidence) for count in (2, 3))
    assert 0.5 < two < three < 0.95


@pytest.mark.parametrize(("confidence", "made"), [(200, False), (60, True)], ids=["sure", "contradicted"])
def test_a_finer_view_makes_the_point_only_where_it_is_sure(confidence: int, made: bool) -> None:
    views = [seen(STEP * n) for n in range(3)]
    ahead = seen(0.0)  # a tenth of the way on: finer everywhere
    view = replace(ahead.view, t=np.array([0, 0, AWAY / 10]))
    finer = replace(ahead, view=view, depth=ahead.depth * np.float32(0.9), confidence=np.full_like(ahead.confidence, confidence))
    share = len(fused([*views, finer]).xyz) / len(fused(views).xyz)
    assert (share > 0.9) if made else (share < 0.4)  # the rim that it does not see is the others'
