"""Record3D: the EXR + RGB export (``rgb/N.jpg``, ``depth/N.exr``), and ``.r3d``, a zip of ``rgbd/N.jpg``, ``N.depth``, ``N.conf``.

Sources: the author's answers in record3d's issues 27, 33 and 36: poses are camera to world (quaternion scalar last, translation), the first
camera is the world's zero, so that nothing says what is up. K stands column by column. Axes as nerfstudio's reader takes them: OpenGL's.
Depth is float32 in metres, compressed with LZFSE in ``.r3d``; its size is ``dw`` x ``dh``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.capture.device import DeviceFrame, Pinhole, checked_quaternion, device_pose, pinhole, read_object
from recon.capture.devicefiles import Claims, Tree, claim, confidence_beside, depth_beside, leave, number, of_suffix
from recon.errors import InputError
from recon.geometry.frames import cam_from_opengl

if TYPE_CHECKING:
    from recon.capture.source import SourceFile

NAME = "Record3D"
_METADATA = ("metadata.json", "metadata")
_PHOTOS = (".jpg", ".jpeg", ".png")


def claimed(tree: Tree) -> Claims:
    claims: Claims = {}
    for name in _METADATA:
        for folder in tree.having(name):
            metadata = tree.inside(folder)[name]
            together, apart = tree.inside(folder, "rgbd"), tree.inside(folder, "depth")
            depths = of_suffix(together, ".depth") or of_suffix(apart, ".exr")
            photos = of_suffix(together if together else tree.inside(folder, "rgb"), *_PHOTOS)
            if not depths or not photos or metadata.relative in claims:
                continue
            claims |= {file.relative: claim(file, "photo", NAME) for file in photos}
            depth = depth_beside(photos, depths, NAME, number)
            claims |= depth | confidence_beside(depth, of_suffix(together, ".conf"), NAME, number)
            claims[metadata.relative] = claim(metadata, "poses", NAME, folder)
            for file in tree.inside(folder).values():  # a thumbnail, the video without depth
                if file.kind in ("photo", "video"):
                    claims[file.relative] = leave(file, NAME, "a preview of the recording")
    return claims


class Reader:
    """Reads each file once."""

    def __init__(self) -> None:
        self._read: dict[Path, Mapping[str, Any]] = {}

    def frame(self, photo: SourceFile, size: tuple[int, int], files: Sequence[SourceFile], session: str) -> DeviceFrame:
        """Of the photo whose name ends with the frame's number. Raises InputError where the file is no such metadata."""
        path = Path(files[0].path)
        if path not in self._read:
            self._read[path] = read_object(path)
        values, index = self._read[path], int(number(photo.relative) or -1)
        poses = values.get("poses")
        if not isinstance(poses, list):
            raise InputError("metadata without poses")
        depth_size = _size(values.get("dw"), values.get("dh"))
        lens = _lens(values, index, size)
        row = poses[index] if 0 <= index < len(poses) else None
        if not isinstance(row, list) or len(row) != 7:
            return DeviceFrame(None, lens, ("the device states no pose of it",), depth_size)
        try:
            matrix, faults = checked_quaternion(row[:4], row[4:])
        except InputError as error:
            return DeviceFrame(None, lens, (str(error),), depth_size)
        return DeviceFrame(device_pose(cam_from_opengl(matrix), session, upright=False), lens, faults, depth_size)


def _lens(values: Mapping[str, Any], index: int, size: tuple[int, int]) -> Pinhole | None:
    each, matrix = values.get("perFrameIntrinsicCoeffs"), values.get("K")
    width, height = values.get("w", size[0]), values.get("h", size[1])
    if isinstance(each, list) and 0 <= index < len(each) and isinstance(each[index], list) and len(each[index]) >= 4:
        found = pinhole(each[index][:4], width, height)
        if found is not None:
            return found
    if not isinstance(matrix, list) or len(matrix) != 9:
        return None
    return pinhole([matrix[0], matrix[4], matrix[6], matrix[7]], width, height)


def _size(width: Any, height: Any) -> tuple[int, int] | None:
    good = all(isinstance(side, int | float) and 0 < side < 1e5 for side in (width, height))
    return (int(width), int(height)) if good else None
