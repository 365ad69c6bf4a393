"""Folders of depth images beside photos (RGB-D): which files are depth, and which photo each belongs to.

Recognised by a folder's name and by the pixels' kind, 16 bits of grey or 32-bit floats, which no photo has: a folder called
``depth`` that holds pictures is left alone. Names and headers alone are looked at; ``depthimage`` reads the pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from recon.capture.names import last_number, shown

if TYPE_CHECKING:
    from recon.capture.source import SourceFile

DEPTH_FOLDERS = frozenset({"depth", "depths", "depth_images"})
COLOUR_FOLDERS = ("color", "colour", "rgb", "image", "images", "photos")
CONFIDENCE_FOLDERS = frozenset({"confidence", "conf"})
CALIBRATION_FILES = frozenset(
    {"poses.json", "transforms.json", "intrinsics.json", "camera_intrinsic.json", "camera_intrinsics.json", "camera.json"}
    | {"depth.json", "camera_matrix.csv", "intrinsics.txt"}
)
"""Files beside these folders that may state the camera's intrinsics or the unit of the depth images; ``calibration`` reads them."""
_SUFFIXES = frozenset({".png", ".tif", ".tiff"})
_MOSTLY = 0.5


def is_calibration(name: str) -> bool:
    return PurePosixPath(name).name.casefold() in CALIBRATION_FILES


def recognised(files: Sequence[SourceFile]) -> list[SourceFile]:
    """The files, in natural order of their names as they come, with depth, confidence and calibration named as such.

    ``belongs_to`` of a depth image is its photo, of a confidence image its depth image, of a calibration file its folder. Depth
    images without a photo are ignored with the reason. Captures without a folder of depth come back as they are.
    """
    by_folder: dict[str, list[SourceFile]] = defaultdict(list)
    for file in files:
        if not file.device:  # a device's files are told apart already
            by_folder[_folder(file)].append(file)
    changed: dict[str, SourceFile] = {}
    for folder, inside in by_folder.items():
        if _last(folder) in DEPTH_FOLDERS:
            changed |= _of_folder(folder, inside, by_folder)
    return [changed.get(file.relative, file) for file in files]


def _of_folder(folder: str, inside: Sequence[SourceFile], by_folder: dict[str, list[SourceFile]]) -> dict[str, SourceFile]:
    """What changes by a folder with a name of depth, by path: nothing where it holds pictures."""
    images = [file for file in inside if file.kind == "photo"]
    depths = [file for file in images if looks_like_depth(file)]
    if not depths or len(depths) < _MOSTLY * len(images):
        return {}
    parent = _parent(folder)
    changed = {file.relative: _ignored(file, "in a folder of depth images, and none: they have 16 bits of grey") for file in images}
    photo_of, fault = _photos_of(depths, parent, by_folder)
    for file in depths:
        photo = photo_of.get(file.relative)
        changed[file.relative] = replace(file, kind="depth", belongs_to=photo) if photo else _ignored(file, fault)
    sure = _confidence(photo_of, parent, by_folder)
    changed |= sure
    for file in by_folder.get(parent, ()):
        if photo_of and is_calibration(file.relative) and file.size:
            changed[file.relative] = replace(file, kind="calibration", belongs_to=parent, reason="", lost=False)
    return changed


def _photos_of(depths: Sequence[SourceFile], parent: str, by_folder: dict[str, list[SourceFile]]) -> tuple[dict[str, str], str]:
    """The photo of each depth image, from the folder beside that fits best; and why the others have none."""
    best: dict[str, str] = {}
    counts = []
    for folder, inside in by_folder.items():
        beside = _parent(folder) == parent and _last(folder) in COLOUR_FOLDERS and folder != ""
        photos = [file for file in inside if file.kind == "photo"]
        if not photos or not (beside or folder == parent):
            continue
        counts.append(f"{len(photos)} photos in {shown(folder) or 'the folder above'}")
        found = _matched(depths, photos, by_order=beside)
        if len(found) > len(best):
            best = found
    if best:
        return best, "a depth image without a photo: none has its name"
    if not counts:
        return {}, f"a depth image without photos: they are looked for in a folder beside it ({', '.join(COLOUR_FOLDERS)})"
    return {}, f"{len(depths)} depth images and {', '.join(counts)} have no names in common: which belong together can't be told"


def _matched(depths: Sequence[SourceFile], photos: Sequence[SourceFile], by_order: bool) -> dict[str, str]:
    """Photo by depth image, both as paths: by equal names, else by the last number in them, else by order where they are as many."""
    few = min(len(depths), len(photos))
    by_name = _joined(depths, photos, _stem)
    by_number = _joined(depths, photos, _number)
    for found in (by_name, by_number):
        if len(found) >= max(1, _MOSTLY * few):
            return found
    if by_order and len(depths) == len(photos):
        return {depth.relative: photo.relative for depth, photo in zip(depths, photos, strict=True)}
    return by_name


def _joined(depths: Sequence[SourceFile], photos: Sequence[SourceFile], key: Callable[[str], str]) -> dict[str, str]:
    """Pairs of equal keys, of those that are unique on both sides."""
    photo_by, depth_by = _unique(photos, key), _unique(depths, key)
    return {depth: photo_by[value] for value, depth in depth_by.items() if value in photo_by}


def _unique(files: Iterable[SourceFile], key: Callable[[str], str]) -> dict[str, str]:
    found: dict[str, str] = {}
    twice = set()
    for file in files:
        value = key(file.relative)
        if value in found:
            twice.add(value)
        found[value] = file.relative
    return {value: relative for value, relative in found.items() if value and value not in twice}


def _stem(relative: str) -> str:
    return PurePosixPath(relative).stem.casefold()


def _number(relative: str) -> str:
    """The last number in a file's name, without leading zeros; empty without one."""
    return last_number(PurePosixPath(relative).stem)


def _confidence(photo_of: dict[str, str], parent: str, by_folder: dict[str, list[SourceFile]]) -> dict[str, SourceFile]:
    """Images that say how sure the depth is, of the depth image with the same name or number."""
    changed = {}
    for folder, inside in by_folder.items():
        if folder == "" or _parent(folder) != parent or _last(folder) not in CONFIDENCE_FOLDERS:
            continue
        images = [file for file in inside if file.kind == "photo" and PurePosixPath(file.relative).suffix.lower() in _SUFFIXES]
        found: dict[str, str] = {}
        for key in (_stem, _number):
            depth_by = {key(relative): relative for relative in photo_of}
            found = found or {file.relative: depth_by[key(file.relative)] for file in images if key(file.relative) in depth_by}
        for file in images:
            depth = found.get(file.relative)
            alone = "a confidence image without a depth image: none has its name"
            changed[file.relative] = replace(file, kind="confidence", belongs_to=depth) if depth else _ignored(file, alone, lost=False)
    return changed


def looks_like_depth(file: SourceFile) -> bool:
    """Whether it has one channel of 16 bits or of floats, by its header."""
    suffix = PurePosixPath(file.relative).suffix.lower()
    if suffix not in _SUFFIXES:
        return False
    try:
        if suffix == ".png":
            with open(file.path, "rb") as stream:
                header = stream.read(26)
            return len(header) == 26 and header[24:26] == b"\x10\x00"
        from PIL import Image

        with Image.open(file.path, formats=("TIFF",)) as image:
            return image.mode in ("I;16", "I;16B", "F")
    except (OSError, ValueError, SyntaxError):
        return False


def _ignored(file: SourceFile, reason: str, lost: bool = True) -> SourceFile:
    return replace(file, kind="ignored", reason=reason, lost=lost)


def _folder(file: SourceFile) -> str:
    return file.relative.rpartition("/")[0]


def _parent(folder: str) -> str:
    return folder.rpartition("/")[0]


def _last(folder: str) -> str:
    return folder.rpartition("/")[2].casefold()
