"""The track of one video: from the file beside it, or from inside it, whichever tells more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recon.capture.embedded import read_embedded
from recon.capture.source import SourceFile
from recon.capture.srt import is_telemetry, read_srt
from recon.capture.telemetry import Reading, Track, cleaned

_LOOKED_AT = 20_000
"""Bytes by which subtitles are known for telemetry."""
_LARGEST = 256 << 20


def track_of(video: SourceFile, beside: SourceFile | None, duration_s: float | None) -> Track | None:
    """Where the camera was, by the video's clock; None where neither file says anything. ``beside`` is a subtitle file of its name.

    A track may be empty: then its warnings say why. What can't be used never stops the video from being used.
    """
    readings = [] if beside is None else [_read_beside(beside)]
    inside = read_embedded(Path(video.path), video.relative)
    readings += [] if inside is None else [inside]
    tracks = [cleaned(reading, duration_s) for reading in readings]
    if not tracks:
        return None
    best = max(tracks, key=len)  # of equals the file beside the video, which is named first
    others = [warning for track in tracks if track is not best for warning in track.warnings if not len(track)]
    return replace(best, warnings=(*best.warnings, *others))


def _read_beside(file: SourceFile) -> Reading:
    path, name = Path(file.path), file.relative
    try:
        if path.stat().st_size > _LARGEST:
            return Reading("subtitles", warnings=[f"{name} has more than {_LARGEST >> 20} MB, too many for telemetry"])
        content = path.read_bytes()
    except OSError as error:
        return Reading("subtitles", warnings=[f"{name} can't be read: {error.strerror}"])
    if not is_telemetry(content[:_LOOKED_AT]):
        return Reading("subtitles", warnings=[f"{name} holds no telemetry that is known: no position, no camera settings"])
    return read_srt(content, name)
