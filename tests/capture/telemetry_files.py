"""Telemetry as devices write it, made on the spot: subtitles of each dialect, GPMF payloads, and videos that hold them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_ASS = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Bold, Italic, Underline, Alignment
Style: Default,Arial,16,&Hffffff,0,0,0,2

[Events]
Format: Layer, Start, End, Style, Text
"""
"""What FFmpeg's encoder wants before it takes a text; the packets are written ready-made."""
HOME = (47.3, 8.5)
METRE = 1 / 111_195.0


def entry(number: int, start_ms: int, body: str, lasts_ms: int = 1000) -> str:
    def cue(ms: int) -> str:
        return f"{ms // 3600000:02d}:{ms // 60000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"

    return f"{number}\n{cue(start_ms)} --> {cue(start_ms + lasts_ms)}\n{body}\n"


def brackets(lat: float, lon: float, rel: float = 10.0, absolute: float | None = 110.0) -> str:
    height = f"[rel_alt: {rel:.3f} abs_alt: {absolute:.3f}]" if absolute is not None else f"[rel_alt: {rel:.3f}]"
    return f"[iso: 100] [latitude: {lat:.6f}] [longitude: {lon:.6f}] {height}"


def flight_srt(norths_m: Sequence[float], step_ms: int = 1000) -> str:
    """A flight to the north from HOME, an entry a step."""
    return "\n".join(entry(n + 1, n * step_ms, brackets(HOME[0] + m * METRE, HOME[1]), step_ms) for n, m in enumerate(norths_m))


def klv(key: str, kind: str, size: int, value: bytes) -> bytes:
    count = len(value) // size
    return key.encode() + struct.pack(">cBH", kind.encode() if kind else b"\0", size, count) + value + bytes(-len(value) % 4)


def nested(key: str, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return key.encode() + struct.pack(">cBH", b"\0", 4, len(content) // 4) + content


def gps5(rows: Sequence[tuple[float, float, float]], fix: int = 3, dop: float = 1.5, datum: str = "") -> bytes:
    """A payload of a camera: latitude, longitude, altitude a row."""
    scale = (10_000_000, 10_000_000, 1000, 1000, 100)
    table = b"".join(struct.pack(">5i", *(round(v * s) for v, s in zip((*row, 0.0, 0.0), scale, strict=True))) for row in rows)
    parts = [
        klv("STNM", "c", 1, b"GPS (Lat., Long., Alt., 2D speed, 3D speed)"),
        klv("GPSF", "L", 4, struct.pack(">I", fix)),
        klv("GPSU", "U", 16, b"240601100000.000"),
        klv("GPSP", "S", 2, struct.pack(">H", round(100 * dop))),
        *([klv("GPSA", "F", 4, datum.encode())] if datum else []),
        klv("SCAL", "l", 4, struct.pack(">5i", *scale)),
        klv("GPS5", "l", 20, table),
    ]
    return device("HERO8 Black", nested("STRM", *parts))


def gps9(rows: Sequence[tuple[float, float, float]], seconds: Sequence[float], fix: int = 3, dop: float = 1.5) -> bytes:
    scale = (10_000_000, 10_000_000, 1000, 1000, 100, 1, 1000, 100, 1)
    table = b""
    for row, second in zip(rows, seconds, strict=True):
        values = (*row, 0.0, 0.0, 9000, second, dop, fix)
        table += struct.pack(">7i2H", *(round(v * s) for v, s in zip(values, scale, strict=True)))
    return device(
        "HERO11 Black",
        nested("STRM", klv("TYPE", "c", 1, b"lllllllSS"), klv("SCAL", "l", 4, struct.pack(">9i", *scale)), klv("GPS9", "?", 32, table)),
    )


def device(name: str, *streams: bytes) -> bytes:
    return nested("DEVC", klv("DVID", "L", 4, struct.pack(">I", 1)), klv("DVNM", "c", 1, name.encode()), *streams)


def write_captioned(path: Path, texts: Sequence[str], step_ms: int = 1000) -> Path:
    """A small H.264 video with a subtitle track of 3GPP timed text."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        captions = container.add_stream("mov_text")
        captions.time_base = Fraction(1, 1000)
        captions.codec_context.subtitle_header = _ASS
        header = np.zeros((64, 64, 3), np.uint8)
        for index in range(len(texts) * step_ms // 100):
            frame = av.VideoFrame.from_ndarray(np.roll(header + index % 200, index, 1), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for index, text in enumerate(texts):
            content = text.encode()
            packet = av.Packet(len(content).to_bytes(2, "big") + content)
            packet.stream, packet.time_base = captions, Fraction(1, 1000)
            packet.pts = packet.dts = index * step_ms
            packet.duration = step_ms
            container.mux(packet)
    return path
