from __future__ import annotations

import math
from typing import Any

import pytest
from capture.media import exif, rational

from recon.capture.exif import focal_length_px, position, read_exif

FOCAL, FILM, PLANE_X, UNIT, TAKEN_W, TAKEN_H, ZOOM = 0x920A, 0xA405, 0xA20E, 0xA210, 0xA002, 0xA003, 0xA404
NAN = float("nan")


def test_focal_length_from_the_focal_plane() -> None:
    """Canon 5D II: 5616 px on 36 mm; 50 mm make 7800 px."""
    tags = {FOCAL: 50.0, PLANE_X: 5616 / (36 / 25.4), UNIT: 2, TAKEN_W: 5616, TAKEN_H: 3744, FILM: 50}
    focal, source = focal_length_px(tags, 5616, 3744)
    assert source == "exif"
    assert focal == pytest.approx(7800, rel=1e-9)
    half, _ = focal_length_px(tags, 2808, 1872)
    assert half == pytest.approx(3900, rel=1e-9)
    upright, _ = focal_length_px(tags, 3744, 5616)
    assert upright == pytest.approx(7800, rel=1e-9)


@pytest.mark.parametrize(("unit", "per_unit"), [(2, 25.4), (3, 10.0), (4, 1.0), (5, 0.001)])
def test_units_of_the_focal_plane(unit: int, per_unit: float) -> None:
    tags = {FOCAL: 10.0, PLANE_X: 4000 / 13.0 * per_unit, UNIT: unit}
    assert focal_length_px(tags, 4000, 3000)[0] == pytest.approx(10 * 4000 / 13, rel=1e-9)


def test_a_wrong_unit_loses_against_the_35_mm_equivalent() -> None:
    tags = {FOCAL: 50.0, PLANE_X: 5616 / (36 / 25.4), UNIT: 3, FILM: 50}
    focal, source = focal_length_px(tags, 5616, 3744)
    assert source == "exif_35mm"
    assert focal == pytest.approx(7800, rel=2e-3)


def test_the_35_mm_equivalent_compares_diagonals() -> None:
    assert focal_length_px({FILM: 26}, 4032, 3024)[0] == pytest.approx(26 / 43.267 * 5040, rel=1e-4)
    whole = focal_length_px({FILM: 20, FOCAL: 3.61}, 4000, 3000)[0]
    cut = focal_length_px({FILM: 20, FOCAL: 3.61}, 4000, 2250)[0]
    assert cut == pytest.approx(whole), "a 16:9 photo is cut from the 4:3 sensor"


def test_digital_zoom_lengthens_the_focal_length_from_the_plane_only() -> None:
    tags = {FOCAL: 4.0, PLANE_X: 4000 / 6.0, UNIT: 4, ZOOM: 2.0}
    assert focal_length_px(tags, 4000, 3000)[0] == pytest.approx(2 * 4 * 4000 / 6)
    assert focal_length_px({FILM: 52, ZOOM: 2.0}, 4000, 3000)[0] == pytest.approx(52 / 43.267 * 5000, rel=1e-4)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {FOCAL: 0.0, FILM: 0},
        {FOCAL: NAN, FILM: NAN},
        {FILM: "?"},
        {FILM: 65535},
        {FILM: (26,)},
        {FOCAL: 50.0},
        {FOCAL: 50.0, PLANE_X: 0.0},
        {FOCAL: 50.0, PLANE_X: 1e9},
        {FOCAL: math.inf, PLANE_X: 4000.0},
    ],
)
def test_junk_gives_no_focal_length(tags: dict[int, Any]) -> None:
    assert focal_length_px(tags, 4000, 3000) == (None, "none")


def fix(**changes: Any) -> dict[int, Any]:
    tags: dict[int, Any] = {1: "N", 2: (46.0, 50.0, 33.3855), 3: "W", 4: (91.0, 59.0, 40.4156), 5: b"\x00", 6: 198.309}
    return {**tags, **{int(key[1:]): value for key, value in changes.items()}}


def test_position_signs_and_datum() -> None:
    gps = position(fix())
    assert gps is not None
    assert gps.lat_deg == pytest.approx(46.84260708, abs=1e-8)
    assert gps.lon_deg == pytest.approx(-91.99455989, abs=1e-8)
    assert (gps.alt_m, gps.alt_datum) == (198.309, "sea_level")
    south = position(fix(_1="S", _3="E", _5=b"\x01", _6=12.0))
    assert south is not None
    assert (south.lat_deg < 0, south.lon_deg > 0, south.alt_m) == (True, True, -12.0)
    ellipsoid = position(fix(_5=b"\x02"))
    assert ellipsoid is not None
    assert ellipsoid.alt_datum == "ellipsoid"
    flat = position({key: value for key, value in fix(_31=4.0).items() if key not in (5, 6)})
    assert flat is not None
    assert (flat.alt_m, flat.alt_datum, flat.sigma_m) == (None, "unknown", (4.0, 8.0))


@pytest.mark.parametrize(
    "tags",
    [
        {},
        fix(_2=(0.0, 0.0, 0.0), _4=(0.0, 0.0, 0.0)),
        fix(_2=(NAN, 0.0, 0.0)),
        fix(_2=(95.0, 0.0, 0.0)),
        fix(_4=(181.0, 0.0, 0.0)),
        fix(_4=None),
        fix(_2="46 N"),
        fix(_9="V"),
        {1: "N", 2: (46.0, 50.0, 33.0)},
    ],
)
def test_no_position_from_junk(tags: dict[int, Any]) -> None:
    assert position(tags) is None


def test_camera_key_tells_zooms_and_bodies_apart() -> None:
    def camera(serial: str, focal: float, make: str = "NIKON") -> str:
        made = exif({0x010F: make, 0x0110: "D60\0\0"}, {FOCAL: rational(focal), 0xA431: serial})
        return read_exif(made, 4000, 3000).camera

    assert camera("17", 29.0) == "NIKON D60 17 29.0mm"
    assert len({camera("17", 29.0), camera("18", 29.0), camera("17", 35.0)}) == 3
    assert camera("17", 29.01) == camera("17", 29.0)
    assert read_exif(exif({}, {FOCAL: rational(29.0)}), 40, 30).camera == ""


def test_capture_time() -> None:
    def at(sub: dict[int, Any]) -> str | None:
        return read_exif(exif({}, sub), 40, 30).captured_at

    assert at({0x9003: "2024:05:17 09:01:02"}) == "2024-05-17T09:01:02"
    assert at({0x9003: "2024:05:17 09:01:02", 0x9291: "07 ", 0x9011: "+02:00"}) == "2024-05-17T09:01:02.07+02:00"
    assert at({0x9003: "0000:00:00 00:00:00"}) is None
    assert at({0x9003: "soon"}) is None
