"""Files that show a second time what a photo shows, by their names: a raw file beside its JPEG, a Live Photo's clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from recon.capture.names import shown

if TYPE_CHECKING:
    from recon.capture.source import SourceFile

LIVE_PHOTO_BYTES = 20 << 20
"""Three seconds of a phone's video; a longer clip of a photo's name is a video."""
_HEIC = frozenset({".heic", ".heif", ".hif"})


def without_twins(files: Sequence[SourceFile], raw_suffixes: frozenset[str]) -> list[SourceFile]:
    """The files with twins ignored, each with the reason, and telemetry that belongs to no video."""
    photos: dict[str, SourceFile] = {}
    for file in files:
        if file.kind == "photo" and _suffix(file) not in raw_suffixes and not (_suffix(file) not in _HEIC and stem(file) in photos):
            photos[stem(file)] = file
    kept = []
    for file in files:
        twin = photos.get(stem(file))
        if twin is not None and file.kind == "photo" and _suffix(file) in raw_suffixes:
            file = replace(file, kind="ignored", reason=f"the raw file of {shown(twin.relative)}")
        elif twin is not None and _is_live_clip(file, twin):
            file = replace(file, kind="ignored", reason=f"the Live Photo clip of {shown(twin.relative)}")
        kept.append(file)
    videos = {stem(file) for file in kept if file.kind == "video"}
    astray = "subtitles or telemetry of a video that is not here: they must bear the video's name"
    return [
        replace(file, kind="ignored", reason=astray, lost=bool(videos)) if file.kind == "telemetry" and stem(file) not in videos else file
        for file in kept
    ]


def _is_live_clip(file: SourceFile, photo: SourceFile) -> bool:
    """Phones write a .mov; what comes from a cloud beside a HEIC is often a .mp4."""
    if file.kind != "video" or file.size >= LIVE_PHOTO_BYTES:
        return False
    return _suffix(file) == ".mov" or (_suffix(file) == ".mp4" and _suffix(photo) in _HEIC)


def _suffix(file: SourceFile) -> str:
    return PurePosixPath(file.relative).suffix.lower()


def stem(file: SourceFile) -> str:
    """The path without its suffix, letter case aside: the same for files that belong together."""
    return str(PurePosixPath(file.relative).with_suffix("")).casefold()
