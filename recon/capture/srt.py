"""Subtitles that DJI drones write beside a video, or into it: telemetry as text, in a dialect of each generation.

One entry a frame or a second. What the dialects call a position, and which way round, was read off real files:

| dialect | position | height |
|---|---|---|
| brackets | ``[latitude: 41.4] [longitude: 2.2]``, also ``longtitude`` | ``[rel_alt: 5.4 abs_alt: 98.1]`` or ``[altitude: 117.0]`` |
| flight text | ``GPS (lon, lat, satellites)`` | ``H 85.80m`` above take-off |
| barometer | ``GPS(lon,lat,satellites)``; ``GPS(lat,lon,height)`` if the third has decimals or a unit | ``BAROMETER:1.9``, ``Hb:1.9`` |
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Literal

from recon.capture.exif import valid_position
from recon.capture.records import Gps
from recon.capture.telemetry import DEGREE_M, Datum, Entry, Reading

Dialect = Literal["brackets", "flight text", "barometer"]
_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_CUE = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})\s*-+>\s*(\d+):(\d\d):(\d\d)[,.](\d{1,3})")
_CLOCK = re.compile(r"(\d{4})[.-](\d{1,2})[.-](\d{1,2}) (\d{1,2}):(\d\d):(\d\d)(?:[.,](\d{1,3}))?")
_TAG = re.compile(r"</?font[^>]*>", re.IGNORECASE)
# A number counts once something follows that ends it: of an entry cut in the middle the last one may lack digits
_KEY = re.compile(
    rf"\b(latitude|longt?itude|rel_alt|abs_alt|altitude|gb_yaw|gb_pitch|gb_roll)\s*:\s*({_NUMBER})(?=\s*\]|\s+[a-z_]+\s*:)", re.IGNORECASE
)
_GPS = re.compile(rf"\bGPS\s*\(\s*({_NUMBER}|N/?A)\s*,\s*({_NUMBER}|N/?A)\s*(?:,\s*({_NUMBER}|N/?A)\s*(m|ft)?\s*)?\)", re.IGNORECASE)
_BAROMETER = re.compile(rf"\b(?:BAROMETER|Hb)\s*[:(]\s*({_NUMBER})\s*(m|ft)?\b", re.IGNORECASE)
_HEIGHT = re.compile(rf"(?<![\w.])H\s+({_NUMBER})\s*(m|ft)\b")
_GIMBAL = re.compile(rf"\bG\.PRY\s*\(\s*({_NUMBER})[^,]*,\s*({_NUMBER})[^,]*,\s*({_NUMBER})[^,)]*\)")
_MARK = re.compile(r"\bGPS\s*\(|\blatitude\b|\bFrameCnt\b|\bSrtCnt\b|\bF/\d|\biso\b", re.IGNORECASE)
_FOOT_M = 0.3048
_GNSS_M, _BAROMETER_M, _ABSOLUTE_M = 2.0, 1.0, 3.0
"""Standard deviations of what consumer drones write, none of which state their own."""
_STEADY_M = 5.0
"""Heights above take-off and absolute ones differ by a constant; where that moves further, the absolute ones are wrong."""
_SHOWN = 5


@dataclass(frozen=True)
class _Block:
    line: int
    """Of its number, from 1."""
    time_s: float | None
    clock: datetime | None
    text: str


@dataclass(frozen=True)
class _Found:
    dialect: Dialect
    lat_lon: tuple[float, float] | None
    decimals: int
    relative_m: float | None
    absolute_m: float | None
    gimbal_deg: tuple[float, float, float] | None


def is_telemetry(start: bytes) -> bool:
    """Whether the first kilobytes of a subtitle file look like a drone's, rather than like speech."""
    return bool(_MARK.search(start.decode("latin-1")))


def read_srt(content: bytes, name: str) -> Reading:
    """All entries of a file that can be read; what can't be is named in the warnings, by line. ``name`` is for these."""
    text, strange = _decoded(content)
    reading = _read(list(_blocks(text)), name)
    if strange:
        reading.warnings.insert(0, f"{name} is not UTF-8; other characters than plain ones may be wrong")
    if not reading.entries:
        reading.warnings.append(f"{name}: no entry in {len(content)} bytes")
    return reading


def read_cues(cues: Iterable[tuple[float, str]], name: str) -> Reading:
    """The same of a subtitle track: (time [s], text); lines are counted by cue."""
    return _read([_Block(number, time_s, None, text) for number, (time_s, text) in enumerate(cues, 1)], name, place="cue")


def _decoded(content: bytes) -> tuple[str, bool]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace"), False
    try:
        return content.decode("utf-8-sig"), False
    except UnicodeDecodeError:
        return content.decode("latin-1"), True


def _blocks(text: str) -> Iterator[_Block]:
    """Entries begin with a line of digits that a time follows; blank lines need not stand between them."""
    lines = text.replace("\0", "").splitlines()
    starts = [i for i, line in enumerate(lines) if line.strip().isdigit() and _begins(lines, i)]
    for start, end in pairwise([*starts, len(lines)]):
        body = lines[start + 1 : end]
        cue = _CUE.search(body[0]) if body else None
        joined = "\n".join(body[1:] if cue else body)
        yield _Block(start + 1, _seconds(cue) if cue else None, _clock(joined), _TAG.sub(" ", joined))


def _begins(lines: list[str], i: int) -> bool:
    following = lines[i + 1] if i + 1 < len(lines) else ""
    at_end = i + 1 >= len(lines) or not any(line.strip() for line in lines[i + 1 :])
    return at_end or bool(_CUE.search(following) or _CLOCK.match(following.strip()))


def _seconds(cue: re.Match[str]) -> float:
    hours, minutes, seconds, fraction = cue[1], cue[2], cue[3], cue[4]
    return float(3600 * int(hours) + 60 * int(minutes) + int(seconds) + float(f"0.{fraction}"))


def _clock(text: str) -> datetime | None:
    found = _CLOCK.search(text)
    if not found:
        return None
    try:
        year, month, day, hour, minute, second = (int(found[k]) for k in range(1, 7))
        return datetime(year, month, day, hour, minute, second, int((found[7] or "0").ljust(6, "0")))
    except ValueError:
        return None


def _read(blocks: list[_Block], name: str, place: str = "line") -> Reading:
    first = next((block.clock for block in blocks if block.clock), None)
    read: list[tuple[float, _Found]] = []
    broken: list[str] = []
    for block in blocks:
        time_s = block.time_s
        if time_s is None and block.clock and first:  # some dialects have no cues, but the time of day
            time_s = (block.clock - first).total_seconds()
        found = _entry(block.text)
        if time_s is None or found is None:
            why = "no time" if time_s is None else "cut off, or in a dialect that is not known"
            broken.append(f"{place} {block.line}: {why}")
        else:
            read.append((time_s, found))
    dialects = Counter(found.dialect for _, found in read)
    reading = Reading(f"DJI subtitles ({' and '.join(sorted(dialects)) or 'unknown dialect'})")
    if broken:
        more = f" and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
        reading.warnings.append(f"{name}: {len(broken)} entries can't be read ({'; '.join(broken[:_SHOWN])}{more})")
    with_position = [found for _, found in read if found.lat_lon]
    reading.quantum_deg = 10.0 ** -max((found.decimals for found in with_position), default=9)
    absolute = _trusts_absolute(with_position)
    if not absolute and any(found.absolute_m for found in with_position):
        reading.warnings.append(f"{name}: absolute altitudes do not move as those above take-off do; the latter are used")
    sigma_m = math.hypot(_GNSS_M, reading.quantum_deg * DEGREE_M / math.sqrt(12))
    reading.entries = [Entry(time_s, _gps(found, absolute, sigma_m), found.gimbal_deg) for time_s, found in read]
    return reading


def _entry(text: str) -> _Found | None:
    """What an entry says, if it is whole enough: an entry without a position counts where its dialect has none."""
    keys = {key.lower().replace("longti", "longi"): value for key, value in _KEY.findall(text)}
    gps, barometer, height = _GPS.search(text), _BAROMETER.search(text), _HEIGHT.search(text)
    if gps:
        dialect: Dialect = "flight text" if re.search(r"\bF/[\d.]+", text) else "barometer"
        lat_lon, decimals = _ordered(gps)
        above = height or barometer
        stated = _GIMBAL.search(text)
        gimbal = (float(stated[3]), float(stated[1]), float(stated[2])) if stated else None
        return _Found(dialect, lat_lon, decimals, _metres(above) if above else None, None, gimbal)
    if "[" not in text or text.count("[") != text.count("]") or ("latitude" in text and not {"latitude", "longitude"} <= keys.keys()):
        return None
    lat_lon, decimals = None, 0
    if "latitude" in keys:
        lat_lon = float(keys["latitude"]), float(keys["longitude"])
        decimals = max(len(keys[key].partition(".")[2]) for key in ("latitude", "longitude"))
    absolute = keys.get("abs_alt", keys.get("altitude"))
    angles = [keys.get(f"gb_{name}") for name in ("yaw", "pitch", "roll")]
    gimbal = (float(angles[0]), float(angles[1]), float(angles[2])) if angles[0] and angles[1] and angles[2] else None
    found = _Found("brackets", lat_lon, decimals, None, None, gimbal)
    return replace(
        found,
        relative_m=float(keys["rel_alt"]) if "rel_alt" in keys else None,
        absolute_m=float(absolute) if absolute is not None else None,
    )


def _ordered(gps: re.Match[str]) -> tuple[tuple[float, float] | None, int]:
    """Latitude and longitude of ``GPS(a, b, c)``, and their decimals; None for ``N/A`` and for no satellites.

    With a count of satellites the longitude comes first, with a height the latitude; a number beyond 90 settles it.
    """
    if "A" in (gps[1] + gps[2]).upper():
        return None, 0
    a, b = float(gps[1]), float(gps[2])
    decimals = max(len(gps[k].partition(".")[2]) for k in (1, 2))
    third = gps[3] or ""
    satellites = third.isdigit() and not gps[4]
    if satellites and int(third) == 0:
        return None, 0
    lon_first = abs(a) > 90 or (satellites and abs(b) <= 90)
    return ((b, a) if lon_first else (a, b)), decimals


def _metres(match: re.Match[str]) -> float:
    return float(match[1]) * (_FOOT_M if (match[2] or "").lower() == "ft" else 1.0)


def _trusts_absolute(found: list[_Found]) -> bool:
    """Whether absolute altitudes are there and move as those above take-off, where both are."""
    both = [entry.absolute_m - entry.relative_m for entry in found if entry.absolute_m is not None and entry.relative_m is not None]
    if both:
        return any(entry.absolute_m for entry in found) and max(both) - min(both) <= _STEADY_M
    return any(entry.absolute_m is not None for entry in found)


def _gps(found: _Found, absolute: bool, sigma_m: float) -> Gps | None:
    if found.lat_lon is None or not valid_position(*found.lat_lon):
        return None
    alt_m, datum, alt_sigma_m = found.relative_m, "takeoff", _BAROMETER_M
    if absolute and found.absolute_m is not None:
        alt_m, datum, alt_sigma_m = found.absolute_m, "unknown", _ABSOLUTE_M
    known: Datum = "takeoff" if datum == "takeoff" and alt_m is not None else "unknown"
    return Gps(lat_deg=found.lat_lon[0], lon_deg=found.lat_lon[1], alt_m=alt_m, alt_datum=known, sigma_m=(round(sigma_m, 3), alt_sigma_m))
