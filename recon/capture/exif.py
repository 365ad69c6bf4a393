"""What a photo's EXIF says of its camera, position and time: nothing is believed that can't be true."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from PIL import ExifTags, Image

from recon.capture.records import Gps

Tags = Mapping[int, Any]
FocalSource = Literal["exif", "exif_35mm", "device", "none"]
"""``device``: a file of the device beside the photos states it."""

_EXIF, _GPS = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
_T = ExifTags.Base
_G = ExifTags.GPS
_FOCAL_PLANE_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
_FOCAL_SPREAD = (0.2, 40.0)
"""Focal length over longer side: from a 136 degree fisheye to a 1400 mm lens."""


@dataclass(frozen=True)
class Exif:
    """The fields of use, each None or empty where it is missing or junk."""

    camera: str = ""
    """Make, model, serial number, lens, focal length and zoom: equal for photos of one camera at one setting."""
    focal_px: float | None = None
    focal_source: FocalSource = "none"
    captured_at: str | None = None
    gps: Gps | None = None
    device: str = ""
    """Make and model alone."""


def read_exif(exif: Image.Exif, width: int, height: int) -> Exif:
    """The EXIF of an image of width x height stored pixels (before any rotation)."""
    base, sub, gps = dict(exif), _ifd(exif, _EXIF), _ifd(exif, _GPS)
    zoom = _zoom(base, sub)
    focal_px, focal_source = focal_length_px(sub, width, height, zoom)
    return Exif(_camera(base, sub), focal_px, focal_source, _captured_at(base, sub), position(gps), device_name(base))


def focal_length_px(tags: Tags, width: int, height: int, film_zoom: float = 1.0) -> tuple[float | None, FocalSource]:
    """Focal length in pixels of the stored image, and where it is from.

    By the focal plane resolution where it is stated and plausible [EXIF 2.32, 4.6.5: FocalPlaneXResolution counts pixels
    of the image as taken, PixelXDimension wide]; else by the 35 mm equivalent, which compares diagonals [CIPA DCG-001].
    ``film_zoom`` is the digital zoom that the equivalent leaves out.
    """
    focal_mm = _positive(tags.get(_T.FocalLength))
    film_mm = _positive(tags.get(_T.FocalLengthIn35mmFilm))
    by_film = film_mm / _FILM_DIAGONAL_MM * _sensor_diagonal_px(width, height, focal_mm, film_mm) * film_zoom if film_mm else None
    by_plane = _focal_from_plane(tags, focal_mm, width, height)
    if by_plane and by_film and not 0.8 < by_plane / by_film < 1.25:
        by_plane = None  # makers get the resolution's unit wrong more often than the 35 mm equivalent
    if by_plane and _plausible(by_plane, width, height):
        return by_plane, "exif"
    if by_film and _plausible(by_film, width, height):
        return by_film, "exif_35mm"
    return None, "none"


def _zoom(base: Tags, sub: Tags) -> float:
    """Digital zoom beyond what the 35 mm equivalent states: Apple's is that of the zoomed photo, others state the lens's own."""
    zoom = _positive(sub.get(_T.DigitalZoomRatio)) or 1.0
    return 1.0 if _text(base.get(_T.Make)).lower() == "apple" else max(1.0, zoom)


def _focal_from_plane(tags: Tags, focal_mm: float | None, width: int, height: int) -> float | None:
    resolution = _positive(tags.get(_T.FocalPlaneXResolution))
    unit_mm = _FOCAL_PLANE_UNIT_MM.get(_whole(tags.get(_T.FocalPlaneResolutionUnit), 2))
    if not (focal_mm and resolution and unit_mm):
        return None
    taken = (_positive(tags.get(_T.ExifImageWidth)) or width, _positive(tags.get(_T.ExifImageHeight)) or height)
    if not 2.0 < max(taken) / resolution * unit_mm < 70.0:
        return None  # no camera has such a sensor
    zoom = _positive(tags.get(_T.DigitalZoomRatio)) or 1.0
    return focal_mm * resolution / unit_mm * max(width, height) / max(taken) * max(1.0, zoom)


def _sensor_diagonal_px(width: int, height: int, focal_mm: float | None, film_mm: float) -> float:
    """Diagonal of the whole sensor: a 16:9 photo is cut from a 4:3 (small) or 3:2 (large) one of the same width."""
    long, short = max(width, height), min(width, height)
    if long / short < 1.55:
        return math.hypot(long, short)
    small = focal_mm is None or film_mm / focal_mm > 1.9
    return long * math.hypot(1.0, 3 / 4 if small else 2 / 3)


def _plausible(focal_px: float, width: int, height: int) -> bool:
    return _FOCAL_SPREAD[0] < focal_px / max(width, height) < _FOCAL_SPREAD[1]


def _camera(base: Tags, sub: Tags) -> str:
    named = [_text(base.get(_T.Make)), _text(base.get(_T.Model))]
    if not any(named):
        return ""
    serial, lens_name = _text(sub.get(_T.BodySerialNumber)), _text(sub.get(_T.LensModel))
    lens = [(_T.FocalLength, "{:.1f}mm"), (_T.FocalLengthIn35mmFilm, "35mm={:g}"), (_T.DigitalZoomRatio, "zoom={:g}")]
    settings = [
        form.format(value) for tag, form in lens if (value := _positive(sub.get(tag))) and not (tag == _T.DigitalZoomRatio and value == 1)
    ]
    return " ".join(part for part in [*named, serial, lens_name, *settings] if part)


def device_name(base: Tags) -> str:
    """Make and model, the make once: some makers write it into the model, too."""
    make, model = _text(base.get(_T.Make)), _text(base.get(_T.Model))
    return model if model.lower().startswith(make.split(" ")[0].lower()) else f"{make} {model}".strip()


def position(tags: Tags) -> Gps | None:
    """The position fix of a GPS directory, or None. The altitude's datum is as its reference byte says [EXIF 3.0, 4.6.6]."""
    lat, lon = _degrees(tags.get(_G.GPSLatitude)), _degrees(tags.get(_G.GPSLongitude))
    if lat is None or lon is None or _text(tags.get(_G.GPSStatus)).upper() == "V":
        return None
    lat *= -1 if _text(tags.get(_G.GPSLatitudeRef)).upper().startswith("S") else 1
    lon *= -1 if _text(tags.get(_G.GPSLongitudeRef)).upper().startswith("W") else 1
    if not valid_position(lat, lon):
        return None
    reference = tags.get(_G.GPSAltitudeRef, 0)
    code = reference[0] if isinstance(reference, bytes) and reference else _whole(reference, 0)
    alt = number(tags.get(_G.GPSAltitude))
    error_m = _positive(tags.get(_G.GPSHPositioningError))
    return Gps(
        lat_deg=lat,
        lon_deg=lon,
        alt_m=None if alt is None else (-alt if code in (1, 3) and alt > 0 else alt),
        alt_datum="ellipsoid" if code in (2, 3) else "sea_level" if alt is not None else "unknown",
        # EXIF states the horizontal error alone; GNSS heights are about twice as bad
        sigma_m=(error_m, 2 * error_m) if error_m and error_m < 10_000 else None,
    )


def valid_position(lat_deg: float, lon_deg: float) -> bool:
    """Whether a fix can be true: devices without one write zeros."""
    return abs(lat_deg) <= 90 and abs(lon_deg) <= 180 and not (abs(lat_deg) < 1e-6 and abs(lon_deg) < 1e-6)


def _captured_at(base: Tags, sub: Tags) -> str | None:
    text = _text(sub.get(_T.DateTimeOriginal)) or _text(sub.get(_T.DateTimeDigitized)) or _text(base.get(_T.DateTime))
    match = re.match(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)", text)
    if not match or match[1] == "0000" or not (1 <= int(match[2]) <= 12 and 1 <= int(match[3]) <= 31):
        return None
    subseconds = re.match(r"\d+", _text(sub.get(_T.SubsecTimeOriginal)))
    offset = re.match(r"[+-]\d\d:\d\d$", _text(sub.get(_T.OffsetTimeOriginal)))
    fraction = f".{subseconds[0]}" if subseconds else ""
    return f"{match[1]}-{match[2]}-{match[3]}T{match[4]}:{match[5]}:{match[6]}{fraction}{offset[0] if offset else ''}"


def _ifd(exif: Image.Exif, tag: int) -> Tags:
    try:
        return dict(exif.get_ifd(tag))
    except Exception:  # a broken directory raises whatever its bytes lead Pillow to; the photo is good without it
        return {}


def _degrees(value: Any) -> float | None:
    if not isinstance(value, (tuple, list)) or not 1 <= len(value) <= 3:
        return None
    degrees = 0.0
    for power, value_of_part in enumerate(value):
        part = number(value_of_part)
        if part is None:
            return None
        degrees += part / 60.0**power
    return degrees


def number(value: Any) -> float | None:
    """A finite float of an EXIF value, or None."""
    try:
        result = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def _positive(value: Any) -> float | None:
    result = number(value)
    return result if result is not None and result > 0 else None


def _whole(value: Any, default: int) -> int:
    result = number(value)
    return default if result is None else int(result)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return value.split("\0")[0].strip() if isinstance(value, str) else ""
