"""Real photo and video files, made on the spot, for the tests of capture reading."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

Rgb = NDArray[np.uint8]


def texture(height: int, width: int, seed: int = 0, finest_px: int = 3) -> Rgb:
    """(height, width, 3) noise of several octaves: sharp, cornered, nowhere the same."""
    rng = np.random.default_rng([seed, height, width])
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(6):
        cell = finest_px * 2**octave
        coarse = rng.normal(0, 2**octave * 0.5 + 1, (height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST if octave < 2 else cv2.INTER_LINEAR)
    total = (total - total.mean()) / total.std()
    return np.clip(128 + 45 * total, 0, 255).astype(np.uint8)


def pan(scene: Rgb, shifts: Iterable[float], height: int, width: int) -> list[Rgb]:
    """Views of a flat scene by a camera that moves along it; shifts in pixels."""
    return [cv2.warpAffine(scene, np.array([[1.0, 0, -x], [0, 1, 0]]), (width, height)) for x in shifts]


def write_video(
    path: Path,
    frames: Sequence[Rgb],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 30,
    times_ms: Sequence[int] | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Encode RGB frames; ``times_ms`` makes the frame rate variable, ``rotation`` writes a display matrix."""
    keep_tags = {"movflags": "use_metadata_tags"} if metadata else {}
    with av.open(str(path), "w", options={**keep_tags, **(container_options or {})}) as container:
        container.metadata.update(metadata or {})
        stream: Any = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.options = options or {"crf": "16", "preset": "ultrafast"}
        if codec == "libx265":
            stream.options |= {"x265-params": "log-level=none:pools=1"}
        if rotation:
            stream.set_display_rotation(rotation)
        if times_ms:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts = times_ms[index] if times_ms else index
            frame.time_base = Fraction(1, 1000) if times_ms else Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def rational(value: float) -> TiffImagePlugin.IFDRational:
    return TiffImagePlugin.IFDRational(round(value * 1_000_000), 1_000_000)


def exif(base: dict[int, Any] | None = None, sub: dict[int, Any] | None = None, gps: dict[int, Any] | None = None) -> Image.Exif:
    """EXIF with these tags in its main, Exif and GPS directories."""
    made = Image.Exif()
    for tag, value in (base or {}).items():
        made[tag] = value
    made.get_ifd(0x8769).update(sub or {})
    made.get_ifd(0x8825).update(gps or {})
    return Image.open(io.BytesIO(_with(made))).getexif()


def _with(made: Image.Exif) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG", exif=made)
    return stream.getvalue()


def save(path: Path, pixels: NDArray[Any], mode: str | None = None, **options: Any) -> Path:
    """Write an image with Pillow, quality as high as it goes."""
    image = Image.fromarray(pixels)
    if mode:
        image = image.convert(mode)
    if path.suffix.lower() in (".jpg", ".jpeg", ".heic", ".webp"):
        options = {"quality": 95, **options}
    image.save(path, **options)
    return path


def png_bomb(path: Path, side: int) -> Path:
    """A PNG whose header says side x side pixels, in a few kilobytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b""))
    return path


def write_dng(path: Path, rgb: Rgb, orientation: int = 1) -> Path:
    """A minimal DNG 1.4: a 16-bit RGGB mosaic of linear sRGB, which a raw developer turns back into about these pixels."""
    linear = np.where(rgb <= 10, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    mosaic = np.empty(rgb.shape[:2], np.float64)
    for y, x, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[y::2, x::2] = linear[y::2, x::2, channel]
    pixels = (mosaic * 65535).round().astype("<u2").tobytes()
    srgb_from_xyz = [3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570]
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.update({254: 0, 256: rgb.shape[1], 257: rgb.shape[0], 258: 16, 259: 1, 262: 32803, 271: "Maker", 272: "Raw", 274: orientation})
    tags.update({277: 1, 278: rgb.shape[0], 279: len(pixels), 284: 1})
    for tag, kind, value in (
        (33421, 3, (2, 2)),
        (33422, 1, bytes([0, 1, 1, 2])),
        (50706, 1, bytes([1, 4, 0, 0])),
        (50708, 2, "Maker Raw"),
        (50714, 3, 0),
        (50717, 4, 65535),
        (50721, 10, tuple(rational(value) for value in srgb_from_xyz)),
        (50728, 5, (rational(1), rational(1), rational(1))),
        (50778, 3, 21),
        (273, 4, 0),
    ):
        tags.tagtype[tag] = kind
        tags[tag] = value
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + tags.tobytes(8) + pixels)
    return path


def write_audio(path: Path) -> Path:
    """A tenth of a second of silence."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac" if path.suffix == ".mp4" else "pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
