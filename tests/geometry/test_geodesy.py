"""Local frames against pyproj's own geocentric coordinates, and by their laws."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest

from recon.geometry.geodesy import LocalFrame, utm_crs

PLACES = [(46.8, -91.99, 180.0), (-33.9, 18.4, 20.0), (0.0, 179.9999, 0.0), (78.2, 15.6, 5.0)]


@pytest.mark.parametrize("place", PLACES)
def test_there_and_back_is_exact_to_a_micrometre(place: tuple[float, float, float], rng: np.random.Generator) -> None:
    frame = LocalFrame.at(*place)
    xyz = rng.uniform(-2000, 2000, (50, 3))
    np.testing.assert_allclose(frame.from_geodetic(frame.to_geodetic(xyz)), xyz, atol=1e-6)


@pytest.mark.parametrize("place", PLACES)
def test_distances_are_those_of_geocentric_coordinates(place: tuple[float, float, float], rng: np.random.Generator) -> None:
    frame = LocalFrame.at(*place)
    xyz = rng.uniform(-1000, 1000, (20, 3))
    lat, lon, alt = frame.to_geodetic(xyz).T
    geocentric = np.column_stack(pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True).transform(lon, lat, alt))
    ours = np.linalg.norm(xyz[1:] - xyz[:-1], axis=1)
    np.testing.assert_allclose(np.linalg.norm(geocentric[1:] - geocentric[:-1], axis=1), ours, atol=1e-4)


@pytest.mark.parametrize("place", PLACES)
def test_axes_are_east_north_up(place: tuple[float, float, float]) -> None:
    lat, lon, alt = place
    frame = LocalFrame.at(*place)
    moved = frame.from_geodetic(np.array([[lat, lon, alt], [lat, lon + 1e-4, alt], [lat + 1e-4, lon, alt], [lat, lon, alt + 7]]))
    np.testing.assert_allclose(moved[0], 0, atol=1e-6)
    assert moved[1, 0] > 1
    assert abs(moved[1, 1]) < 1e-3
    assert moved[2, 1] > 11
    assert abs(moved[2, 0]) < 1e-3
    np.testing.assert_allclose(moved[3], [0, 0, 7], atol=1e-6)


def test_projected_coordinates_are_those_of_the_utm_zone() -> None:
    frame = LocalFrame.at(46.8426, -91.9946, 180.0)
    assert frame.crs == "EPSG:32615"
    east, north = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32615", always_xy=True).transform(-91.9946, 46.8426)
    np.testing.assert_allclose(frame.to_projected(np.zeros((1, 3)))[0], [east, north, 180.0], atol=1e-4)


ZONES = {
    (47, 8): "EPSG:32632",
    (-33.9, 18.4): "EPSG:32734",
    (0.1, 179.99): "EPSG:32660",
    (0.1, -180.0): "EPSG:32601",
    (60, 4): "EPSG:32632",
    (60, 2): "EPSG:32631",
    (78, 8.9): "EPSG:32631",
    (78, 9.1): "EPSG:32633",
    (78, 32): "EPSG:32635",
    (78, 41): "EPSG:32637",
    (78, 43): "EPSG:32638",
    (87, 3): "EPSG:5041",
    (-85, 3): "EPSG:5042",
}


@pytest.mark.parametrize(("lat", "lon", "crs"), [(*place, crs) for place, crs in ZONES.items()])
def test_utm_zones_with_those_of_norway_and_svalbard(lat: float, lon: float, crs: str) -> None:
    assert utm_crs(lat, lon) == crs


def test_a_frame_without_origin_is_none() -> None:
    assert LocalFrame.from_georef({"origin": None, "crs": None}) is None
