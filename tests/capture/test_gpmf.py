"""GoPro's metadata: cameras' GPS5 and GPS9, the Karma drone's own positions, and streams that are cut or damaged."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from capture.telemetry_files import device, gps5, gps9, klv, nested

from recon.capture.gpmf import Payload, is_gpmf, raw_payloads, read_gpmf
from recon.capture.telemetry import cleaned

ROWS = [(33.1253688 + 1e-5 * n, -117.3310668, 15.711 + n) for n in range(6)]


def karma(rows: list[tuple[float, float, float]], start_s: float, eph_m: float = 0.5, fix: int = 3) -> bytes:
    position = b"".join(
        struct.pack(
            ">Illlihhh H".replace(" ", ""),
            round(1000 * (start_s + 0.25 * n)),
            round(a * 1e7),
            round(b * 1e7),
            round(c * 1e3),
            0,
            0,
            0,
            0,
            0,
        )
        for n, (a, b, c) in enumerate(rows)
    )
    raw = struct.pack(">QlllHHHHBB", 1, 0, 0, 0, round(100 * eph_m), round(200 * eph_m), 0, 0, fix, 14)
    return device(
        "GoPro Karma v1.0",
        nested(
            "STRM",
            klv("TYPE", "c", 1, b"JlllSSSSBB"),
            klv("SCAL", "l", 4, struct.pack(">10l", 10**6, 10**7, 10**7, 1000, 100, 100, 100, 100, 1, 1)),
            klv("GPRI", "?", 30, raw),
        ),
        nested(
            "STRM",
            klv("TYPE", "c", 1, b"LllllsssS"),
            klv("SCAL", "l", 4, struct.pack(">9l", 1000, 10**7, 10**7, 1000, 1000, 100, 100, 100, 100)),
            klv("GLPI", "?", 28, position),
        ),
    )


def test_gps5_is_spread_over_its_payload_with_dilution_as_deviation() -> None:
    reading = read_gpmf([Payload(2.0, 1.2, gps5(ROWS, dop=2.0))], "a.mp4")
    assert reading.format == "GoPro GPMF (HERO8 Black) GPS5"
    assert [found.time_s for found in reading.entries] == pytest.approx([2.0, 2.2, 2.4, 2.6, 2.8, 3.0])
    gps = [found.gps for found in reading.entries]
    assert all(fix is not None for fix in gps)
    assert np.array([(fix.lat_deg, fix.lon_deg, fix.alt_m) for fix in gps if fix]) == pytest.approx(np.array(ROWS), abs=1e-7)
    assert gps[0] is not None
    assert (gps[0].alt_datum, gps[0].sigma_m) == ("ellipsoid", (3.0, 6.0))


def test_altitudes_are_above_the_sea_where_the_camera_says_so() -> None:
    gps = read_gpmf([Payload(0.0, 1.0, gps5(ROWS, datum="MSLV"))], "a.mp4").entries[0].gps
    assert gps is not None
    assert gps.alt_datum == "sea_level"


@pytest.mark.parametrize(("fix", "dop", "kept"), [(3, 1.5, 6), (2, 4.0, 6), (0, 99.99, 0), (3, 99.99, 0)])
def test_no_lock_and_a_bad_sky_are_no_position(fix: int, dop: float, kept: int) -> None:
    assert read_gpmf([Payload(0.0, 1.0, gps5(ROWS, fix, dop))], "a.mp4").fixes == kept
    assert read_gpmf([Payload(0.0, 1.0, gps9(ROWS, range(6), fix, dop))], "a.mp4").fixes == kept


def test_gps9_has_a_clock_of_its_own() -> None:
    reading = read_gpmf([Payload(5.0, 1.0, gps9(ROWS, [100.0, 100.1, 100.3, 100.6, 100.7, 100.8]))], "a.mp4")
    assert [found.time_s for found in reading.entries] == pytest.approx([5.0, 5.1, 5.3, 5.6, 5.7, 5.8])
    assert reading.entries[2].gps is not None
    assert reading.entries[2].gps.lat_deg == pytest.approx(ROWS[2][0], abs=1e-7)


def test_a_drones_filtered_positions_come_before_the_cameras() -> None:
    reading = read_gpmf([Payload(0.0, 1.0, gps5([(1.0, 1.0, 1.0)]) + karma(ROWS[:4], 146.071))], "a.mp4")
    assert reading.format == "GoPro GPMF (HERO8 Black, GoPro Karma v1.0) GLPI"
    assert [found.time_s for found in reading.entries] == pytest.approx([0.0, 0.25, 0.5, 0.75])
    gps = reading.entries[3].gps
    assert gps is not None
    assert (gps.lat_deg, gps.alt_m, gps.alt_datum, gps.sigma_m) == (pytest.approx(ROWS[3][0], abs=1e-7), 18.711, "sea_level", (0.5, 1.0))
    assert read_gpmf([Payload(0.0, 1.0, karma(ROWS, 1.0, fix=0))], "a.mp4").fixes == 0


def test_payloads_that_are_cut_give_what_comes_before() -> None:
    whole = gps5(ROWS[:3])
    payloads = [Payload(0.0, 1.0, whole), Payload(1.0, 1.0, whole[:-30]), Payload(2.0, 1.0, whole[:60]), Payload(3.0, 1.0, whole)]
    reading = read_gpmf(payloads, "a.mp4")
    assert [found.time_s for found in reading.entries if found.time_s < 1] == pytest.approx([0, 1 / 3, 2 / 3])
    assert [found.time_s for found in reading.entries if found.time_s >= 3] == pytest.approx([3, 10 / 3, 11 / 3])
    assert "2 of 4 payloads are cut or damaged" in reading.warnings[0]
    for length in range(0, len(whole), 3):  # cut anywhere: never a crash, never a wrong place
        for found in read_gpmf([Payload(0.0, 1.0, whole[:length])], "a.mp4").entries:
            assert found.gps is None or found.gps.lon_deg == pytest.approx(-117.3310668, abs=1e-7)


def test_noise_is_survived(rng: np.random.Generator) -> None:
    whole = bytearray(gps5(ROWS) + karma(ROWS, 1.0))
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 6):
            damaged[place] = int(rng.integers(256))
        track = cleaned(read_gpmf([Payload(0.0, 1.0, bytes(damaged))], "a.mp4"))
        assert np.isfinite(track.lat_lon_alt).all()


def test_raw_streams_fall_into_payloads_at_the_first_device() -> None:
    stream = b"".join(gps5(ROWS[:2]) for _ in range(3))
    payloads = raw_payloads(stream)
    assert [payload.start_s for payload in payloads] == pytest.approx([0, 1.001, 2.002])
    assert read_gpmf(payloads, "a.raw").fixes == 6
    assert is_gpmf(stream)
    assert not is_gpmf(b"\0\0\0")
    assert raw_payloads(b"nothing") == []
