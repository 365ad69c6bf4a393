"""Polycam's raw data: ``keyframes/`` with images, cameras, depth and confidence of one name, and corrected images and cameras.

Source: the README of PolyCam/polyform. A camera is the 3 x 4 matrix ``t_00`` .. ``t_23`` (rows, camera to world, ARKit's axes) and its
intrinsics. The corrected ones are undistorted and their poses are adjusted on the device. Depth is in millimetres.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recon.capture.device import DeviceFrame, checked_matrix, device_pose, pinhole, read_object
from recon.capture.devicefiles import Claims, Tree, claim, confidence_beside, depth_beside, leave, of_suffix, stem
from recon.errors import InputError
from recon.geometry.frames import cam_from_arkit

if TYPE_CHECKING:
    from recon.capture.source import SourceFile

NAME = "Polycam"
_PHOTOS = (".jpg", ".jpeg", ".png")
_PREVIEWS = ("thumbnail.jpg", "polycam.mp4")


def claimed(tree: Tree) -> Claims:
    claims: Claims = {}
    for path in list(tree.folders):
        folder, _, last = path.rpartition("/")
        if last.casefold() != "images" or not _is_camera(tree, folder):
            continue
        plain = of_suffix(tree.inside(path), *_PHOTOS)
        corrected = of_suffix(tree.inside(folder, "corrected_images"), *_PHOTOS)
        use_corrected = bool(corrected and of_suffix(tree.inside(folder, "corrected_cameras"), ".json"))
        photos, left = (corrected, plain) if use_corrected else (plain, corrected)
        reason = "corrected_images is used in its place" if use_corrected else "an image without its corrected camera"
        claims |= {file.relative: leave(file, NAME, reason) for file in left}
        claims |= {file.relative: claim(file, "photo", NAME) for file in photos}
        by_stem = {stem(file.relative): file.relative for file in photos}
        cameras = tree.inside(folder, "corrected_cameras" if use_corrected else "cameras")
        for file in of_suffix(cameras, ".json"):
            if photo := by_stem.get(stem(file.relative)):
                claims[file.relative] = claim(file, "poses", NAME, photo)
        if use_corrected:
            unused = of_suffix(tree.inside(folder, "cameras"), ".json")
            claims |= {file.relative: leave(file, NAME, "corrected_cameras is used in its place") for file in unused}
        depth = depth_beside(photos, of_suffix(tree.inside(folder, "depth"), ".png"), NAME, stem)
        claims |= depth | confidence_beside(depth, of_suffix(tree.inside(folder, "confidence"), ".png"), NAME, stem)
        above = tree.inside(folder.rpartition("/")[0])
        claims |= {above[name].relative: leave(above[name], NAME, "a preview of the scan") for name in _PREVIEWS if name in above}
    return claims


def _is_camera(tree: Tree, folder: str) -> bool:
    """Whether the cameras beside the images are Polycam's, by the first of them."""
    for name in ("cameras", "corrected_cameras"):
        for file in of_suffix(tree.inside(folder, name), ".json")[:1]:
            try:
                return "t_00" in read_object(Path(file.path))
            except InputError:
                return folder.rpartition("/")[2].casefold() == "keyframes"  # it is broken: the folder's name must tell
    return False


class Reader:
    def frame(self, photo: SourceFile, size: tuple[int, int], files: Sequence[SourceFile], session: str) -> DeviceFrame:
        """Raises InputError where the camera can't be read."""
        values = read_object(Path(files[0].path))
        lens = pinhole([values.get(key) for key in ("fx", "fy", "cx", "cy")], values.get("width"), values.get("height"))
        try:
            matrix = checked_matrix([values.get(f"t_{row}{column}") for row in range(3) for column in range(4)])
        except InputError as error:
            return DeviceFrame(None, lens, (str(error),))
        return DeviceFrame(device_pose(cam_from_arkit(matrix), session), lens)
