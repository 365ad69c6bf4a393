"""Semi-global matching on random dots, whose disparity is known at every pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from recon.dense.sgm import match


def dots(disparity: np.ndarray, rng: np.random.Generator, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A left image and the right one whose pixel x - d looks as the left's x; ``disparity`` is the right image's."""
    height, width = disparity.shape
    left = cv2.GaussianBlur(rng.uniform(0, 255, (height, width)).astype(np.float32), (0, 0), 1.0)
    left = (left - left.mean()) * 3 + 128
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    right = cv2.remap(left, x + disparity.astype(np.float32), y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return tuple(np.clip(image + rng.normal(0, noise, image.shape), 0, 255).astype(np.uint8) for image in (left, right))  # type: ignore[return-value]


def slanted(width: int = 400, height: int = 160) -> np.ndarray:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return 20 + 0.06 * x + 0.02 * y + 2.0 * np.sin(y / 25)


@pytest.mark.parametrize(("noise", "least", "most"), [(0.0, 0.005, 0.15), (8.0, 0.02, 0.25)])
def test_a_slanted_surface_is_measured_to_a_fraction_of_a_pixel(noise: float, least: float, most: float, rng: np.random.Generator) -> None:
    truth = slanted()
    left, right = dots(truth, rng, noise)
    of_left, of_right = match(left, right, (0.0, 60.0))
    known = ~np.isnan(of_right)
    assert known[:, :330].mean() > 0.85
    assert least < np.median(np.abs(of_right[known] - truth[known])) < most
    assert (~np.isnan(of_left))[:, 60:].mean() > 0.85


def test_a_wide_range_costs_no_accuracy(rng: np.random.Generator) -> None:
    truth = slanted()
    left, right = dots(truth, rng, 2.0)
    _, of_right = match(left, right, (-150.0, 450.0))
    known = ~np.isnan(of_right)
    assert known[:, :300].mean() > 0.7
    assert 0.003 < np.median(np.abs(of_right[known] - truth[known])) < 0.15


def test_a_step_keeps_both_its_sides(rng: np.random.Generator) -> None:
    truth = np.full((120, 300), 10.0)
    truth[30:90, 100:180] = 25.0
    left, right = dots(truth, rng, 2.0)
    _, of_right = match(left, right, (0.0, 40.0))
    assert abs(np.nanmedian(of_right[40:80, 110:170]) - 25) < 0.2
    assert abs(np.nanmedian(of_right[5:25, :250]) - 10) < 0.2


def test_images_that_share_nothing_match_hardly_anywhere(rng: np.random.Generator) -> None:
    left, right = (rng.integers(0, 255, (120, 300), dtype=np.uint8) for _ in range(2))
    assert (~np.isnan(match(left, right, (0.0, 64.0))[0])).mean() < 0.35


@pytest.mark.parametrize("shapes", [((16, 16), (16, 16)), ((17, 40), (17, 23)), ((33, 90), (33, 131))])
def test_small_and_unequal_windows_keep_their_shapes(shapes: tuple[tuple[int, int], tuple[int, int]], rng: np.random.Generator) -> None:
    left, right = (rng.integers(0, 255, shape, dtype=np.uint8) for shape in shapes)
    for disparities in ((-3.0, 5.0), (0.0, 80.0), (-400.0, 400.0)):
        of_left, of_right = match(left, right, disparities)
        assert (of_left.shape, of_right.shape) == shapes


def test_the_number_of_threads_does_not_show(rng: np.random.Generator) -> None:
    left, right = dots(slanted(), rng, 3.0)
    before = cv2.getNumThreads()
    results = []
    for threads in (1, 2, 3):
        cv2.setNumThreads(threads)
        results.append(match(left, right, (0.0, 200.0)))
    cv2.setNumThreads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0][0], other[0])
        np.testing.assert_array_equal(results[0][1], other[1])
