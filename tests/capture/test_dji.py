from __future__ import annotations

import pytest

from recon.capture import dji
from recon.capture.records import Gps

FIX = Gps(lat_deg=46.8426, lon_deg=-91.9945, alt_m=200.0, alt_datum="sea_level")


def packet(**values: str) -> bytes:
    return ("<rdf:Description " + " ".join(f'drone-dji:{key}="{value}"' for key, value in values.items()) + ">").encode()


def test_reads_attributes_elements_and_no_junk() -> None:
    xmp = packet(GimbalYawDegree="+45.00", GimbalPitchDegree="-89.90") + b"<drone-dji:GimbalRollDegree>0.5</drone-dji:GimbalRollDegree>"
    found = dji.fields(xmp + packet(Version="1.0 beta", Bad="nan", Cut="12") + b'drone-dji:Torn="1')
    assert found == {"GimbalYawDegree": 45.0, "GimbalPitchDegree": -89.9, "GimbalRollDegree": 0.5, "Cut": 12.0}
    assert dji.gimbal_deg(found) == (45.0, -89.9, 0.5)
    assert dji.gimbal_deg({"GimbalYawDegree": 45.0}) is None
    assert dji.fields(b"") == {}


def test_absolute_altitude_is_of_unknown_datum_without_rtk() -> None:
    gps = dji.refine_gps(FIX, dji.fields(packet(AbsoluteAltitude="+198.31", RelativeAltitude="+39.80")))
    assert gps is not None
    assert (gps.alt_m, gps.alt_datum, gps.sigma_m) == (198.31, "unknown", None)


def test_rtk_states_its_accuracy_above_the_ellipsoid() -> None:
    xmp = packet(RtkFlag="50", RtkStdLon="0.011", RtkStdLat="0.012", RtkStdHgt="0.025", AbsoluteAltitude="101.5")
    gps = dji.refine_gps(FIX, dji.fields(xmp))
    assert gps is not None
    assert (gps.alt_m, gps.alt_datum, gps.sigma_m) == (101.5, "ellipsoid", (0.012, 0.025))


def test_more_digits_are_taken_from_a_near_position_only() -> None:
    near = dji.refine_gps(FIX, dji.fields(packet(GpsLatitude="46.84261234", GpsLongtitude="-91.99451234")))
    assert near is not None
    assert (near.lat_deg, near.lon_deg) == (46.84261234, -91.99451234)
    assert dji.refine_gps(FIX, dji.fields(packet(GpsLatitude="12.0", GpsLongitude="9.0"))) == FIX
    assert dji.refine_gps(None, dji.fields(packet(GpsLatitude="0.0", GpsLongitude="0.0"))) is None
    assert dji.refine_gps(None, dji.fields(packet(AbsoluteAltitude="10"))) is None


def test_relative_altitude_serves_where_there_is_no_other() -> None:
    gps = dji.refine_gps(Gps(lat_deg=1.0, lon_deg=2.0), dji.fields(packet(RelativeAltitude="40")))
    assert gps is not None
    assert (gps.alt_m, gps.alt_datum) == (40.0, "takeoff")


@pytest.mark.parametrize(("value", "focal"), [("3666.67", 3666.67), ("0", None), ("3", None)])
def test_calibrated_focal_length(value: str, focal: float | None) -> None:
    assert dji.focal_px(dji.fields(packet(CalibratedFocalLength=value)), 5472) == focal


def test_a_single_point_fix_keeps_the_deviation_that_the_receiver_states() -> None:
    gps = dji.refine_gps(FIX, dji.fields(packet(RtkFlag="16", RtkStdLon="1.2", RtkStdLat="1.4", RtkStdHgt="2.6", AbsoluteAltitude="1")))
    assert gps is not None
    assert gps.sigma_m == (1.4, 2.6)
