"""XMP of other makers' drones, in the forms that their photos have."""

from __future__ import annotations

from recon.capture import dji
from recon.capture.dronexmp import fields
from recon.capture.records import Gps


def test_parrot_counts_pitch_as_dji_does() -> None:
    xmp = b"""<drone-parrot:CameraYawDegree>176.310745</drone-parrot:CameraYawDegree>
    <drone-parrot:CameraPitchDegree>-78.362686</drone-parrot:CameraPitchDegree>
    <drone-parrot:CameraRollDegree>-0.322913</drone-parrot:CameraRollDegree>"""
    assert dji.gimbal_deg(fields(xmp, "Parrot Anafi")) == (176.310745, -78.362686, -0.322913)


def test_the_camera_namespace_counts_pitch_from_straight_down_for_those_who_mean_it_so() -> None:
    xmp = (
        b'<rdf:Description Camera:Yaw="62.1" Camera:Pitch="13.9" Camera:Roll="3.7" Camera:GPSXYAccuracy="1.2" Camera:GPSZAccuracy="17/10"/>'
    )
    assert dji.gimbal_deg(fields(xmp, "senseFly S.O.D.A.")) == (62.1, -76.1, 3.7)
    assert dji.gimbal_deg(fields(xmp, "Autel Robotics XT701")) is None
    refined = dji.refine_gps(Gps(lat_deg=1.0, lon_deg=2.0, alt_m=3.0, alt_datum="sea_level"), fields(xmp, "senseFly"))
    assert refined is not None
    assert (refined.sigma_m, refined.alt_datum) == ((1.2, 1.7), "sea_level")


def test_skydio_names_angles_of_several_frames_and_the_cameras_count() -> None:
    as_attributes = b"""<drone-skydio:VehicleOrientationNED drone-skydio:Roll="1" drone-skydio:Pitch="2" drone-skydio:Yaw="3"/>
    <drone-skydio:CameraOrientationNED drone-skydio:Roll="0.2" drone-skydio:Pitch="-84.0" drone-skydio:Yaw="146.5"/>"""
    as_elements = b"""<drone-skydio:VehicleOrientationNED rdf:parseType="Resource"><drone-skydio:Yaw>3</drone-skydio:Yaw>
    <drone-skydio:Pitch>2</drone-skydio:Pitch><drone-skydio:Roll>1</drone-skydio:Roll></drone-skydio:VehicleOrientationNED>
    <drone-skydio:CameraOrientationNED rdf:parseType="Resource"><drone-skydio:Yaw>146.5</drone-skydio:Yaw>
    <drone-skydio:Pitch>-84.0</drone-skydio:Pitch><drone-skydio:Roll>0.2</drone-skydio:Roll></drone-skydio:CameraOrientationNED>"""
    for xmp in (as_attributes, as_elements):
        assert dji.gimbal_deg(fields(xmp, "Skydio X2")) == (146.5, -84.0, 0.2)
    position = fields(b'<x drone-skydio:Latitude="47.1" drone-skydio:Longitude="8.2" drone-skydio:AbsoluteAltitude="430"/>', "Skydio")
    assert position == {"GpsLatitude": 47.1, "GpsLongitude": 8.2}, "its altitude is EXIF's, above the sea"


def test_autel_writes_djis_names_under_its_own_space() -> None:
    xmp = b'<x drone:GimbalYawDegree="10" drone:GimbalPitchDegree="-45" drone:GimbalRollDegree="0" drone:RelativeAltitude="31.5"/>'
    found = fields(xmp, "Autel Robotics XL709")
    assert dji.gimbal_deg(found) == (10.0, -45.0, 0.0)
    assert found["RelativeAltitude"] == 31.5


def test_djis_own_values_win_and_junk_is_passed_over() -> None:
    xmp = b'<x drone:GimbalYawDegree="10" drone-dji:GimbalYawDegree="20" drone:RtkFlag="none" Camera:GPSXYAccuracy="1/0"/>'
    assert fields(xmp, "DJI") == {"GimbalYawDegree": 20.0}
    assert fields(b"\xff\xfe\x00", "") == {}
