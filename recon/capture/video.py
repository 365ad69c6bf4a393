"""Frames of a video in presentation order, upright, through FFmpeg's libraries (PyAV)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from recon.capture import aria
from recon.capture.names import shown
from recon.capture.panorama import Projection, closes, projection_of_video
from recon.capture.pixels import check_size, shrink
from recon.errors import InputError, NotFound

_log = logging.getLogger(__name__)
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
_MAX_BAD_PACKETS = 10_000
_FULL_RANGE = 2
_SHORT_FRAMES = 300
"""Decoded in a second or two: as quick as seeking, and independent of where keyframes lie."""
_FROM_LIMITED = np.clip((np.arange(256) - 16) * (255 / 219), 0, 255).round().astype(np.uint8)
"""Luma of 16..235 to 0..255."""
CONTAINER = {"format_whitelist": "mov,matroska,avi,mpegts,mpeg,mpegvideo,asf,h264,hevc", "protocol_whitelist": "file"}
"""How a video may be opened, by its content: not as a playlist or a list of parts, which lead to other files or into the network."""
_REMEDY = "If the recording broke off, a repair tool may restore its index"


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself. Width and height are those of the upright frame."""

    width: int
    height: int
    codec: str
    rotation_deg: int
    """Counter-clockwise turn that makes the stored frame upright: 0, 90, 180 or 270."""
    rate_hz: float | None
    duration_s: float | None
    frames: int | None
    """As the container says, or as duration and rate say; None where neither is known."""
    captured_at: str | None
    camera: str
    """Make and model where the container names them."""
    projection: Projection = "perspective"
    lens: aria.ColourLens | None = None
    """Where the device states its calibration."""
    notes: tuple[str, ...] = ()
    """What of the file is not used."""


class Frame:
    """A decoded frame; its pixels are converted when asked for, so holding one costs its decoded size only."""

    def __init__(self, index: int, timestamp_s: float, decoded: Any, rotation_deg: int) -> None:
        self.index = index
        self.timestamp_s = timestamp_s
        self._decoded = decoded
        self.rotation_deg = rotation_deg

    def rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, upright, square pixels as stored."""
        return self._upright(self._decoded.to_ndarray(format="rgb24"))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, upright."""
        height, width = self._decoded.height, self._decoded.width
        return (width, height) if self.rotation_deg in (90, 270) else (height, width)

    def grey(self, max_size_px: int) -> NDArray[np.uint8]:
        """(h, w) uint8 luma, upright, the longer side at most max_size_px, area-averaged."""
        form = self._decoded.format
        if not (form.is_planar and form.components[0].is_luma and form.components[0].bits == 8):
            return self._upright(shrink(self._decoded.to_ndarray(format="gray"), max_size_px))
        plane = self._decoded.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        small = shrink(rows[: self._decoded.height, : self._decoded.width], max_size_px)
        return self._upright(
            small if self._decoded.color_range == _FULL_RANGE else np.asarray(cv2.LUT(small, _FROM_LIMITED), dtype=np.uint8)
        )

    def _upright(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        turn = _TURNS.get(self.rotation_deg)
        return np.ascontiguousarray(image) if turn is None else np.asarray(cv2.rotate(image, turn), dtype=np.uint8)


class Frames:
    """All frames of a video that decode, in presentation order; damage is passed over and counted.

    ``index`` counts decoded frames from 0; ``timestamp_s`` is the presentation time from the start of the stream, by the
    container's clock, so a variable frame rate is right. Raises NotFound and InputError as ``probe`` does.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._path = path
        self._threads = threads
        self.decoded = 0
        self.bad_packets = 0

    def __iter__(self) -> Iterator[Frame]:
        if self._path.suffix.lower() == aria.SUFFIX:
            for frame in _recorded(aria.Recording(self._path)):
                self.decoded += 1
                yield frame
            return
        with _opened(self._path) as container:
            stream = _video_stream(container, self._path)
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = self._threads
            start = None if stream.start_time is None else float(stream.start_time * stream.time_base)
            rate = float(stream.average_rate or stream.guessed_rate or 30)
            for decoded in self._decode(container, stream):
                time = decoded.time
                if start is None:
                    start = time  # Matroska does not say where a stream starts
                timestamp_s = self.decoded / rate if time is None or start is None else time - start
                index = self.decoded
                self.decoded += 1
                if not decoded.is_corrupt:
                    yield Frame(index, timestamp_s, decoded, decoded.rotation % 360)

    def _decode(self, container: Any, stream: Any) -> Iterator[Any]:
        packets = container.demux(stream)
        while True:
            try:
                yield from next(packets).decode()
            except StopIteration:
                return
            except av.error.FFmpegError as error:
                # a damaged packet is passed over; where the file itself ends early, demuxing ends by itself
                self.bad_packets += 1
                if self.bad_packets > _MAX_BAD_PACKETS or isinstance(error, (av.error.EOFError, OSError)):
                    _log.warning("%s: decoding stops after frame %d: %s", self._path.name, self.decoded, error)
                    return


def probe(path: Path, max_pixels: int) -> VideoInfo:
    """What the container says, and the first frame that decodes.

    Raises NotFound for a file that can't be read, TooLarge for frames of more than max_pixels, InputError for one that is no
    video, has no video stream, or of which no frame can be decoded (as when a recording broke off before its index was written).
    """
    if path.suffix.lower() == aria.SUFFIX:
        return _probe_recording(path, max_pixels)
    with _opened(path) as container:
        coded = _video_stream(container, path).codec_context
        check_size(coded.width, coded.height, max_pixels)
    frame = next(iter(Frames(path)), None)
    if frame is None:
        raise InputError(f"{shown(path.name)}: no frame can be decoded", "The file is damaged or its codec unknown")
    with _opened(path) as container:
        stream = _video_stream(container, path)
        rate = stream.average_rate or stream.guessed_rate
        duration_s = _duration_s(container, stream)
        frames = stream.frames or (round(duration_s * float(rate)) if duration_s and rate else None)
        tags = {key.lower(): str(value) for key, value in {**container.metadata, **stream.metadata}.items()}
        height, width = frame.size
        check_size(width, height, max_pixels)
        return VideoInfo(
            width=width,
            height=height,
            codec=stream.codec_context.name,
            rotation_deg=frame.rotation_deg,
            rate_hz=float(rate) if rate else None,
            duration_s=duration_s,
            frames=frames,
            captured_at=tags.get("com.apple.quicktime.creationdate", tags.get("creation_time")),
            camera=_camera(tags),
            projection=projection_of_video(path, width, height) or ("equirectangular" if closes(frame.grey(width)) else "perspective"),
        )


def _camera(tags: Mapping[str, str]) -> str:
    """Make and model as Apple's, Android's and other containers name them; else the maker, by what it calls its streams."""
    for prefix in ("com.apple.quicktime.", "com.android.", ""):
        make = tags.get(f"{prefix}make", tags.get(f"{prefix}manufacturer", ""))
        if named := f"{make} {tags.get(f'{prefix}model', '')}".strip():
            return named
    written = f"{tags.get('handler_name', '')} {tags.get('encoder', '')}"
    return next((maker for maker in ("GoPro", "DJI") if maker in written), "Android" if "com.android.version" in tags else "")


def sample(path: Path, info: VideoInfo, count: int) -> Iterator[Frame]:
    """About ``count`` frames spread over a video: those a seek lands on; of a short one, or one of unknown length, every so-manieth."""
    if path.suffix.lower() == aria.SUFFIX:
        recording = aria.Recording(path)
        yield from _recorded(recording, range(0, recording.frames, max(1, recording.frames // count)))
        return
    if not info.duration_s or not info.frames or info.frames <= _SHORT_FRAMES:
        stride = max(1, (info.frames or _SHORT_FRAMES) // count)
        yield from (frame for frame in islice(Frames(path), _SHORT_FRAMES) if frame.index % stride == 0)
        return
    with _opened(path) as container:
        stream = _video_stream(container, path)
        stream.thread_type = "AUTO"
        start_s = float((stream.start_time or 0) * stream.time_base)
        last_s: float | None = None
        for number in range(count):
            wanted_s = start_s + info.duration_s * (number + 0.5) / count
            try:
                container.seek(int(wanted_s / stream.time_base), stream=stream)
                decoded = next(container.decode(stream), None)
            except av.error.FFmpegError:
                continue  # damage: another place may be whole
            if decoded is not None and decoded.time is not None and decoded.time != last_s:
                last_s = decoded.time
                yield Frame(number, decoded.time - start_s, decoded, decoded.rotation % 360)


def _recorded(recording: aria.Recording, numbers: Iterable[int] | None = None) -> Iterator[Frame]:
    for number, timestamp_s, rgb in recording.images(numbers):
        yield Frame(number, timestamp_s, av.VideoFrame.from_ndarray(rgb, format="rgb24"), aria.ROTATION_DEG)


def _probe_recording(path: Path, max_pixels: int) -> VideoInfo:
    recording = aria.Recording(path)
    check_size(recording.width, recording.height, max_pixels)
    duration_s = float(recording.times_ns[-1] - recording.times_ns[0]) / 1e9
    return VideoInfo(
        width=recording.height,
        height=recording.width,
        codec="vrs",
        rotation_deg=aria.ROTATION_DEG,
        rate_hz=(recording.frames - 1) / duration_s if duration_s > 0 else None,
        duration_s=duration_s,
        frames=recording.frames,
        captured_at=None,
        camera="Project Aria",
        lens=recording.lens(),
        notes=recording.notes,
    )


def _opened(path: Path) -> Any:
    try:
        return av.open(str(path), metadata_errors="replace", options=CONTAINER)
    except (FileNotFoundError, PermissionError) as error:
        raise NotFound(f"{shown(str(path))} can't be read: {error.strerror}") from None
    except av.error.FFmpegError as error:
        raise InputError(f"{shown(path.name)} is no video that can be read: {error.strerror}", _REMEDY) from None


def _video_stream(container: Any, path: Path) -> Any:
    for stream in container.streams.video:
        if not int(stream.disposition) & int(av.stream.Disposition.attached_pic):
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise InputError(f"{shown(path.name)} has no video stream, only {kinds}")


def _duration_s(container: Any, stream: Any) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None
