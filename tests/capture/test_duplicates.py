from __future__ import annotations

import cv2
import numpy as np
import pytest
from capture.media import pan, texture
from numpy.typing import NDArray

from recon.capture import quality
from recon.capture.duplicates import distance_m, near_duplicates
from recon.capture.records import Gps, ImageRecord


def photo(index: int, width: int = 640, sharpness: float = 0.5, gps: Gps | None = None) -> ImageRecord:
    name = f"{index}.jpg"
    return ImageRecord(
        name=name, file=name, source=name, sha256="", width=width, height=width * 3 // 4, camera="c", sharpness=sharpness, gps=gps
    )


def thumbs(images: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.array([quality.measure(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)).thumb for image in images])


SCENE = texture(480, 900)
VIEW, NEXT, OTHER = pan(SCENE, [0, 60, 200], 480, 640)


def facade() -> NDArray[np.uint8]:
    """Equal windows: a step of one period looks the same but for the edges and a little dirt."""
    wall = np.full((480, 1200, 3), 170, np.uint8)
    for x in range(0, 1200, 80):
        for y in range(40, 480, 120):
            wall[y : y + 70, x + 20 : x + 60] = 40
    dirt = cv2.GaussianBlur(texture(480, 1200, 3), (0, 0), 12).astype(np.int16) - 128
    return np.clip(wall + dirt // 2, 0, 255).astype(np.uint8)


def test_a_burst_and_a_second_export_are_dropped() -> None:
    rng = np.random.default_rng(0)
    noisy = np.clip(VIEW + rng.normal(0, 6, VIEW.shape), 0, 255).astype(np.uint8)
    coded = cv2.imdecode(cv2.imencode(".jpg", VIEW, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR)
    brighter = np.clip(VIEW.astype(int) + 6, 0, 255).astype(np.uint8)
    images = [VIEW, noisy, NEXT, coded, OTHER, brighter]
    assert near_duplicates([photo(i) for i in range(6)], thumbs(images), 2) == {1: 0, 3: 0, 5: 0}


@pytest.mark.parametrize("step", [6, 12, 25, 60])
def test_a_step_aside_is_another_view(step: int) -> None:
    images = pan(SCENE, [0, step, 2 * step], 480, 640)
    assert near_duplicates([photo(i) for i in range(3)], thumbs(images), 2) == {}


def test_views_of_equal_windows_are_not_duplicates() -> None:
    images = pan(facade(), range(0, 480, 80), 480, 640)
    assert near_duplicates([photo(i) for i in range(6)], thumbs(images), 2) == {}


def test_two_places_are_not_duplicates_however_alike() -> None:
    here, there = Gps(lat_deg=46.0, lon_deg=9.0, alt_m=100), Gps(lat_deg=46.00005, lon_deg=9.0, alt_m=100)
    images = thumbs([VIEW, VIEW])
    assert near_duplicates([photo(0, gps=here), photo(1, gps=there)], images, 2) == {}
    assert near_duplicates([photo(0, gps=here), photo(1, gps=here)], images, 2) == {1: 0}


def test_the_larger_then_the_sharper_stays() -> None:
    images = thumbs([VIEW, VIEW, VIEW])
    assert near_duplicates([photo(0, 640), photo(1, 1280), photo(2, 640)], images, 2) == {0: 1, 2: 1}
    assert near_duplicates([photo(0), photo(1, sharpness=0.6), photo(2)], images, 2) == {0: 1, 2: 1}


def test_distance() -> None:
    a = Gps(lat_deg=60.0, lon_deg=10.0, alt_m=5.0)
    assert distance_m(a, Gps(lat_deg=60.001, lon_deg=10.0, alt_m=5.0)) == pytest.approx(111.2, rel=0.01)
    assert distance_m(a, Gps(lat_deg=60.0, lon_deg=10.001)) == pytest.approx(55.6, rel=0.01)
    assert distance_m(a, Gps(lat_deg=60.0, lon_deg=10.0, alt_m=8.0)) == 3.0
