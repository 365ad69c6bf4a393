"""What the user gave: a video, a photo, a folder of them or a zip, listed, named and hashed."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from recon.capture import devicefiles, masks, rgbd
from recon.capture.archive import MANIFEST, unpack
from recon.capture.hashcache import HashCache
from recon.capture.names import natural_key, safe_names, shown
from recon.capture.twins import stem, without_twins
from recon.errors import EmptyCapture, InputError, NotFound

SOURCE_FILE = "source.json"
PHOTO_SUFFIXES = frozenset([".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".heic", ".heif", ".hif", ".avif", ".webp", ".bmp"])
RAW_SUFFIXES = frozenset([".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".raf"])
VIDEO_SUFFIXES = frozenset([".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".3gp", ".vrs"])
TELEMETRY_SUFFIXES = frozenset([".srt"])
_UNSTITCHED_SUFFIXES = frozenset([".insv", ".insp", ".360"])
_UNSTITCHED = "the two pictures of a 360 camera, not stitched: export it as equirectangular (2:1) with the camera's own program"
_ARCHIVE_SUFFIXES = frozenset([".zip", ".rar", ".7z", ".tar", ".tgz", ".gz", ".r3d"])
RUN_FOLDER = ".recon"
_SYSTEM_FOLDERS = frozenset({"__MACOSX", "System Volume Information", "$RECYCLE.BIN"})

Kind = Literal["photo", "video", "telemetry", "depth", "confidence", "calibration", "mask", "poses", "ignored"]
"""Telemetry is what a device wrote beside a video of the same name: it is read with it. ``rgbd`` tells depth, confidence, calibration;
``masks`` tells masks; ``devices`` what a tablet's app wrote: poses are its files that state poses and intrinsics."""


@dataclass(frozen=True)
class SourceFile:
    """A file of the capture."""

    path: str
    """Absolute; a name that is not UTF-8 keeps its bytes by ``surrogateescape``."""
    relative: str
    """Relative to the capture, '/' between folders, printable."""
    name: str
    """Unique in the capture and safe as a path: what images are called from here on."""
    kind: Kind
    size: int
    sha256: str = ""
    """Of the content; empty where ignored, and in a source that was not hashed."""
    reason: str = ""
    """Why it is ignored."""
    lost: bool = False
    """Whether it was ignored though its user may count on it: unreadable, empty, a link, an archive, telemetry of no video."""
    belongs_to: str = ""
    """``relative`` of a depth image's photo or video, of a confidence image's depth image; of a calibration file the folder; of a mask
    its photo or video; of poses the photo, the video or the folder."""
    device: str = ""
    """The app that wrote it, where it was recognised as a scan's."""


class DepthFiles(NamedTuple):
    """What a device measured beside a photo, or for a frame of a video."""

    depth: SourceFile
    confidence: SourceFile | None


@dataclass(frozen=True)
class Source:
    """All files of a capture, in natural order of their names."""

    path: Path
    files: tuple[SourceFile, ...]

    @property
    def photos(self) -> list[SourceFile]:
        return [file for file in self.files if file.kind == "photo"]

    @property
    def videos(self) -> list[SourceFile]:
        return [file for file in self.files if file.kind == "video"]

    @property
    def telemetry(self) -> dict[str, SourceFile]:
        """The file beside a video that says where it was filmed, by the video's name."""
        stems = {stem(file): file for file in reversed(self.files) if file.kind == "telemetry"}
        return {video.name: stems[stem(video)] for video in self.videos if stem(video) in stems}

    @property
    def depth(self) -> dict[str, DepthFiles]:
        """The depth image of each photo that has one, by the photo's name."""
        sure = {file.belongs_to: file for file in self.files if file.kind == "confidence"}
        of_photo = {file.belongs_to: file for file in self.files if file.kind == "depth"}
        pairs = [(photo.name, of_photo[photo.relative]) for photo in self.photos if photo.relative in of_photo]
        return {name: DepthFiles(depth, sure.get(depth.relative)) for name, depth in pairs}

    @property
    def masks(self) -> dict[str, list[SourceFile]]:
        """What hides parts of a photo (one file) or of a video's frames, by the photo's or video's name."""
        owners = {file.relative: file.name for file in self.photos + self.videos}
        found: dict[str, list[SourceFile]] = {}
        for file in self.files:
            if file.kind == "mask" and file.belongs_to in owners:
                found.setdefault(owners[file.belongs_to], []).append(file)
        return found

    @property
    def calibration(self) -> dict[str, list[SourceFile]]:
        """Files that state the camera of photos with depth beside them, by the photo's name."""
        stated: dict[str, list[SourceFile]] = {}
        for file in self.files:
            if file.kind == "calibration":
                stated.setdefault(file.belongs_to, []).append(file)
        folders = {file.belongs_to.rpartition("/")[0] for file in self.files if file.kind == "depth"} if stated else set()
        found = {}
        for photo in self.photos:
            folder = photo.relative.rpartition("/")[0]
            if folder in folders:
                found[photo.name] = stated.get(folder) or stated.get(folder.rpartition("/")[0]) or []
        return {name: files for name, files in found.items() if files}

    @property
    def poses(self) -> dict[str, list[SourceFile]]:
        """Files in which a device states poses, by the photo's or video's name: those of its whole folder first."""
        of: dict[str, list[SourceFile]] = {}
        for file in self.files:
            if file.kind == "poses":
                of.setdefault(file.belongs_to, []).append(file)
        found = {}
        for file in self.photos + self.videos if of else ():
            above = file.relative.rpartition("/")[0]
            while above and above not in of:
                above = above.rpartition("/")[0]
            stated = [*of.get(above, ()), *of.get(file.relative, ())] if file.device else []
            if stated:
                found[file.name] = stated
        return found

    @property
    def frames(self) -> dict[str, list[DepthFiles]]:
        """The depth images of a video's frames, in order of their names, by the video's name."""
        sure = {file.belongs_to: file for file in self.files if file.kind == "confidence"}
        videos = {video.relative: video.name for video in self.videos}
        found: dict[str, list[DepthFiles]] = {}
        for file in self.files:
            if file.kind == "depth" and file.belongs_to in videos:
                found.setdefault(videos[file.belongs_to], []).append(DepthFiles(file, sure.get(file.relative)))
        return found

    @property
    def ignored(self) -> list[SourceFile]:
        return [file for file in self.files if file.kind == "ignored"]

    @property
    def lost(self) -> list[SourceFile]:
        return [file for file in self.files if file.lost]

    @property
    def key(self) -> str:
        """Hash of what will be read, names and content, and of what is told as lost: the recipe of ``ingest``.

        Where it lies does not matter.
        """
        rows = [(file.relative, file.name, file.sha256) for file in self.files if file.kind != "ignored"]
        if not all(sha256 for *_, sha256 in rows):
            raise ValueError("a source that was not hashed has no key")
        rows += [(file.relative, "", file.reason) for file in self.lost]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def open_source(path: Path, workspace: Path, *, hashed: bool = True) -> Source:
    """List the capture at ``path``: a video, a photo, a folder of photos and videos (with sub-folders), or a zip of these.

    A zip is unpacked into ``workspace``, once for each content; hashes of files that did not change are remembered there.
    With ``hashed=False`` content is not read (a zip's is). Raises NotFound for a path that does not exist or can't be
    read, InputError for a file of another kind, EmptyCapture, and what ``archive.unpack`` raises.
    """
    from recon.capture import devices  # geometry, which those who only read a list can do without

    path, workspace = Path(os.path.abspath(path)), Path(os.path.abspath(workspace))
    try:
        mode = path.stat().st_mode
        workspace.mkdir(parents=True, exist_ok=True)
        if stat.S_ISDIR(mode):
            files = list(_walk(path))
        elif not stat.S_ISREG(mode):
            raise InputError(f"{shown(str(path))} is neither a file nor a folder")
        else:
            files = _from_file(path, workspace)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{shown(str(path))} does not exist") from None
    except PermissionError as error:
        raise NotFound(f"{shown(str(error.filename or path))} can't be read: {error.strerror}", "Check its permissions") from None
    files = without_twins(sorted(files, key=lambda file: natural_key(file.relative)), RAW_SUFFIXES)
    files = rgbd.recognised(devices.recognised(masks.recognised(files)))
    _refuse_empty(path, files)
    if hashed:
        files = _hashed(files, workspace)
        _refuse_empty(path, files)
    files = [
        replace(file, relative=shown(file.relative), belongs_to=shown(file.belongs_to), name=name)
        for file, name in zip(files, _names(files), strict=True)
    ]
    return Source(path, tuple(files))


def write_source(source: Source, folder: Path) -> None:
    """``source.json`` in folder, which exists: the files and the capture's key."""
    rows = {"key": source.key, "path": str(source.path), "files": [asdict(file) for file in source.files]}
    # ASCII escapes: paths may hold bytes that are not UTF-8
    (folder / SOURCE_FILE).write_text(json.dumps(rows, indent=1, sort_keys=True), encoding="ascii")


def read_source(folder: Path) -> Source:
    rows = json.loads((folder / SOURCE_FILE).read_text(encoding="ascii"))
    return Source(Path(rows["path"]), tuple(SourceFile(**row) for row in rows["files"]))


def kind_of(name: str) -> Kind:
    """What a file is by its suffix; content is looked at when it is read."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in PHOTO_SUFFIXES or suffix in RAW_SUFFIXES:
        return "photo"
    if suffix in TELEMETRY_SUFFIXES:
        return "telemetry"
    return "video" if suffix in VIDEO_SUFFIXES else "ignored"


def is_media(name: str) -> bool:
    """Whether a file is a photo or a video, by its suffix."""
    return kind_of(name) in ("photo", "video")


def _listed(path: Path, relative: str, size: int) -> SourceFile:
    kind, reason = kind_of(relative), ""
    if _is_archive(relative):
        reason = "an archive in the capture: unpack it, or pass a .zip alone"
    elif PurePosixPath(relative).suffix.lower() in _UNSTITCHED_SUFFIXES:
        reason = _UNSTITCHED
    elif kind == "ignored":
        reason = f"neither photo nor video ({PurePosixPath(relative).suffix.lower() or 'no suffix'})"
    elif size == 0:
        kind, reason = "ignored", "an empty file"
    return SourceFile(str(path), relative, "", kind, size, reason=reason, lost=kind == "ignored" and _is_wanted(relative))


def _is_archive(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _ARCHIVE_SUFFIXES


def _is_wanted(name: str) -> bool:
    """Whether the name is that of a photo, a video or an archive."""
    return is_media(name) or _is_archive(name) or PurePosixPath(name).suffix.lower() in _UNSTITCHED_SUFFIXES


def _from_file(path: Path, workspace: Path) -> list[SourceFile]:
    with path.open("rb"):
        pass  # PermissionError now rather than as a broken photo later
    if is_media(path.name):
        return [_listed(path, path.name, path.stat().st_size), *_beside(path)]
    if path.suffix.lower() in (".zip", ".r3d") or zipfile.is_zipfile(path):
        return _from_zip(path, workspace)
    if path.suffix.lower() in _UNSTITCHED_SUFFIXES:
        raise InputError(f"{shown(path.name)} holds {_UNSTITCHED}")
    raise InputError(f"{shown(str(path))} is no photo, video or zip", "Pass a video, a photo, a folder of them, or a .zip")


def _beside(path: Path) -> Iterator[SourceFile]:
    """What a device wrote beside a video that is passed alone."""
    if kind_of(path.name) != "video":
        return
    try:
        names = sorted(entry.name for entry in os.scandir(path.parent))
    except OSError:
        return  # the video itself can be read, and that will do
    if path.suffix.lower() == ".vrs":
        from recon.capture import ariatrack

        for other in ariatrack.beside(path):
            yield _listed(other, other.relative_to(path.parent).as_posix(), other.stat().st_size)
    for name in names:
        other = path.with_name(name)
        if kind_of(name) == "telemetry" and other.stem.casefold() == path.stem.casefold() and other.is_file():
            yield _listed(other, name, other.stat().st_size)


def _from_zip(path: Path, workspace: Path) -> list[SourceFile]:
    cache = HashCache(workspace)
    target = workspace / "unpacked" / cache.sha256(path)[:16]
    cache.save()
    if not target.exists():
        unpack(path, target, _is_read)
    manifest = json.loads((target / MANIFEST).read_text(encoding="ascii"))
    files = [_listed(target / file, name, (target / file).stat().st_size) for file, name in manifest["files"]]
    for name, reason in manifest["ignored"]:
        if not _hidden(name):
            listed = _listed(target / MANIFEST, name, 0)
            files.append(replace(listed, kind="ignored", reason=reason or listed.reason, lost=_is_wanted(name)))
    return files


def _is_read(name: str) -> bool:
    """Whether a file of an archive may be of use, by its name."""
    return not _hidden(name) and (kind_of(name) != "ignored" or rgbd.is_calibration(name) or devicefiles.may_be_wanted(name))


def _hidden(relative: str) -> bool:
    return any(part.startswith(".") or part in _SYSTEM_FOLDERS for part in relative.split("/"))


def _walk(root: Path) -> Iterator[SourceFile]:
    """Every file below root but hidden ones, those behind links that lead outside, and those of finished runs."""
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise
            yield _ignored(root, folder, f"a folder that can't be read: {error.strerror}")
            continue
        if folder != root and any(entry.name == RUN_FOLDER for entry in entries):
            yield _ignored(root, folder, "a folder of results", lost=False)
            continue
        for entry in entries:
            if _hidden(entry.name):
                continue
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            else:
                yield _entry(root, path, entry)


def _entry(root: Path, path: Path, entry: os.DirEntry[str]) -> SourceFile:
    try:
        found = entry.stat()
        if entry.is_symlink() and (stat.S_ISDIR(found.st_mode) or not path.resolve().is_relative_to(root.resolve())):
            return _ignored(root, path, "a link that leads elsewhere")
        if not stat.S_ISREG(found.st_mode):
            return _ignored(root, path, "not a regular file")
        return _listed(path, path.relative_to(root).as_posix(), found.st_size)
    except OSError as error:
        return _ignored(root, path, f"can't be read: {error.strerror}")


def _ignored(root: Path, path: Path, reason: str, lost: bool = True) -> SourceFile:
    return SourceFile(str(path), path.relative_to(root).as_posix(), "", "ignored", 0, reason=reason, lost=lost)


def _names(files: list[SourceFile]) -> list[str]:
    """Safe names, of files of one path in a zip as well: the first is the one that counts."""
    seen: Counter[str] = Counter()
    relatives = []
    for file in files:
        relatives.append(f"{file.relative}~{seen[file.relative]}" if seen[file.relative] else file.relative)
        seen[file.relative] += 1
    return safe_names(relatives)


def _refuse_empty(path: Path, files: list[SourceFile]) -> None:
    if any(file.kind in ("photo", "video") for file in files):
        return
    if lost := [file for file in files if file.lost]:
        raise EmptyCapture(
            f"nothing in {shown(str(path))} can be used: {_found(lost)}, the first is {shown(lost[0].relative)}",
            "Make the files readable, copy them whole in place of links, and unpack archives",
        )
    raise EmptyCapture(f"no photo or video in {shown(str(path))}: {_found(files)}", "Photos are .jpg, .png, .tif, .heic, .webp or .dng")


def _found(files: list[SourceFile]) -> str:
    if not files:
        return "it is empty"
    count = Counter(file.reason for file in files)
    return f"{len(files)} file{'s' if len(files) > 1 else ''} (" + ", ".join(f"{n} {reason}" for reason, n in count.most_common(3)) + ")"


def _hashed(files: list[SourceFile], workspace: Path) -> list[SourceFile]:
    cache = HashCache(workspace)

    def hashed(file: SourceFile) -> SourceFile:
        if file.kind == "ignored":
            return file
        try:
            return replace(file, sha256=cache.sha256(Path(file.path)))
        except OSError as error:
            return replace(file, kind="ignored", reason=f"can't be read: {error.strerror}", lost=True)

    with ThreadPoolExecutor(max_workers=4) as pool:
        result = list(pool.map(hashed, files))
    cache.save()
    return result
