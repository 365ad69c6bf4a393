"""What drones of other makers than DJI write into a photo's XMP, under DJI's names and in its conventions.

Angles: yaw clockwise from north, pitch -90 down. Parrot (``drone-parrot``), Skydio (``drone-skydio``) and Autel (``drone``) count
pitch as DJI does. The ``Camera`` namespace, which Pix4D defined and senseFly, Sentera and Parrot's Sequoia write, counts it from
straight down.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from recon.capture import dji
from recon.capture.exif import number

_ATTRIBUTE = re.compile(rb"\b([\w-]+):(\w+)\s*=\s*[\"']([^\"'<>]*)[\"']")
_ELEMENT = re.compile(rb"<([\w-]+):(\w+)>([^<>]*)</")
_SKYDIO_CAMERA = re.compile(rb"<drone-skydio:CameraOrientationNED\b(.*?)(?:/>|</drone-skydio:CameraOrientationNED>)", re.DOTALL)
_ANGLES = ("Yaw", "Pitch", "Roll")
_FROM_NADIR = ("sensefly", "sentera", "parrot")
_SAME = ("GpsLatitude", "GpsLongitude", "RelativeAltitude", "RtkFlag", "RtkStdLon", "RtkStdLat", "RtkStdHgt")
_RENAMED = {
    "drone-parrot": {f"Camera{angle}Degree": f"Gimbal{angle}Degree" for angle in _ANGLES},
    "drone-skydio": {"Latitude": "GpsLatitude", "Longitude": "GpsLongitude", **{name: name for name in _SAME}},
    "drone": {f"Gimbal{angle}Degree": f"Gimbal{angle}Degree" for angle in _ANGLES} | {name: name for name in (*_SAME, "AbsoluteAltitude")},
    "Camera": {"GPSXYAccuracy": "AccuracyXY", "GPSZAccuracy": "AccuracyZ"},
}
"""Skydio's and Parrot's altitudes are EXIF's, above the sea: not taken from here, where they would count as DJI's barometer."""


def fields(xmp: bytes, maker: str) -> dict[str, float]:
    """Finite numbers by DJI's names; DJI's own come first. ``maker`` is EXIF's, which tells how the ``Camera`` namespace counts."""
    found: dict[str, float] = {}
    values = dict(_values(xmp))
    for (space, name), value in values.items():
        if known := _RENAMED.get(space, {}).get(name):
            found.setdefault(known, value)
    found = _camera_angles(values, maker) | _skydio_angles(xmp) | found
    return found | dji.fields(xmp)


def _values(xmp: bytes) -> Iterator[tuple[tuple[str, str], float]]:
    for space, name, text in _ELEMENT.findall(xmp) + _ATTRIBUTE.findall(xmp):
        value = _number(text)
        if value is not None:
            yield (space.decode(), name.decode()), value


def _number(text: bytes) -> float | None:
    """Also of a fraction, as XMP writes rationals."""
    top, slash, bottom = text.decode("ascii", "replace").strip().partition("/")
    value, divisor = number(top), number(bottom) if slash else 1.0
    return None if value is None or not divisor else value / divisor


def _camera_angles(values: dict[tuple[str, str], float], maker: str) -> dict[str, float]:
    angles = [values.get(("Camera", angle)) for angle in _ANGLES]
    if not maker.lower().startswith(_FROM_NADIR) or any(angle is None for angle in angles):
        return {}
    yaw, pitch, roll = (float(angle or 0.0) for angle in angles)
    return {"GimbalYawDegree": yaw, "GimbalPitchDegree": pitch - 90.0, "GimbalRollDegree": roll}


def _skydio_angles(xmp: bytes) -> dict[str, float]:
    """Several frames of reference hold values of one name: those of the camera, north-east-down."""
    block = _SKYDIO_CAMERA.search(xmp)
    if not block:
        return {}
    values = dict(_values(block[1]))
    angles = {f"Gimbal{angle}Degree": values.get(("drone-skydio", angle)) for angle in _ANGLES}
    return {name: value for name, value in angles.items() if value is not None}
