"""Many artifacts as one zip, made while it is sent: nothing of it is kept in memory or on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath

from stream_zip import ZIP_AUTO, MemberFile, stream_zip

from api.artifacts.kept import Kept
from api.artifacts.media import is_compressed
from workers.models import Artifact

_CHUNK_BYTES = 2**18
_MODE = 0o100644
_LEVEL = 6


def zipped(kept: Kept, artifacts: Sequence[Artifact]) -> Iterable[bytes]:
    """ZIP64 where sizes demand it. What is compressed already is stored: level 0 writes its bytes as they are."""
    return stream_zip(_members(kept, artifacts), chunk_size=_CHUNK_BYTES)


def _members(kept: Kept, artifacts: Sequence[Artifact]) -> Iterator[MemberFile]:
    taken: set[str] = set()
    for artifact in artifacts:
        name = inner_name(artifact.name, taken)
        taken.add(name)
        method = ZIP_AUTO(artifact.size, level=0 if is_compressed(name) else _LEVEL)
        yield name, datetime.fromtimestamp(artifact.created_s, UTC), _MODE, method, kept.stream(artifact)


def inner_name(name: str, taken: set[str]) -> str:
    """A name that unpacks below the folder it is unpacked in, on Windows too, and that no other file of the zip has."""
    parts = [_safe(part) for part in PurePosixPath(name).parts if part not in ("/", "..")] or ["file"]
    found, n = "/".join(parts), 1
    while found in taken:
        n += 1
        found = "/".join([*parts[:-1], f"{n}-{parts[-1]}"])
    return found


def _safe(part: str) -> str:
    return "".join("_" if letter in '\\:*?"<>|' or not letter.isprintable() else letter for letter in part)
