"""Masks beside photos and videos: which files are masks, and what each belongs to.

Recognised by a folder called ``masks`` (COLMAP's and nerfstudio's way) or by a name such as ``IMG_1_mask.png``, where that fits a photo
or a video, and by a look at the first of a folder: a mask is black and white. ``maskimage`` reads the pixels.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from recon.capture.source import SourceFile

_FOLDER = re.compile(r"(?:(?P<of>.+)[_-])?masks?", re.IGNORECASE)
_NAMED = re.compile(r"(?P<base>.+)[._-]mask", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)\D*$")
_MOSTLY = 0.5
_ASTRAY = "a mask that fits no photo or video: none has its name"
_TWICE = "a second mask of {}"
_LOOK_PX = 64
_FLAT = 0.9
"""Share of a mask's pixels that are nearly black or nearly white; the rest are soft edges."""


class _Group(NamedTuple):
    """A folder of masks: ``parent/masks/inside``, or ``parent/OF_masks/inside``."""

    parent: str
    of: str
    inside: str


def recognised(files: Sequence[SourceFile]) -> list[SourceFile]:
    """The files, in natural order of their names as they come, with masks named as such.

    ``belongs_to`` of a mask is its photo or its video. Masks of nothing are ignored with the reason.
    """
    groups: dict[_Group, list[SourceFile]] = defaultdict(list)
    named: dict[str, list[SourceFile]] = defaultdict(list)
    others = []
    for file in files:
        group = _group(file) if file.kind == "photo" else None
        if group is not None:
            groups[group].append(file)
        elif file.kind == "photo" and _NAMED.fullmatch(_base(file)):
            named[_folder(file.relative)].append(file)
        else:
            others.append(file)
    if not groups and not named:
        return list(files)
    belongs: dict[str, str] = {}
    astray: set[str] = set()
    for group, inside in groups.items():
        found = _of_group(group, inside, others)
        if _are_masks(inside, found):
            belongs |= found
            astray |= {file.relative for file in inside} - set(found)
    for folder, inside in named.items():
        found = _by_name(inside, [other for other in others if _folder(other.relative) == folder])
        belongs |= found if _are_masks([file for file in inside if file.relative in found], found) else {}
    return _renamed(files, belongs, astray)


def _group(file: SourceFile) -> _Group | None:
    parts = file.relative.split("/")[:-1]
    for at in reversed(range(len(parts))):
        if found := _FOLDER.fullmatch(parts[at]):
            return _Group("/".join(parts[:at]), (found["of"] or "").casefold(), "/".join(parts[at + 1 :]))
    return None


def _of_group(group: _Group, inside: Sequence[SourceFile], others: Sequence[SourceFile]) -> dict[str, str]:
    """What each mask of a folder belongs to, by path."""
    photos = [file for file in others if file.kind == "photo" and _lies(file, group)]
    found = _by_name(inside, photos)
    if photos and len(found) < _MOSTLY * min(len(inside), len(photos)):
        found = _joined(inside, photos, _number, _number) or found
    videos = [file for file in others if file.kind == "video" and _lies(file, group)]
    filmed = [file for file in others if file.kind == "video" and _names_it(file, group)] or videos
    whole = _by_name(inside, videos)
    if not found and len(filmed) == 1:
        numbered = [file for file in inside if file.relative not in whole and _number(file.relative)]
        found = {file.relative: filmed[0].relative for file in numbered}
    return {**whole, **found}


def _lies(file: SourceFile, group: _Group) -> bool:
    """Whether a file lies where the group's masks look for it: beside their folder, or in a folder beside it, as deep as they do."""
    folder = _folder(file.relative)
    if group.parent and not f"{folder}/".startswith(f"{group.parent}/"):
        return False
    below = folder[len(group.parent) :].lstrip("/")
    first, _, rest = below.partition("/")
    if group.of:
        return first.casefold() == group.of and rest == group.inside
    return group.inside in (below, rest) if below else not group.inside


def _names_it(video: SourceFile, group: _Group) -> bool:
    """Whether the folder of masks bears a video's name: ``walk_masks`` or ``masks/walk``."""
    name = group.of or group.inside.casefold()
    return _folder(video.relative) == group.parent and name in (_stem(video.relative), PurePosixPath(video.relative).name.casefold())


def _by_name(masks: Sequence[SourceFile], files: Sequence[SourceFile]) -> dict[str, str]:
    """Of ``a.jpg`` is ``a.jpg.png``, else ``a.png``, each with ``_mask`` before the end or not."""
    by_stem = _joined(masks, files, _stripped, _stem)
    return {**by_stem, **_joined(masks, files, _stripped, lambda relative: PurePosixPath(relative).name.casefold())}


def _joined(
    masks: Iterable[SourceFile], files: Iterable[SourceFile], of_mask: Callable[[str], str], of_file: Callable[[str], str]
) -> dict[str, str]:
    """Pairs of equal keys, of those that are unique among the files."""
    by_key: dict[str, list[str]] = defaultdict(list)
    for file in files:
        by_key[of_file(file.relative)].append(file.relative)
    keys = [(mask.relative, of_mask(mask.relative)) for mask in masks]
    return {mask: by_key[key][0] for mask, key in keys if key and len(by_key.get(key, ())) == 1}


def _renamed(files: Sequence[SourceFile], belongs: dict[str, str], astray: set[str]) -> list[SourceFile]:
    videos = {file.relative for file in files if file.kind == "video"}
    taken: set[str] = set()
    result = []
    for file in files:
        owner = belongs.get(file.relative)
        if owner is not None and owner in taken:
            file = replace(file, kind="ignored", reason=_TWICE.format(owner), lost=True)
        elif owner is not None:
            file = replace(file, kind="mask", belongs_to=owner)
            taken |= {owner} - videos
        elif file.relative in astray:
            file = replace(file, kind="ignored", reason=_ASTRAY, lost=True)
        result.append(file)
    return result


def _are_masks(files: Sequence[SourceFile], found: dict[str, str]) -> bool:
    """By a look at the first, one that fits something if any does. A folder of pictures that is called so is left alone."""
    chosen = next((file for file in files if file.relative in found), files[0] if files else None)
    return chosen is not None and _black_and_white(chosen.path)


def _black_and_white(path: str) -> bool:
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG", "JPEG", "TIFF", "BMP", "WEBP")) as image:
            if image.mode in ("I", "I;16", "I;16B", "F"):
                return False  # depth, perhaps
            grey = image.convert("RGBA").getchannel("A") if image.has_transparency_data else image.convert("L")
            small = grey.resize((_LOOK_PX, _LOOK_PX), Image.Resampling.NEAREST)
    except (OSError, ValueError, SyntaxError):
        return False
    counts = small.histogram()
    return sum(counts[:32]) + sum(counts[224:]) >= _FLAT * sum(counts)


def is_of_whole(mask: str, video: str) -> bool:
    """Whether a mask that belongs to a video bears its name, so that it hides the same in all frames."""
    return _stripped(mask) in (_stem(video), PurePosixPath(video).name.casefold())


def frame_number(relative: str) -> int:
    """The number that a mask of a video's frame bears."""
    return int(_number(relative) or 0)


def _number(relative: str) -> str:
    found = _NUMBER.search(_stripped(relative))
    return str(int(found[1])) if found else ""


def _stripped(relative: str) -> str:
    """A mask's name without its suffix and without ``_mask``."""
    base = PurePosixPath(relative).stem
    found = _NAMED.fullmatch(base)
    return (found["base"] if found else base).casefold()


def _base(file: SourceFile) -> str:
    return PurePosixPath(file.relative).stem


def _stem(relative: str) -> str:
    return PurePosixPath(relative).stem.casefold()


def _folder(relative: str) -> str:
    return relative.rpartition("/")[0]
