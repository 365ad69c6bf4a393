"""Every dialect of DJI's subtitles, and what is left of broken ones. The lines are of the form that each drone writes."""

from __future__ import annotations

import pytest
from capture.telemetry_files import brackets, entry, flight_srt

from recon.capture.srt import is_telemetry, read_cues, read_srt
from recon.capture.telemetry import cleaned

FONT = '<font size="28">FrameCnt: {n}, DiffTime: 33ms\n2024-05-27 13:10:00.0{n}5\n'
DIALECTS = {
    "air 2s": (
        FONT + "[iso : 100] [ct : 5744] [latitude: 41.42472{n}] [longitude: 2.234156] [altitude: 117.000000] </font>",
        "brackets",
        (41.424721, 2.234156, 117.0, "unknown"),
    ),
    "mavic 2: a misspelt longitude, blanks before the colon": (
        FONT + "[iso : 100] [latitude : -34.86995{n}] [longtitude : -57.823395] [altitude: 74.725998] </font>",
        "brackets",
        (-34.869951, -57.823395, 74.725998, "unknown"),
    ),
    "mini 4 pro: two heights in one bracket, no font": (
        "[latitude: 59.000{n}] [longitude: 18.0000] [rel_alt: 1.0 abs_alt: 100.0] [iso : 100]",
        "brackets",
        (59.0001, 18.0, 100.0, "unknown"),
    ),
    "avata 360: angles, many more keys": (
        FONT + "[iso: 200], [latitude: 53.36508{n}] [longitude: 6.460739] [rel_alt: 5.4 abs_alt: -124.744] "
        "[gb_yaw: -162.8 gb_pitch: -20.0 gb_roll: 0.0] [shift x: 0.00, y: 0.00] [pp_target:0.0, 0.0, 0.0, 0.0]</font>",
        "brackets",
        (53.365081, 6.460739, -124.744, "unknown"),
    ),
    "phantom 4 pro: longitude first, satellites": (
        "F/3.2, SS 160, ISO 100, EV 0, GPS (8.2090, 47.469{n}, 18), D 49.21m, H 45.60m, H.S 0.00m/s, V.S 0.00m/s ",
        "flight text",
        (47.4691, 8.209, 45.6, "takeoff"),
    ),
    "mavic mini: west, speeds unknown": (
        "F/2.8, SS 30.15, ISO 260, EV -1.7, GPS (-121.7458, 48.077{n}, 17), D 221.21m, H 200.70m, H.S n/a, V.S n/a ",
        "flight text",
        (48.0771, -121.7458, 200.7, "takeoff"),
    ),
    "phantom 4 RTK: home, flight and gimbal angles": (
        "F/5.6, SS 400, ISO 100, EV 0, GPS (-58.851745, -34.23792{n}, 15), HOME (-58.847509, -34.232707, -57.98m), D 698.70m, H 85.80m, "
        "H.S 0.00m/s, V.S 0.00m/s, F.PRY (2.7°, -7.0°, 110.1°), G.PRY (-24.4°, 0.0°, 110.4°)",
        "flight text",
        (-34.237921, -58.851745, 85.8, "takeoff"),
    ),
    "mavic pro: barometer, home first": (
        "HOME(149.0251,-20.2532) 2017.08.05 14:11:51\nGPS(149.0251,-20.253{n},16) BAROMETER:1.9\nISO:100 Shutter:60 EV: Fnum:2.2",
        "barometer",
        (-20.2531, 149.0251, 1.9, "takeoff"),
    ),
    "phantom 3: Hb": (
        "HOME(149.0251,-20.2532) 2017.8.5 14:11:51\nGPS(149.0251,-20.253{n},16) Hb:1.9 Hs:1.9\nISO:100 TV:60 EV: 0 IR:F2.8",
        "barometer",
        (-20.2531, 149.0251, 1.9, "takeoff"),
    ),
    "matrice 300: latitude first, heights with a unit": (
        "2022.06.21 16:06:17\nGPS(36.614{n},-6.1120,0.0M) BAROMETER:0.3M",
        "barometer",
        (36.6141, -6.112, 0.3, "takeoff"),
    ),
    "avata 2: latitude first, a height, brackets around the barometer": (
        "GPS(39.90621{n},116.391305,69.800) BAROMETER(91.2) HOME(39.906206,116.391400)",
        "barometer",
        (39.906211, 116.391305, 91.2, "takeoff"),
    ),
}


@pytest.mark.parametrize("drone", DIALECTS)
def test_each_dialect_gives_its_position_and_height(drone: str) -> None:
    body, dialect, (lat, lon, alt, datum) = DIALECTS[drone]
    text = "\n".join(entry(n, 1000 * n - 1000, body.format(n=n)) for n in range(1, 5))
    reading = read_srt(text.encode(), "a.SRT")
    assert reading.format == f"DJI subtitles ({dialect})"
    assert reading.warnings == []
    assert [found.time_s for found in reading.entries] == [0.0, 1.0, 2.0, 3.0]
    first = reading.entries[0].gps
    assert first is not None
    assert (first.lat_deg, first.lon_deg, first.alt_m, first.alt_datum) == (lat, lon, alt, datum)
    assert reading.fixes == 4
    assert is_telemetry(text.encode())


def test_gimbal_angles_come_as_yaw_pitch_roll() -> None:
    for drone, angles in (
        ("avata 360: angles, many more keys", (-162.8, -20.0, 0.0)),
        ("phantom 4 RTK: home, flight and gimbal angles", (110.4, -24.4, 0.0)),
    ):
        reading = read_srt(entry(1, 0, DIALECTS[drone][0].format(n=1)).encode(), "a.SRT")
        assert reading.entries[0].gimbal_deg == angles


def test_few_decimals_widen_the_deviation() -> None:
    coarse = read_srt(entry(1, 0, DIALECTS["mavic mini: west, speeds unknown"][0].format(n=1)).encode(), "a.SRT").entries[0].gps
    fine = read_srt(entry(1, 0, DIALECTS["air 2s"][0].format(n=1)).encode(), "a.SRT").entries[0].gps
    assert coarse is not None
    assert fine is not None
    assert fine.sigma_m == pytest.approx((2.0, 3.0), abs=0.01)
    assert coarse.sigma_m == pytest.approx(((2.0**2 + 11.1195**2 / 12) ** 0.5, 1.0), abs=0.01)


def test_entries_without_cues_take_the_time_of_day() -> None:
    lines = [f"{n}\n2017.08.05 14:11:5{n},393,525\n[latitude : -20.253{n}] [longtitude : 149.0251] [iso : 100]\n" for n in range(1, 5)]
    reading = read_srt("\n".join(lines).encode(), "a.SRT")
    assert [found.time_s for found in reading.entries] == [0.0, 1.0, 2.0, 3.0]
    assert reading.fixes == 4


def test_no_fix_and_no_satellites_are_no_position() -> None:
    bodies = [
        "GPS(N/A,N/A,3) BAROMETER:0.0",
        "GPS(8.5000,47.3000,0) BAROMETER:0.0",
        "[latitude: 0.000000] [longitude: 0.000000] [rel_alt: 0.4 abs_alt: 269.099]",
        "GPS(8.5000,47.3000,7) BAROMETER:0.0",
    ]
    reading = read_srt("\n".join(entry(n, 1000 * n, body) for n, body in enumerate(bodies, 1)).encode(), "a.SRT")
    assert [found.gps is not None for found in reading.entries] == [False, False, False, True]


def test_a_file_of_settings_alone_has_entries_and_no_position() -> None:
    reading = read_srt(
        entry(1, 0, "FrameCnt : 1, DiffTime : 39ms\n2018-02-19 08:04:51,265\n[iso : 100] [shutter : 1/240.0]").encode(), "a.SRT"
    )
    assert (len(reading.entries), reading.fixes, reading.warnings) == (1, 0, [])
    assert cleaned(reading).warnings == ("DJI subtitles (brackets): 1 of 1 entries have no position",)


def test_entries_cut_in_the_middle_are_named_by_line_and_the_rest_is_kept() -> None:
    whole = flight_srt([0, 5, 10, 15])
    cut = whole.replace("[longitude: 8.500000] [rel_alt: 10.000 abs_alt: 110.000]\n\n3", "[longitu\n\n3", 1)
    reading = read_srt(cut.encode(), "DJI_1.SRT")
    assert [found.time_s for found in reading.entries] == [0.0, 2.0, 3.0]
    assert reading.warnings == ["DJI_1.SRT: 1 entries can't be read (line 5: cut off, or in a dialect that is not known)"]
    for length in range(len(whole)):
        torn = read_srt(whole[:length].encode(), "a.SRT")
        for found in torn.entries:
            if found.gps is None:
                continue  # cut between two brackets, before the position
            assert found.gps.lon_deg == 8.5, f"a number torn at {length} must not count"
            assert found.gps.lat_deg == pytest.approx(47.3 + 5 * found.time_s / 111195, abs=1e-6)


@pytest.mark.parametrize(("content", "said"), [(b"", "no entry in 0 bytes"), (b"1\n", "line 1: no time"), (b"\x00\x01\x02", "no entry")])
def test_empty_and_senseless_files_are_told(content: bytes, said: str) -> None:
    reading = read_srt(content, "a.SRT")
    assert reading.entries == []
    assert any(said in warning for warning in reading.warnings)
    assert len(cleaned(reading)) == 0


def test_other_encodings() -> None:
    text = flight_srt([0, 5, 10]) + entry(9, 9000, "caf\u00e9 " + brackets(47.3, 8.5))
    for content in (text.encode("utf-8-sig"), text.encode("utf-16"), text.replace("\n", "\r\n").encode()):
        assert read_srt(content, "a.SRT").warnings == []
        assert read_srt(content, "a.SRT").fixes == 4
    strange = read_srt(text.encode("latin-1"), "a.SRT")
    assert strange.fixes == 4
    assert strange.warnings == ["a.SRT is not UTF-8; other characters than plain ones may be wrong"]


def test_blank_lines_need_not_stand_between_entries() -> None:
    squeezed = "\n".join(line for line in flight_srt([0, 5, 10]).splitlines() if line)
    assert read_srt(squeezed.encode(), "a.SRT").fixes == 3


def test_two_dialects_in_one_file_keep_the_altitudes_of_the_commoner() -> None:
    phantom = DIALECTS["phantom 4 pro: longitude first, satellites"][0]
    text = "\n".join(entry(n, 1000 * n, phantom.format(n=n)) for n in range(1, 4)) + "\n" + entry(9, 9000, brackets(47.4691, 8.209))
    reading = read_srt(text.encode(), "a.SRT")
    assert reading.format == "DJI subtitles (brackets and flight text)"
    track = cleaned(reading)
    assert (track.alt_datum, track.lat_lon_alt[:3, 2].tolist()) == ("takeoff", [45.6] * 3)
    assert any("altitudes are measured from elsewhere" in warning for warning in track.warnings)


def test_absolute_altitudes_that_contradict_those_above_take_off_are_not_believed() -> None:
    text = "\n".join(entry(n, 1000 * n, brackets(47.3, 8.5 + n / 1e4, 10.0 + n, 110.0 + 10 * n)) for n in range(5))
    reading = read_srt(text.encode(), "a.SRT")
    assert [found.gps.alt_m for found in reading.entries if found.gps] == [10, 11, 12, 13, 14]
    assert "absolute altitudes do not move" in reading.warnings[0]


def test_feet_are_metres() -> None:
    body = "F/2.8, SS 1, ISO 1, EV 0, GPS (8.2090, 47.4691, 18), D 10ft, H 100.00ft, H.S 0.00m/s"
    gps = read_srt(entry(1, 0, body).encode(), "a.SRT").entries[0].gps
    assert gps is not None
    assert gps.alt_m == pytest.approx(30.48)


def test_speech_is_no_telemetry() -> None:
    assert not is_telemetry(entry(1, 0, "Where are we going?").encode())
    reading = read_cues([(0.0, "Where are we going?"), (1.0, brackets(47.3, 8.5))], "a.mp4")
    assert reading.fixes == 1
    assert "cue 1" in reading.warnings[0]
