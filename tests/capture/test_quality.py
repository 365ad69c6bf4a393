from __future__ import annotations

import cv2
import numpy as np
import pytest
from capture.media import texture

from recon.capture import quality

GREY = cv2.cvtColor(texture(360, 640), cv2.COLOR_RGB2GRAY)


def test_sharpness_falls_with_blur_and_ends_at_zero() -> None:
    values = [quality.sharpness(GREY)] + [quality.sharpness(cv2.GaussianBlur(GREY, (0, 0), sigma)) for sigma in (1, 2, 3, 5, 8)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.4
    assert values[3] < 2 * quality.BLURRED
    assert values[-1] < 0.02


@pytest.mark.parametrize("kernel", [(9, 1), (1, 9)])
def test_motion_blur_in_either_direction_is_told(kernel: tuple[int, int]) -> None:
    assert quality.sharpness(cv2.blur(GREY, kernel)) < 0.6 * quality.sharpness(GREY)


def test_noise_does_not_pass_for_detail(rng: np.random.Generator) -> None:
    noise = rng.normal(0, 1.5, (1080, 1920))
    large = cv2.resize(GREY, (1920, 1080), interpolation=cv2.INTER_CUBIC)
    for sigma, low, high in ((0, 0.4, 1.0), (3, 0.2, 0.5), (15, 0.0, quality.BLURRED), (45, 0.0, quality.BLURRED)):
        image = cv2.GaussianBlur(large, (0, 0), sigma) if sigma else large
        noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
        assert low <= quality.measure(noisy).sharpness <= high
        if sigma < 15:
            assert quality.measure(noisy).sharpness == pytest.approx(quality.measure(image).sharpness, rel=0.15)


def test_sharpness_does_not_follow_contrast_or_brightness() -> None:
    sharp = quality.sharpness(GREY)
    assert quality.sharpness((GREY // 2 + 20).astype(np.uint8)) == pytest.approx(sharp, rel=0.1)
    assert quality.sharpness(np.full((360, 640), 90, np.uint8)) == 0


def test_brightness_and_clipping() -> None:
    half = np.zeros((100, 200), np.uint8)
    half[:, 100:] = 255
    measured = quality.measure(half)
    assert measured.brightness == pytest.approx(0.5)
    assert measured.clipped == 1.0
    assert quality.measure(GREY).clipped < 0.1


def test_emptiness() -> None:
    def of(image: np.ndarray) -> str:
        return quality.emptiness(quality.measure(image.astype(np.uint8)).thumb)

    rng = np.random.default_rng(0)
    assert of(np.zeros((360, 640))) == "black"
    assert of(np.clip(rng.normal(2, 2, (360, 640)), 0, 255)) == "black"
    assert of(np.full((360, 640), 255)) == "even"
    assert of(np.clip(rng.normal(120, 3, (360, 640)), 0, 255)) == "even"
    assert of(GREY) == ""
    assert of(GREY // 8) == "", "a dark picture is not black"


def test_hash_is_stable_and_tells_pictures_apart() -> None:
    def bits(a: np.ndarray, b: np.ndarray) -> int:
        return int(np.bitwise_count(quality.dhash(quality.measure(a).thumb) ^ quality.dhash(quality.measure(b).thumb)))

    coded = cv2.imdecode(cv2.imencode(".jpg", GREY, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_GRAYSCALE)
    assert bits(GREY, coded) <= 2
    assert bits(GREY, cv2.resize(GREY, (320, 180), interpolation=cv2.INTER_AREA)) <= 2
    others = [bits(GREY, cv2.cvtColor(texture(360, 640, seed), cv2.COLOR_RGB2GRAY)) for seed in range(1, 9)]
    assert min(others) > 10
