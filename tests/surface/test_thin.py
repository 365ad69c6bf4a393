"""Thinning a cloud: bounded, weighted, and refused where there is no surface in it."""

import numpy as np
import pytest
from painted import ball_cloud, cloud

from recon.dense.view import Points
from recon.errors import NoSurface
from recon.surface.thin import thin


def test_small_cloud_is_kept_as_it_is(rng):
    points = ball_cloud(rng, 2000)
    samples = thin([points], 5000)
    assert (len(samples.xyz), samples.voxel, samples.given, samples.unusable) == (2000, 0.0, 2000, 0)
    np.testing.assert_allclose(samples.xyz, points.xyz, atol=1e-6)


def test_large_cloud_in_parts_is_thinned_below_the_bound_and_noise_averages_out(rng):
    parts = [ball_cloud(rng, 20_000, noise=0.01) for _ in range(4)]
    samples = thin(parts, 4000)
    assert 1000 < len(samples.xyz) <= 4000
    assert samples.given == 80_000
    error = np.abs(np.linalg.norm(samples.xyz, axis=1) - 1)
    assert 0.0005 < np.sqrt(np.average(error**2, weights=samples.weight)) < 0.006
    assert (np.einsum("nc,nc->n", samples.normal, samples.xyz) > 0.95).all()


def test_threads_change_nothing(rng):
    parts = [ball_cloud(rng, 200_000, noise=0.01), ball_cloud(rng, 150_000, noise=0.02)]
    one, three = (thin(parts, 300_000, threads=threads) for threads in (1, 3))
    assert one.voxel > 0
    assert one.spacing == three.spacing
    for name in ("xyz", "normal", "rgb", "weight", "sigma"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))


def test_confident_points_weigh_more(rng):
    normal = np.tile([0.0, 0.0, 1.0], (3000, 1))
    xy = rng.uniform(-1, 1, (3000, 2))
    good = cloud(np.column_stack([xy, np.zeros(3000)]), normal, confidence=0.9)
    bad = cloud(np.column_stack([xy, np.full(3000, 0.05)]), normal, confidence=0.1)
    samples = thin([good, bad], 500)
    assert np.average(samples.xyz[:, 2], weights=samples.weight) == pytest.approx(0.005, abs=1e-4)
    # a voxel that holds some of both lies near the good ones
    assert np.median(samples.xyz[:, 2]) < 0.01


def test_points_are_averaged_over_their_noise_and_sharp_ones_are_not(rng):
    sharp = ball_cloud(rng, 20_000, noise=0.001)
    noisy = ball_cloud(rng, 20_000, noise=0.05)
    noisy = Points(
        noisy.xyz + np.float32([3, 0, 0]), noisy.normal, noisy.rgb, noisy.confidence, noisy.views, np.full(20_000, 0.05, np.float32)
    )
    samples = thin([sharp, noisy], 100_000)
    right = samples.xyz[:, 0] > 1.5
    assert (~right).sum() == 20_000
    assert 300 < right.sum() < 6000
    error = np.linalg.norm(samples.xyz[right] - (3, 0, 0), axis=1) - 1
    assert 0.005 < np.sqrt(np.average(error**2, weights=samples.weight[right])) < 0.046


def test_spacing_is_that_of_a_uniform_sheet(rng):
    axis = np.arange(60) * 0.1
    xy = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    samples = thin([cloud(np.column_stack([xy, np.zeros(3600)]), np.tile([0.0, 0, 1], (3600, 1)))], 10_000)
    assert samples.spacing == pytest.approx(0.1, rel=0.2)


def test_points_without_place_or_normal_are_counted_and_left_out(rng):
    points = ball_cloud(rng, 1000)
    xyz, normal = points.xyz.copy(), points.normal.copy()
    xyz[:10] = np.nan
    normal[10:15] = 0
    samples = thin([Points(xyz, normal, points.rgb, points.confidence, points.views, points.sigma)], 5000)
    assert (len(samples.xyz), samples.unusable) == (985, 15)
    assert np.isfinite(samples.xyz).all()


def test_too_few_points_are_refused_with_their_number(rng):
    with pytest.raises(NoSurface, match=r"99 usable points.*100"):
        thin([ball_cloud(rng, 99)], 1000)


def test_an_empty_cloud_is_refused():
    with pytest.raises(NoSurface, match="0 usable points"):
        thin([], 1000)


def test_points_on_one_line_are_refused(rng):
    xyz = rng.uniform(-1, 1, (500, 1)) * np.array([[1.0, 2.0, 0.5]])
    with pytest.raises(NoSurface, match="one line"):
        thin([cloud(xyz, np.tile([0.0, 0, 1], (500, 1)))], 1000)
