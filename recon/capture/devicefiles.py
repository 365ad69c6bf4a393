"""Files of a capture by folder, for those who recognise what a tablet or phone wrote by the folders and names it uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from recon.capture.names import last_number

if TYPE_CHECKING:
    from recon.capture.source import Kind, SourceFile

_SUFFIXES = frozenset({".exr", ".depth", ".conf", ".traj", ".pincam"})
_NAMES = frozenset({"odometry.csv", "camera_matrix.csv", "metadata", "metadata.json", "transforms.json"})
_TRAJECTORY = "trajectory.csv"
"""Of glasses: ``closed_loop_trajectory.csv`` and the like."""
_CAMERA_FOLDERS = frozenset({"cameras", "corrected_cameras"})
Claims = dict[str, "SourceFile"]
"""What becomes of files, by their path."""


def may_be_wanted(name: str) -> bool:
    """Whether a file that is neither photo nor video may be a device's, by its path: such files are unpacked."""
    path = PurePosixPath(name.casefold())
    if path.suffix in _SUFFIXES or path.name in _NAMES or path.name.endswith(_TRAJECTORY):
        return True
    return path.suffix == ".json" and (path.parent.name in _CAMERA_FOLDERS or path.name.startswith("frame_"))


class Tree:
    """Files that are not empty, by folder and then by their own name in small letters."""

    def __init__(self, files: Iterable[SourceFile]) -> None:
        self.folders: dict[str, dict[str, SourceFile]] = defaultdict(dict)
        for file in files:
            if file.size > 0:
                folder, _, name = file.relative.rpartition("/")
                self.folders[folder].setdefault(name.casefold(), file)

    def inside(self, folder: str, below: str = "") -> Mapping[str, SourceFile]:
        """Files in a folder, or in one below it; empty where there is none."""
        path = "/".join(part for part in (folder, below) if part)
        return self.folders.get(path, {})

    def having(self, name: str) -> list[str]:
        """Folders that hold a file of that name."""
        return [folder for folder, inside in self.folders.items() if name in inside]


def claim(file: SourceFile, kind: Kind, device: str, belongs_to: str = "") -> SourceFile:
    return replace(file, kind=kind, device=device, belongs_to=belongs_to, reason="", lost=False)


def leave(file: SourceFile, device: str, reason: str, lost: bool = False) -> SourceFile:
    return replace(file, kind="ignored", device=device, belongs_to="", reason=reason, lost=lost)


def stem(relative: str) -> str:
    return PurePosixPath(relative).stem.casefold()


def number(relative: str) -> str:
    """The last number in a file's name, without leading zeros; empty without one."""
    return last_number(PurePosixPath(relative).stem)


def of_suffix(inside: Mapping[str, SourceFile], *suffixes: str) -> list[SourceFile]:
    return [file for name, file in inside.items() if name.endswith(suffixes)]


def depth_beside(
    photos: Sequence[SourceFile], depths: Sequence[SourceFile], device: str, key: Callable[[str], str], alone: str = ""
) -> Claims:
    """Depth images, each of the photo with the same key; without one it is ignored, and no loss where ``alone`` says why."""
    photo_by = {key(file.relative): file.relative for file in photos}
    claims: Claims = {}
    for file in depths:
        photo = photo_by.get(key(file.relative))
        reason = alone or "a depth image without a photo: none has its number"
        claims[file.relative] = claim(file, "depth", device, photo) if photo else leave(file, device, reason, lost=not alone)
    return claims


def confidence_beside(depth: Claims, sure: Sequence[SourceFile], device: str, key: Callable[[str], str]) -> Claims:
    """Confidence images, each of the depth image with the same key."""
    depth_by = {key(file.relative): file.relative for file in depth.values() if file.kind == "depth"}
    alone = "a confidence image without a depth image: none has its number"
    found = {file.relative: depth_by.get(key(file.relative)) for file in sure}
    return {
        file.relative: claim(file, "confidence", device, found[file.relative] or "") if found[file.relative] else leave(file, device, alone)
        for file in sure
    }
