"""Telemetry inside a video file: GoPro's data track, or DJI's subtitles as a stream."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from recon.capture.gpmf import Payload, is_gpmf, read_gpmf
from recon.capture.srt import is_telemetry, read_cues
from recon.capture.telemetry import Reading
from recon.capture.video import CONTAINER

_log = logging.getLogger(__name__)


def read_embedded(path: Path, name: str) -> Reading | None:
    """What the file's own streams say of where it was filmed, by the video's clock; None where they say nothing that is known.

    ``name`` is the video's, for warnings.

    A file that can't be opened gives None: whoever decodes its frames says why.
    """
    try:
        with av.open(str(path), metadata_errors="replace", options=CONTAINER) as container:
            return _read(container, name)
    except (av.error.FFmpegError, OSError) as error:
        _log.debug("%s: no telemetry: %s", name, error)
        return None


def _read(container: Any, name: str) -> Reading | None:
    streams = [stream for stream in container.streams if stream.type in ("data", "subtitle")]
    if not streams:
        return None
    for stream in container.streams:
        if stream.type not in ("data", "subtitle"):
            stream.discard = av.stream.Discard.all  # the pictures, nearly all of the file, are not read
    video = next(iter(container.streams.video), None)
    start_s = float((video.start_time or 0) * video.time_base) if video is not None else 0.0
    packets: dict[int, list[Payload]] = {}
    unknown: set[int] = set()
    subtitles = {stream.index for stream in streams if stream.type == "subtitle"}
    for packet in _packets(container, streams):
        index = packet.stream.index
        if index in unknown or packet.pts is None or not packet.size:
            continue
        content = bytes(packet)
        text = _text(content) if index in subtitles else ""
        if index in subtitles and not text:
            continue  # fills a pause
        found = packets.setdefault(index, [])
        if not found and not (is_telemetry(text.encode()) if index in subtitles else is_gpmf(content)):
            unknown.add(index)  # by its first packet
            continue
        duration_s = float(packet.duration * packet.time_base) if packet.duration else None
        found.append(Payload(float(packet.pts * packet.time_base) - start_s, duration_s, content))
    for index, payloads in sorted(packets.items()):
        if payloads and index in subtitles:
            return read_cues([(payload.start_s, _text(payload.content)) for payload in payloads], name)
        if payloads:
            return read_gpmf(payloads, name)
    return None


def _packets(container: Any, streams: list[Any]) -> Iterator[Any]:
    """Packets up to the end, or to where the file breaks off."""
    packets = container.demux(*streams)
    while True:
        try:
            yield next(packets)
        except (StopIteration, av.error.FFmpegError):
            return


def _text(content: bytes) -> str:
    """Of a subtitle packet: plain, or as 3GPP timed text with two bytes of length before and boxes behind it."""
    length = int.from_bytes(content[:2], "big")
    if len(content) >= 2 and length <= len(content) - 2 and content[:1] in (b"\0", b"\1", b"\2", b"\3"):
        content = content[2 : 2 + length]
    return content.decode("utf-8", "replace")
