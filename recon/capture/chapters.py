"""Recordings that a camera split into several files: which go on from which.

GoPro numbers chapters of one recording in their names (GX010034, GX020034; before 2018 GOPR0034, GP010034). DJI gives the parts consecutive
numbers and begins the next where one has filled the card's limit of 4 GB.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recon.capture.source import SourceFile

_GOPRO = re.compile(r"G[HXLS](\d\d)(\d{4})", re.IGNORECASE)
_OLD_GOPRO = re.compile(r"(?:GOPR|GP(\d\d))(\d{4})", re.IGNORECASE)
_DJI = re.compile(r"(?:DJI_|DJI_\d{14}_)(\d{4})(_\w+)?", re.IGNORECASE)
_FULL_BYTES = 3_500_000_000
"""Parts are cut a little below 4 GB."""

Chapter = tuple[str, int]
"""Name of the recording's first file, and the number of this one in it, from 0."""


def chapters(videos: Sequence[SourceFile]) -> dict[str, Chapter]:
    """The chapter of each video, by its name, of recordings that have several files in the capture."""
    recordings: dict[tuple[str, ...], list[tuple[int, SourceFile]]] = {}
    for video in videos:
        if found := _gopro(video):
            recording, number = found
            recordings.setdefault((_folder(video), *recording), []).append((number, video))
    found_chapters = _numbered([[file for _, file in sorted(parts, key=lambda part: part[0])] for parts in recordings.values()])
    return found_chapters | _numbered(_dji(videos))


def _gopro(video: SourceFile) -> tuple[tuple[str, ...], int] | None:
    """What names the recording, and the chapter's number."""
    path = PurePosixPath(video.relative)
    if new := _GOPRO.fullmatch(path.stem):
        return (path.stem[:2].upper(), new[2]), int(new[1])
    if old := _OLD_GOPRO.fullmatch(path.stem):
        return ("GP", old[2]), int(old[1] or 0)
    return None


def _dji(videos: Sequence[SourceFile]) -> list[list[SourceFile]]:
    named = [(_DJI.fullmatch(PurePosixPath(video.relative).stem), video) for video in videos]
    rows = [((_folder(video), found[2] or ""), int(found[1]), video) for found, video in named if found]
    parts: list[list[SourceFile]] = []
    last: tuple[tuple[str, str], int] | None = None
    for where, number, video in sorted(rows, key=lambda row: row[:2]):
        if last == (where, number - 1) and parts[-1][-1].size >= _FULL_BYTES:
            parts[-1].append(video)
        else:
            parts.append([video])
        last = (where, number)
    return parts


def _numbered(recordings: Sequence[Sequence[SourceFile]]) -> dict[str, Chapter]:
    return {file.name: (parts[0].name, number) for parts in recordings if len(parts) > 1 for number, file in enumerate(parts)}


def _folder(video: SourceFile) -> str:
    return video.relative.rpartition("/")[0]
