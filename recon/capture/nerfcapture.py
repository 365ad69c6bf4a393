"""NeRFCapture: ``transforms.json`` with images and depth images ``images/0.png``, ``images/0.depth.png``.

Source: the app's streaming script in instant-ngp. A frame's matrix is ARKit's camera to world (rows), its intrinsics are its own or those
at the top; ``integer_depth_scale`` is metres a unit. Other programs write files of that name in worlds of any scale, and their poses are
left alone: what tells them apart is the depth beside the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from recon.capture.device import DeviceFrame, checked_matrix, device_pose, pinhole, read_object
from recon.capture.devicefiles import Claims, Tree, claim, leave
from recon.errors import InputError
from recon.geometry.frames import cam_from_arkit

if TYPE_CHECKING:
    from recon.capture.source import SourceFile

NAME = "NeRFCapture"
MANIFEST = "transforms.json"
_DEPTH = ".depth.png"
_SUFFIXES = (".png", ".jpg", ".jpeg")
_UNITS_M = (1e-6, 1.0)


def claimed(tree: Tree) -> Claims:
    claims: Claims = {}
    for folder in tree.having(MANIFEST):
        manifest = tree.inside(folder)[MANIFEST]
        try:
            frames = _frames(read_object(Path(manifest.path)))
        except InputError:
            continue
        if not any(_text(frame.get("depth_path")).endswith(_DEPTH) for frame in frames):
            continue
        for frame in frames:
            photo = _photo(tree, folder, _text(frame.get("file_path")))
            if photo is None:
                continue
            claims[photo.relative] = claim(photo, "photo", NAME)
            depth = _found(tree, folder, _text(frame.get("depth_path")))
            if depth is not None:
                claims[depth.relative] = claim(depth, "depth", NAME, photo.relative)
        claims[manifest.relative] = claim(manifest, "poses", NAME, folder)
        for path in {relative.rpartition("/")[0] for relative in claims}:
            for name, file in tree.inside(path).items():
                if name.endswith(_DEPTH) and file.relative not in claims:
                    claims[file.relative] = leave(file, NAME, "a depth image of no frame in transforms.json", lost=True)
    return claims


class Reader:
    """Reads each file once."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[Mapping[str, Any], dict[str, Mapping[str, Any]]]] = {}

    def frame(self, photo: SourceFile, size: tuple[int, int], files: Sequence[SourceFile], session: str) -> DeviceFrame:
        """Raises InputError where the file can't be read."""
        file = files[0]
        if file.path not in self._read:
            values = read_object(Path(file.path))
            by_photo = {_without_suffix(_text(frame.get("file_path"))): frame for frame in _frames(values)}
            self._read[file.path] = values, by_photo
        values, by_photo = self._read[file.path]
        unit_m = values.get("integer_depth_scale")
        unit_m = float(unit_m) if isinstance(unit_m, int | float) and _UNITS_M[0] <= unit_m <= _UNITS_M[1] else None
        folder = file.relative.rpartition("/")[0]
        frame = by_photo.get(_without_suffix(photo.relative[len(folder) + 1 if folder else 0 :]))
        if frame is None:
            return DeviceFrame(faults=("the device states no pose of it",), depth_unit_m=unit_m)
        stated = {**values, **frame}
        lens = pinhole([stated.get(key) for key in ("fl_x", "fl_y", "cx", "cy")], stated.get("w"), stated.get("h"))
        try:
            pose = device_pose(cam_from_arkit(checked_matrix(frame.get("transform_matrix"))), session)
        except InputError as error:
            return DeviceFrame(None, lens, (str(error),), depth_unit_m=unit_m)
        return DeviceFrame(pose, lens, depth_unit_m=unit_m)


def _frames(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    frames = values.get("frames")
    return [frame for frame in frames if isinstance(frame, dict)] if isinstance(frames, list) else []


def _photo(tree: Tree, folder: str, path: str) -> SourceFile | None:
    """The image of a frame, whose suffix may be left out."""
    return next((file for suffix in ("", *_SUFFIXES) if (file := _found(tree, folder, path + suffix))), None)


def _found(tree: Tree, folder: str, path: str) -> SourceFile | None:
    below, _, name = path.removeprefix("./").rpartition("/")
    return tree.inside(folder, below).get(name.casefold()) if name else None


def _without_suffix(path: str) -> str:
    path = path.removeprefix("./")
    return str(PurePosixPath(path).with_suffix("")) if path.casefold().endswith(_SUFFIXES) else path


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
