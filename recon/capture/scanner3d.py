"""3D Scanner App, "all data": ``frame_00000.jpg`` with ``frame_00000.json``, ``depth_00000.png`` (or ``.exr``) and ``conf_00000.png``.

There is no public description; three readers agree: ``cameraPoseARFrame`` is 16 numbers, rows of ARKit's camera to world, ``intrinsics``
9 numbers, rows, for the size of the photo. Depth is in millimetres. Not every frame with depth has a photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recon.capture.device import DeviceFrame, checked_matrix, device_pose, pinhole, read_object
from recon.capture.devicefiles import Claims, Tree, claim, confidence_beside, depth_beside, leave, number, of_suffix
from recon.errors import InputError
from recon.geometry.frames import cam_from_arkit

if TYPE_CHECKING:
    from recon.capture.source import SourceFile

NAME = "3D Scanner App"
_LOOKED_AT = 5
_ALONE = "a frame of the scan without a photo"


def claimed(tree: Tree) -> Claims:
    claims: Claims = {}
    for folder in list(tree.folders):
        inside = tree.inside(folder)
        cameras = [file for name, file in inside.items() if name.startswith("frame_") and name.endswith(".json")]
        if not any(_is_camera(file.path) for file in cameras[:_LOOKED_AT]):
            continue
        photos = [file for name, file in inside.items() if name.startswith("frame_") and name.endswith((".jpg", ".jpeg"))]
        for file in inside.values():  # thumbnails and textures
            if file.kind in ("photo", "video"):
                claims[file.relative] = leave(file, NAME, "no frame of the scan: a preview or a texture")
        claims |= {file.relative: claim(file, "photo", NAME) for file in photos}
        by_number = {number(file.relative): file.relative for file in photos}
        for file in cameras:
            photo = by_number.get(number(file.relative))
            claims[file.relative] = claim(file, "poses", NAME, photo) if photo else leave(file, NAME, _ALONE)
        depths = [file for name, file in inside.items() if name.startswith("depth_") or name.endswith(".exr")]
        depth = depth_beside(photos, depths, NAME, number, _ALONE)
        sure = [file for file in of_suffix(inside, ".png") if file.relative.rpartition("/")[2].casefold().startswith("conf")]
        claims |= depth | confidence_beside(depth, sure, NAME, number)
    return claims


def _is_camera(path: str) -> bool:
    try:
        return "cameraPoseARFrame" in read_object(Path(path))
    except InputError:
        return False


class Reader:
    def frame(self, photo: SourceFile, size: tuple[int, int], files: Sequence[SourceFile], session: str) -> DeviceFrame:
        """Raises InputError where the camera can't be read."""
        values = read_object(Path(files[0].path))
        pose = None
        faults: tuple[str, ...] = ()
        try:
            pose = device_pose(cam_from_arkit(checked_matrix(values.get("cameraPoseARFrame"))), session)
        except InputError as error:
            faults = (str(error),)
        matrix = values.get("intrinsics")
        lens = None
        if isinstance(matrix, list) and len(matrix) == 9:
            lens = pinhole([matrix[0], matrix[4], matrix[2], matrix[5]], *size)
        return DeviceFrame(pose, lens, faults)
