"""What DJI drones write into a photo's XMP beyond EXIF: gimbal angles, better positions, RTK accuracy.

Fields as in DJI's "Image Metadata" notes for developers and in photos: ``drone-dji:AbsoluteAltitude="+198.31"``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from recon.capture.exif import number, valid_position
from recon.capture.records import Gps

# By pattern, not by an XML parser: packets are often cut short or padded, and entities are no risk this way
_ATTRIBUTE = re.compile(rb"drone-dji:(\w+)\s*=\s*[\"']([^\"'<>]*)[\"']")
_ELEMENT = re.compile(rb"<drone-dji:(\w+)>([^<>]*)</drone-dji:")


def fields(xmp: bytes) -> dict[str, float]:
    """All finite numbers of the drone-dji namespace."""
    found = {key.decode(): number(value.decode("ascii", "replace")) for key, value in _ELEMENT.findall(xmp) + _ATTRIBUTE.findall(xmp)}
    return {key: value for key, value in found.items() if value is not None}


def gimbal_deg(dji: Mapping[str, float]) -> tuple[float, float, float] | None:
    """Yaw (clockwise from north), pitch (-90 looks down), roll; None where one is missing or all are a default."""
    if not {"GimbalYawDegree", "GimbalPitchDegree", "GimbalRollDegree"} <= dji.keys():
        return None
    return dji["GimbalYawDegree"], dji["GimbalPitchDegree"], dji["GimbalRollDegree"]


def focal_px(dji: Mapping[str, float], longer_side_px: int) -> float | None:
    """The factory calibration's focal length, where the drone states one that can be true."""
    focal = dji.get("CalibratedFocalLength", 0.0)
    return focal if 0.2 < focal / longer_side_px < 40 else None


def refine_gps(gps: Gps | None, dji: Mapping[str, float]) -> Gps | None:
    """The EXIF fix with what the XMP knows better.

    Coordinates have more digits. An RTK solution states its deviations and measures from the ellipsoid; without RTK,
    AbsoluteAltitude is a barometer's, from an origin that differs between models: datum "unknown", good for differences.
    A photo with RelativeAltitude alone gets that, above take-off.
    """
    lat = dji.get("GpsLatitude", dji.get("Latitude"))
    lon = dji.get("GpsLongitude", dji.get("GpsLongtitude", dji.get("Longitude")))  # sic: DJI misspells it
    if lat is not None and lon is not None and valid_position(lat, lon) and (gps is None or _near(gps, lat, lon)):
        gps = (gps or Gps(lat_deg=lat, lon_deg=lon)).model_copy(update={"lat_deg": lat, "lon_deg": lon})
    if gps is None:
        return None
    absolute, relative = dji.get("AbsoluteAltitude"), dji.get("RelativeAltitude")
    gps = gps.model_copy(update={"sigma_m": gps.sigma_m or _stated_m(dji)})
    sigma = _rtk_sigma_m(dji)
    if absolute is not None:
        return gps.model_copy(update={"alt_m": absolute, "alt_datum": "ellipsoid" if sigma else "unknown", "sigma_m": sigma or gps.sigma_m})
    if relative is not None and gps.alt_m is None:
        return gps.model_copy(update={"alt_m": relative, "alt_datum": "takeoff"})
    return gps


def _stated_m(dji: Mapping[str, float]) -> tuple[float, float] | None:
    """Accuracies in the ``Camera`` namespace (see ``dronexmp``)."""
    stated = dji.get("AccuracyXY", 0.0), dji.get("AccuracyZ", 0.0)
    return stated if all(0 < value < 100 for value in stated) else None


def _near(gps: Gps, lat_deg: float, lon_deg: float) -> bool:
    return math.hypot(gps.lat_deg - lat_deg, (gps.lon_deg - lon_deg) * math.cos(math.radians(lat_deg))) < 0.01


def _rtk_sigma_m(dji: Mapping[str, float]) -> tuple[float, float] | None:
    if not dji.get("RtkFlag"):
        return None
    sigma = max(dji.get("RtkStdLon", 0.0), dji.get("RtkStdLat", 0.0)), dji.get("RtkStdHgt", 0.0)
    return sigma if all(0 < value < 100 for value in sigma) else None
