"""Tablets, phones and glasses that know their own pose: which files of a capture they wrote, and what those say of each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from recon.capture import ariatrack, arkitscenes, nerfcapture, polycam, record3d, scanner3d, stray
from recon.capture.device import DeviceFrame
from recon.capture.devicefiles import Tree
from recon.capture.devicetrack import DeviceTrack

if TYPE_CHECKING:
    from recon.capture.source import SourceFile

_OF_PHOTOS = (record3d, polycam, scanner3d, nerfcapture, arkitscenes)
KINDS = (stray, ariatrack, *_OF_PHOTOS)


class Reader(Protocol):
    """Reads what one kind of device says of its photos."""

    def frame(self, photo: SourceFile, size: tuple[int, int], files: Sequence[SourceFile], session: str) -> DeviceFrame:
        """Of the photo, whose stored image has (width, height), by the files that state its pose. Raises InputError."""


def recognised(files: Sequence[SourceFile]) -> list[SourceFile]:
    """The files in their order, with those of a device named as such: its photos, video, depth, confidence and poses."""
    tree = Tree(files)
    changed: dict[str, SourceFile] = {}
    for kind in KINDS:
        for path, file in kind.claimed(tree).items():
            changed.setdefault(path, file)
    return [changed.get(file.relative, file) for file in files]


def session_of(files: Sequence[SourceFile]) -> str:
    """Name of the recording that the files state poses of."""
    return f"{files[0].device} {files[0].relative.rpartition('/')[0]}".strip()


def track_of_video(
    video: SourceFile, poses: Sequence[SourceFile], frames: Sequence[SourceFile], size: tuple[int, int], measured: Sequence[int]
) -> DeviceTrack:
    """What a device says of its video, whose stored frames have (width, height); ``frames`` are its depth images, of those numbers."""
    session = session_of([*poses, *frames])
    if video.device == ariatrack.NAME:
        return ariatrack.read_track(Path(video.path), poses, session)
    return stray.read_track(poses, session, size, measured)


@dataclass
class Readers:
    """One reader a kind, as they are asked for; each reads a file once."""

    _by_name: dict[str, Reader] = field(default_factory=dict)

    def frame(self, photo: SourceFile, size: tuple[int, int], files: Sequence[SourceFile]) -> DeviceFrame:
        """See ``Reader.frame``."""
        name = files[0].device
        if name not in self._by_name:
            self._by_name[name] = next(kind.Reader() for kind in _OF_PHOTOS if name == kind.NAME)
        return self._by_name[name].frame(photo, size, files, session_of(files))
