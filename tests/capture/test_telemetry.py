"""Tracks: what can't be true is left out and counted, and positions are given at any time in between."""

from __future__ import annotations

import numpy as np
import pytest
from capture.telemetry_files import HOME, METRE

from recon.capture.records import Gps
from recon.capture.telemetry import Entry, Reading, Track, cleaned


def reading(norths_m: list[float], step_s: float = 1.0, quantum_deg: float = 1e-6, **gps: object) -> Reading:
    """A flight to the north from HOME."""
    entries = []
    for n, north in enumerate(norths_m):
        fix = Gps(**{"lat_deg": HOME[0] + north * METRE, "lon_deg": HOME[1], "alt_m": 100.0, "sigma_m": (2.0, 3.0), **gps})
        entries.append(Entry(step_s * n, fix))
    return Reading("test", entries, quantum_deg=quantum_deg)


def straight(count: int = 10) -> list[float]:
    return [5.0 * n for n in range(count)]


def test_a_good_flight_is_kept_whole_and_silent() -> None:
    track = cleaned(reading(straight()), 9.5)
    assert (len(track), track.entries, track.warnings) == (10, 10, ())
    assert track.extent_m == pytest.approx(45.0, abs=0.1)
    assert track.sigma_m.tolist() == [[2.0, 3.0]] * 10


def test_positions_between_fixes_and_none_beyond_them() -> None:
    track = cleaned(reading(straight()))
    middle = track.gps_at(3.4)
    assert middle is not None
    assert (middle.lat_deg - HOME[0]) / METRE == pytest.approx(17.0, abs=1e-3)
    assert (middle.alt_m, middle.sigma_m) == (100.0, (2.0, 3.0))
    for time in (0.0, 9.0):
        at = track.gps_at(time)
        assert at is not None
        assert (at.lat_deg - HOME[0]) / METRE == pytest.approx(5 * time, abs=1e-3)
    assert track.gps_at(-0.1) is None
    assert track.gps_at(9.1) is None


def test_nothing_is_invented_in_a_gap() -> None:
    rows = reading(straight(20))
    rows.entries = [found for found in rows.entries if not 5 < found.time_s < 10]
    track = cleaned(rows)
    assert track.gps_at(7.0) is None
    assert track.gps_at(5.0) is not None
    assert track.gps_at(10.0) is not None
    assert track.gps_at(12.5) is not None


def test_zeros_are_no_position() -> None:
    rows = reading(straight())
    rows.entries[4] = Entry(4.0, Gps(lat_deg=0.0, lon_deg=0.0))
    track = cleaned(rows)
    assert len(track) == 9
    assert track.warnings == ("test: 1 of 10 entries have no position",)


def test_jumps_of_500_m_are_left_out_alone_and_in_groups() -> None:
    norths = straight(30)
    norths[10] += 500
    norths[20:23] = [n + 500 for n in norths[20:23]]
    track = cleaned(reading(norths, step_s=0.1))
    assert len(track) == 26
    assert track.warnings == ("test: 4 positions of 30 are left out: they jump, faster than 70 m/s",)
    first = cleaned(reading([900.0, *straight(10)], step_s=0.1))
    assert len(first) == 10


def test_a_receiver_that_stops_is_not_a_drone_that_hovers_for_a_moment() -> None:
    stopped = cleaned(reading([*straight(10), *[45.0] * 40], step_s=0.5))
    assert stopped.times_s[-1] == pytest.approx(4.5)
    assert "repeated for longer than 3 s" in stopped.warnings[0]
    hovering = cleaned(reading([*straight(10), *[45.0] * 5, *[45.0 + 5 * n for n in range(1, 10)]], step_s=0.5))
    assert hovering.warnings == ()
    coarse = cleaned(reading([11.0 * (n // 12) for n in range(60)], quantum_deg=1e-4))
    assert coarse.warnings == (), "a slow flight in steps of 11 m"


def test_devices_repeat_a_position_until_they_have_a_new_one() -> None:
    track = cleaned(reading([5.0 * (n // 6) for n in range(60)], step_s=1 / 30))
    assert track.times_s == pytest.approx([n / 5 for n in range(10)])


def test_all_at_one_point_is_told() -> None:
    track = cleaned(reading([0.01 * n for n in range(20)]))
    assert "they tell" not in track.warnings[0]
    assert track.warnings == ("test: all 20 positions lie within 0.2 m: that tells the place, not the scale",)


@pytest.mark.parametrize(
    ("duration_s", "said"),
    [(5.0, "positions go on to 19.0 s"), (60.0, "positions from 0.0 s to 19.0 s alone, of 60.0 s"), (20.0, "")],
)
def test_telemetry_longer_or_shorter_than_its_video(duration_s: float, said: str) -> None:
    warnings = cleaned(reading(straight(20)), duration_s).warnings
    assert warnings == () if not said else said in warnings[0]


def test_telemetry_of_another_time_is_told() -> None:
    rows = reading(straight())
    rows.entries = [Entry(found.time_s + 900, found.gps) for found in rows.entries]
    assert "begin at 900.0 s, after the video's end at 30.0 s" in cleaned(rows, 30.0).warnings[0]


def test_order_and_repeated_times_do_not_matter() -> None:
    rows = reading(straight())
    rows.entries = [*rows.entries[5:], *rows.entries[:5], rows.entries[3]]
    assert cleaned(rows).times_s.tolist() == list(range(10))


def test_a_flight_over_the_date_line_goes_the_short_way() -> None:
    rows = reading(straight(4))
    for n, lon in enumerate((179.9998, 179.9999, -180.0, -179.9999)):
        rows.entries[n] = Entry(n, Gps(lat_deg=-17.0, lon_deg=lon, alt_m=1.0))
    track = cleaned(rows)
    assert len(track) == 4
    middle = track.gps_at(1.5)
    assert middle is not None
    assert abs(middle.lon_deg) == pytest.approx(179.99995)
    assert track.extent_m < 40


def test_gimbal_angles_turn_the_short_way() -> None:
    rows = reading(straight(3))
    rows.entries = [
        Entry(0.0, rows.entries[0].gps, (350.0, -30.0, 0.0)),
        Entry(1.0, rows.entries[1].gps, (10.0, -30.0, 0.0)),
        Entry(2.0, rows.entries[2].gps, (190.0, -90.0, 180.0)),
    ]
    track = cleaned(rows)
    turned = track.gimbal_at(0.5)
    assert turned is not None
    assert turned[0] % 360 == pytest.approx(0.0, abs=1e-3) or turned[0] % 360 == pytest.approx(360.0, abs=1e-3)
    assert turned[1] == pytest.approx(-30.0, abs=1e-3)
    assert track.gimbal_at(2.5) is None


def test_json_gives_the_same_track() -> None:
    rows = reading(straight(), alt_m=None)
    track = cleaned(rows)
    again = Track.from_json(track.as_json())
    assert again.gps_at(3.3) == track.gps_at(3.3)
    assert np.isnan(again.lat_lon_alt[:, 2]).all()
    assert Track.from_json(cleaned(Reading("nothing")).as_json()).gps_at(0.0) is None
    assert Track.of({"telemetry": None}) is None
