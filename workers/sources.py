"""A capture's uploads as the pipeline's source: listed once, fetched as far as a shard needs them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from recon.capture.source import Source, SourceFile, open_source, read_source, write_source
from recon.errors import EmptyCapture, InputError
from workers.errors import StoreDamaged
from workers.names import checked_name
from workers.places import Place

_UPLOAD, _UNPACKED = "upload:", "unpacked:"


@dataclass(frozen=True)
class Upload:
    """One uploaded file: the name its user gave it, and its key among the owner's uploads."""

    name: str
    object: str


def source_key(uploads: Sequence[Upload]) -> str:
    """The folder that lists these uploads: another one as soon as any is added or replaced."""
    rows = sorted((upload.name, upload.object) for upload in uploads)
    return f"source-{hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]}/0000"


def prepare(place: Place, uploads: Sequence[Upload]) -> str:
    """List the uploads as ``recon process`` would list a folder of them, and keep the list. Returns its key.

    One file alone counts as itself, so that a zip is unpacked. Raises what ``open_source`` raises.
    """
    key = source_key(uploads)
    if place.store.exists(key):
        return key
    if not uploads:
        raise EmptyCapture("the capture has no file", "Upload photos, a video or a zip first")
    with place.store.scratch() as folder, place.store.scratch() as workspace:
        objects = lay_out(place, uploads, workspace / "capture")
        alone = workspace / "capture" / uploads[0].name
        source = open_source(alone if len(uploads) == 1 else workspace / "capture", workspace)
        files = [replace(file, path=_kept(file, objects, workspace, folder)) for file in source.files]
        write_source(Source(Path("capture"), tuple(files)), folder)
        place.store.push(folder, key, {})
    return key


@contextmanager
def local_source(place: Place, key: str, names: Collection[str]) -> Iterator[Path]:
    """A folder with ``source.json`` whose paths are local; the files called ``names`` are fetched, others may be absent."""
    listed = place.store.pull(key)
    source = read_source(listed)
    with place.store.scratch() as folder:
        files = []
        for index, file in enumerate(source.files):
            path = _local(place, file, listed, file.name in names)
            # linked under the suffix that it was uploaded with: some readers go by it
            link = folder / f"{index:06d}{PurePosixPath(file.relative).suffix}"
            link.symlink_to(path)
            files.append(replace(file, path=str(link)))
        write_source(Source(listed, tuple(files)), folder)  # its key derives from names and content, so it stays what it was
        yield folder


def lay_out(place: Place, uploads: Sequence[Upload], root: Path) -> dict[str, str]:
    """The uploads under their names below root, to be read only, and each path's object."""
    objects = {}
    for upload in uploads:
        target = root / checked_name(upload.name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise InputError(f"{upload.name!r} lies in a folder that has the name of a file of the capture", "Rename it") from None
        try:
            path = place.upload_path(upload.object)
        except KeyError:
            raise StoreDamaged(f"{upload.name!r} is gone from the store", "Delete the file and upload it again") from None
        try:
            os.link(path, target)
        except FileExistsError:
            raise InputError(f"{upload.name!r} is the name of a folder of the capture too", "Rename it") from None
        except OSError:  # another file system
            shutil.copyfile(path, target)
        objects[str(target)] = upload.object
    return objects


def _kept(file: SourceFile, objects: dict[str, str], workspace: Path, folder: Path) -> str:
    """A path that means something on every machine."""
    if file.path in objects:
        return _UPLOAD + objects[file.path]
    if file.kind == "ignored":
        return ""
    relative = Path(file.path).relative_to(workspace / "unpacked")
    target = folder / "unpacked" / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file.path, target)
    return _UNPACKED + relative.as_posix()


def _local(place: Place, file: SourceFile, listed: Path, wanted: bool) -> Path:
    kind, _, where = file.path.partition(":")
    if f"{kind}:" == _UNPACKED:
        return listed / "unpacked" / where
    if f"{kind}:" == _UPLOAD and wanted:
        return place.upload_path(where)
    return Path("not fetched")
