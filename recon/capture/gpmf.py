"""GoPro's metadata format (GPMF): positions, attitude and gravity in a track of the video, as key, length, value.

Source: github.com/gopro/gpmf-parser, README: structure, types, SCAL, TYPE, and the streams of each camera; the Karma drone's
streams explain themselves (STNM, UNIT). Everything is big-endian and padded to four bytes; a payload covers about a second.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.capture.exif import valid_position
from recon.capture.records import Gps
from recon.capture.telemetry import Datum, Entry, Reading

Floats = NDArray[np.float64]
_TYPES = {
    "b": "i1",
    "B": "u1",
    "d": "f8",
    "f": "f4",
    "j": "i8",
    "J": "u8",
    "l": "i4",
    "L": "u4",
    "s": "i2",
    "S": "u2",
    "q": "i4",
    "Q": "i8",
}
_FIXED_POINT = {"q": 2.0**16, "Q": 2.0**32}
_DEPTH = 8
_PAYLOAD_S = 1.001
"""What a payload of a raw stream, outside of a container, is taken to cover."""
_DOP_M = 1.5
"""Horizontal deviation [m] a unit of the dilution of precision: a good receiver's range error, after its filter."""
_MOST_DOP = 10.0
_DEFAULT_M = (3.0, 6.0)
_KARMA = b"GLPI", b"GPRI"


@dataclass(frozen=True)
class Payload:
    """One packet of the track: when it starts, and how long it lasts [s] where that is known."""

    start_s: float
    duration_s: float | None
    content: bytes


@dataclass
class _Stream:
    """The values of one STRM: sticky ones by key, and the sample array that comes last."""

    device: str
    values: dict[bytes, Any] = field(default_factory=dict)
    samples: dict[bytes, Floats] = field(default_factory=dict)
    """(n, columns), scaled."""


def is_gpmf(content: bytes) -> bool:
    return content[:4] == b"DEVC"


def raw_payloads(content: bytes) -> list[Payload]:
    """The payloads of a raw stream: each starts with the first device's DEVC, and lasts about a second."""
    starts, first, at = [], None, 0
    while at + 8 <= len(content) and content[at : at + 4] == b"DEVC":
        device = content[at + 16 : at + 20]
        first = device if first is None else first
        if device == first:
            starts.append(at)
        at += 8 + _padded(_length(content, at))
    return [Payload(i * _PAYLOAD_S, _PAYLOAD_S, content[a:b]) for i, (a, b) in enumerate(pairwise([*starts, len(content)]))]


def read_gpmf(payloads: Sequence[Payload], name: str) -> Reading:
    """Positions of all payloads: the Karma drone's filtered ones where there are some, else the camera's GPS9 or GPS5.

    A payload that is cut or damaged gives what comes before the damage; how many are is told.
    """
    reading, kinds, devices, cut = Reading("GoPro GPMF"), set[str](), dict[str, None](), 0
    for payload, following in zip(payloads, [*payloads[1:], None], strict=True):
        duration_s = payload.duration_s or (following.start_s - payload.start_s if following else _PAYLOAD_S)
        streams, whole = _streams(payload.content)
        cut += not whole
        devices |= dict.fromkeys(stream.device for stream in streams if stream.device)
        kind, entries = _entries(streams, payload.start_s, duration_s)
        reading.entries += entries
        kinds |= {kind} if kind else set()
    reading.format = " ".join(["GoPro GPMF", f"({', '.join(devices)})" if devices else "", " and ".join(sorted(kinds))]).strip()
    reading.quantum_deg = 1e-7
    if cut:
        reading.warnings.append(f"{name}: {cut} of {len(payloads)} payloads are cut or damaged; what comes before the damage is used")
    if not reading.entries:
        reading.warnings.append(f"{name}: no positions in {len(payloads)} payloads")
    return reading


def _entries(streams: list[_Stream], start_s: float, duration_s: float) -> tuple[str, list[Entry]]:
    by_key = {key: stream for stream in streams for key in stream.samples}
    for key, read in ((b"GLPI", _karma), (b"GPRI", _karma), (b"GPS9", _gps9), (b"GPS5", _gps5)):
        if key in by_key:
            fixes, clock_s = read(key, by_key)
            return key.decode(), [
                Entry(time, fix) for time, fix in zip(_times(clock_s, len(fixes), start_s, duration_s), fixes, strict=True)
            ]
    return "", []


def _times(clock_s: Floats | None, count: int, start_s: float, duration_s: float) -> list[float]:
    """Samples by their own clock from the payload's start on; without one evenly over the payload."""
    if clock_s is not None and count > 1 and 0 < clock_s[-1] - clock_s[0] < 2 * duration_s:
        return [float(t) for t in start_s + clock_s - clock_s[0]]
    return [start_s + duration_s * i / count for i in range(count)]


def _gps5(key: bytes, by_key: dict[bytes, _Stream]) -> tuple[list[Gps | None], Floats | None]:
    stream = by_key[key]
    fix, dop = _first(stream.values.get(b"GPSF"), 3.0), _first(stream.values.get(b"GPSP"), 0.0) / 100
    rows = stream.samples[key]
    return [_gps(row[0], row[1], row[2], _datum(stream), _sigma_m(dop)) if fix >= 2 and dop < _MOST_DOP else None for row in rows], None


def _gps9(key: bytes, by_key: dict[bytes, _Stream]) -> tuple[list[Gps | None], Floats | None]:
    """Latitude, longitude, altitude, two speeds, days since 2000, seconds since midnight, DOP, fix."""
    stream = by_key[key]
    rows = stream.samples[key]
    if rows.shape[1] < 9:
        return [None] * len(rows), None
    fixes = [_gps(row[0], row[1], row[2], _datum(stream), _sigma_m(row[7])) if row[8] >= 2 and row[7] < _MOST_DOP else None for row in rows]
    return fixes, rows[:, 5] * 86400 + rows[:, 6]


def _karma(key: bytes, by_key: dict[bytes, _Stream]) -> tuple[list[Gps | None], Floats | None]:
    """The drone's own: time, latitude, longitude, height above the sea, from its filter (GLPI) or its receiver (GPRI).

    The receiver states its deviations and fix, for the filter as well.
    """
    sigma_m, fix = _DEFAULT_M, 3.0
    if b"GPRI" in by_key and by_key[b"GPRI"].samples[b"GPRI"].shape[1] >= 9:
        raw = by_key[b"GPRI"].samples[b"GPRI"]
        fix = float(raw[:, 8].min(initial=3))
        stated = raw[:, 4:6].max(0) if len(raw) else np.zeros(2)
        if (stated > 0).all() and (stated < 100).all():
            sigma_m = float(stated[0]), float(stated[1])
    rows = by_key[key].samples[key]
    if rows.shape[1] < 4:
        return [None] * len(rows), None
    return [_gps(row[1], row[2], row[3], "sea_level", sigma_m) if fix >= 2 else None for row in rows], rows[:, 0]


def _gps(lat: float, lon: float, alt: float, datum: Datum, sigma_m: tuple[float, float]) -> Gps | None:
    if not valid_position(float(lat), float(lon)):
        return None
    return Gps(lat_deg=round(float(lat), 9), lon_deg=round(float(lon), 9), alt_m=round(float(alt), 4), alt_datum=datum, sigma_m=sigma_m)


def _sigma_m(dop: float) -> tuple[float, float]:
    return (round(_DOP_M * dop, 3), round(2 * _DOP_M * dop, 3)) if dop > 0 else _DEFAULT_M


def _datum(stream: _Stream) -> Datum:
    """GPS5 is on WGS84, unless GPSA says mean sea level."""
    stated = str(stream.values.get(b"GPSA", "")).upper()
    return "sea_level" if stated.startswith("MSL") else "ellipsoid"


def _first(value: Any, default: float) -> float:
    return float(value[0, 0]) if isinstance(value, np.ndarray) and value.size else default


def _streams(content: bytes) -> tuple[list[_Stream], bool]:
    """Every STRM of every device of a payload, and whether the payload is whole."""
    streams: list[_Stream] = []
    whole = True
    for key, kind, _, _, value, complete in _items(content):
        whole &= complete
        if key == b"DEVC" and kind == "\0":
            whole &= _device(value, streams)
    return streams, whole


def _device(content: bytes, streams: list[_Stream]) -> bool:
    name, whole = "", True
    for key, kind, _, _, value, complete in _items(content):
        whole &= complete
        if key == b"DVNM":
            name = value.rstrip(b"\0").decode("latin-1").strip()
        elif key == b"STRM" and kind == "\0":
            stream = _Stream(name)
            whole &= _fill(stream, value)
            streams.append(stream)
    return whole


def _fill(stream: _Stream, content: bytes) -> bool:
    scale, types, whole = np.ones(1), "", True
    for key, kind, size, count, value, complete in _items(content):
        whole &= complete
        if kind in ("c", "U", "F"):
            text = value.rstrip(b"\0").decode("latin-1")
            types = text if key == b"TYPE" else types
            stream.values[key] = text
            continue
        rows = _rows(kind, size, count if complete else len(value) // max(1, size), value, types)
        if rows is None:
            continue
        if key == b"SCAL":
            scale = np.where(rows.ravel() == 0, 1.0, rows.ravel())
        elif key in (b"GPS5", b"GPS9", *_KARMA):
            if len(scale) in (1, rows.shape[1]):
                stream.samples[key] = rows / scale
        else:
            stream.values[key] = rows
    return whole


def _items(content: bytes) -> Iterator[tuple[bytes, str, int, int, bytes, bool]]:
    """(key, type, size of a sample, samples, value, whether it is whole) one after the other."""
    at = 0
    while at + 8 <= len(content):
        key = content[at : at + 4]
        if not key.strip(b"\0"):
            return  # padding
        length = _length(content, at)
        value = content[at + 8 : at + 8 + length]
        yield key, chr(content[at + 4]), content[at + 5], int.from_bytes(content[at + 6 : at + 8], "big"), value, len(value) == length
        at += 8 + _padded(length)
    if at < len(content) and content[at:].strip(b"\0"):
        yield content[at : at + 4], "?", 0, 0, b"", False


def _length(content: bytes, at: int) -> int:
    return content[at + 5] * int.from_bytes(content[at + 6 : at + 8], "big")


def _padded(length: int) -> int:
    return (length + 3) // 4 * 4


def _rows(kind: str, size: int, count: int, value: bytes, types: str) -> Floats | None:
    """(count, columns) numbers of samples of one type, or of a structure that TYPE spells out; None for what is no numbers."""
    spelled = types if kind == "?" else kind * (size // struct.calcsize(_code(kind)) if kind in _TYPES else 0)
    if not spelled or size == 0 or any(code not in _TYPES for code in spelled):
        return None
    layout = np.dtype([(f"{i}", f">{_TYPES[code]}") for i, code in enumerate(spelled)])
    if layout.itemsize != size or len(value) < size * count:
        return None
    table = np.frombuffer(value, layout, count)
    return np.stack([table[f"{i}"].astype(np.float64) / _FIXED_POINT.get(code, 1.0) for i, code in enumerate(spelled)], 1)


def _code(kind: str) -> str:
    return f">{np.dtype(_TYPES[kind]).char}"
