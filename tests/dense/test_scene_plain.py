"""Surfaces without texture: the plane around them, or nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from recon.dense.plain import fit_plane, noise, settle_plain

SHAPE = (160, 240)
PANEL = (slice(40, 120), slice(70, 180))
NOISE = 1.0


def wall(rng: np.random.Generator) -> np.ndarray:
    """A textured surface with a plain panel, without noise."""
    grey = cv2.GaussianBlur(rng.uniform(0, 255, SHAPE).astype(np.float32), (0, 0), 1.2)
    grey = (grey - grey.mean()) * 3 + 128
    grey[PANEL] = 140
    return grey


def disparities() -> np.ndarray:
    """Of the left window: a slanted plane."""
    x, y = np.meshgrid(np.arange(SHAPE[1], dtype=np.float32), np.arange(SHAPE[0], dtype=np.float32))
    return 8 + 0.02 * x + 0.01 * y


def pair(left: np.ndarray, disparity: np.ndarray, rng: np.random.Generator, brighter: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures of a left window and of the right one that sees its pixel x at x - disparity, an affine function."""
    x, y = np.meshgrid(np.arange(SHAPE[1], dtype=np.float32), np.arange(SHAPE[0], dtype=np.float32))
    right = cv2.remap(left, (x + 8 + 0.01 * y) / 0.98, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT) + brighter
    return tuple(np.clip(np.rint(image + rng.normal(0, NOISE, SHAPE)), 0, 255).astype(np.uint8) for image in (left, right))  # type: ignore[return-value]


def settled(windows: tuple[np.ndarray, np.ndarray], known: np.ndarray) -> np.ndarray:
    """The left window's disparities from those known so far."""
    found, other = known.astype(np.float32), np.full(SHAPE, np.nan, np.float32)
    settle_plain(windows, (np.ones(SHAPE, bool), np.ones(SHAPE, bool)), (found, other))
    return found


@pytest.mark.parametrize("brighter", [0.0, 12.0])
def test_a_plain_panel_gets_the_plane_around_it(brighter: float, rng: np.random.Generator) -> None:
    truth = disparities()
    known = truth + rng.normal(0, 0.15, SHAPE)
    known[PANEL] = rng.uniform(0, 40, known[PANEL].shape)
    found = settled(pair(wall(rng), truth, rng, brighter), known)
    inner = found[48:112, 78:172]
    assert (~np.isnan(inner)).mean() > 0.95
    error = np.abs(inner - truth[48:112, 78:172])
    assert 1e-4 < np.nanmedian(error) < 0.05
    assert np.nanmax(error) < 0.2
    np.testing.assert_array_equal(found[:30], known[:30].astype(np.float32))  # what has texture stays as it was


def test_the_sky_over_a_roof_has_no_depth(rng: np.random.Generator) -> None:
    left, truth = wall(rng), disparities()
    left[:70] = 200
    left[70:] = wall(rng)[:90]
    found = settled(pair(left, truth, rng), truth)
    assert np.isnan(found[:64]).mean() > 0.98
    assert not np.isnan(found[75:105]).any()


def test_a_panel_amid_what_is_no_plane_stays_open(rng: np.random.Generator) -> None:
    truth = disparities()
    known = truth + rng.uniform(-15, 15, SHAPE)
    assert np.isnan(settled(pair(wall(rng), truth, rng), known)[50:110, 80:170]).all()


def test_what_looks_different_in_the_other_view_is_left_out(rng: np.random.Generator) -> None:
    truth = disparities()
    left, right = pair(wall(rng), truth, rng)
    right[60:100, 85:105] = 60  # something passes before the panel
    x = np.arange(SHAPE[1], dtype=np.float32) - truth
    hidden = np.zeros(SHAPE, bool)
    hidden[60:100] = (x[60:100] > 84) & (x[60:100] < 106)
    found = settled((left, right), truth)
    assert np.isnan(found[hidden]).mean() > 0.8
    around = ~cv2.dilate(hidden.astype(np.uint8), np.ones((13, 13))).astype(bool)
    assert (~np.isnan(found[44:116, 74:176][around[44:116, 74:176]])).mean() > 0.95


def test_masked_pixels_say_nothing(rng: np.random.Generator) -> None:
    truth = disparities()
    windows = pair(wall(rng), truth, rng)
    usable = np.ones(SHAPE, bool)
    usable[:, 150:] = False  # the panel is open to that side
    windows[0][:, 150:] = 0
    found = np.where(usable, truth, np.nan).astype(np.float32)
    settle_plain(windows, (usable, np.ones(SHAPE, bool)), (found, np.full(SHAPE, np.nan, np.float32)))
    assert np.isnan(found[:, 150:]).all()
    error = np.abs(found - truth)[44:116, 74:145]
    assert not np.nanmax(error, initial=0.0) > 0.2


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_noise_is_measured_where_the_picture_is_smoothest(sigma: float, rng: np.random.Generator) -> None:
    picture = np.clip(np.rint(wall(rng) + rng.normal(0, sigma, SHAPE)), 0, 255).astype(np.uint8)
    assert 0.7 * sigma < noise(picture, np.ones(SHAPE, bool)) < 1.2 * sigma
    assert noise(picture, np.zeros(SHAPE, bool)) == 0


def test_a_plane_is_found_among_outliers_and_not_without_support(rng: np.random.Generator) -> None:
    x, y = rng.integers(0, 200, (2, 500))
    value = (0.1 * x - 0.05 * y + 7 + rng.normal(0, 0.1, 500)).astype(np.float32)
    value[:150] += 20
    plane = fit_plane(x, y, value)
    assert plane is not None
    coefficients, inlier = plane
    np.testing.assert_allclose(coefficients, [0.1, -0.05, 7], atol=0.05)
    assert np.abs(coefficients - [0.1, -0.05, 7]).max() > 1e-6
    assert not inlier[:150].any()
    assert fit_plane(x[:20], y[:20], value[:20]) is None
    assert fit_plane(x, y, rng.uniform(0, 300, 500).astype(np.float32)) is None
    assert fit_plane(np.full(100, 3), np.arange(100), np.zeros(100, np.float32)) is None  # a line holds no plane
