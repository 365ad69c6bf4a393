"""The chore that looks at a capture: what it holds, what it will cost, and whether all of it arrived as it was sent."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select

from recon.errors import EmptyCapture, ReconError, StageCrashed
from workers.chores import Errand, finish, leave, note_inspection
from workers.errors import DamagedUpload, TooSlow
from workers.inspect_child import FOUND
from workers.models import Capture, File
from workers.node import Node
from workers.objects import LocalObjects
from workers.places import Place
from workers.shards import insist
from workers.sources import Upload, lay_out

log = logging.getLogger(__name__)

MEMORY_MB = 6000
"""Of addresses, not of what is used: libraries reserve much. A decoder that is led to ask for more gets none."""
MAX_FOUND_BYTES = 32 * 2**20
_SECRET = ("AWS_", "RECON_")


def inspect_capture(node: Node, place: Place, errand: Errand) -> None:
    """Look at the capture's whole files and note what was found. Raises why they can't be used."""
    with node.database.reading() as session:
        capture = session.get_one(Capture, errand.capture_id)
        whole = select(File).where(File.capture_id == errand.capture_id, File.state == "whole").order_by(File.name)
        files = list(session.scalars(whole))
    if not files:
        raise EmptyCapture("the capture has no file", "Upload photos, a video or a zip first")
    with place.store.scratch() as workspace:
        lay_out(place, [Upload(file.name, file.object) for file in files], workspace / "capture")
        damaged = [] if isinstance(place.uploads, LocalObjects) else [file for file in files if not _is_as_announced(place, file)]
        if damaged:
            insist(lambda: end_inspection(node, errand, _damage(damaged), damaged=damaged))
            return
        alone = workspace / "capture" / files[0].name
        found = _look(node, alone if len(files) == 1 else workspace / "capture", workspace, capture.name)
    insist(lambda: end_inspection(node, errand, None, found))


def end_inspection(
    node: Node, errand: Errand, error: ReconError | None, found: dict[str, Any] | None = None, damaged: Sequence[File] = ()
) -> None:
    """Note what came of it, unless the chore was stopped."""
    with node.database.writing() as session:
        if finish(session, errand, error) is None:
            leave(session, errand)
        else:
            note_inspection(session, errand.capture_id, found, error, damaged)


def _is_as_announced(place: Place, file: File) -> bool:
    """Whether the bytes that a client sent past us, straight into the store, are the ones it announced."""
    with place.upload_path(file.object).open("rb") as stream:
        if os.fstat(stream.fileno()).st_size != file.size:
            return False
        return file.sha256 is None or hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256.lower()


def _damage(files: Sequence[File]) -> DamagedUpload:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return DamagedUpload(
        f"{files[0].name!r}{more} did not arrive as announced: size or SHA-256 differ", "Delete the file and upload it again"
    )


def _look(node: Node, path: Path, workspace: Path, name: str) -> dict[str, Any]:
    """What the process found that looks at the files. Raises its error, or says how it ended."""
    memory_mb = min(MEMORY_MB, max(2000, node.settings.usable_memory_mb))
    command = [sys.executable, "-m", "workers.inspect_child", str(path), str(workspace), str(memory_mb)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_SECRET)}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TMPDIR": str(workspace)}
    with (workspace / "log").open("wb") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)  # noqa: S603
        try:
            status = child.wait(node.settings.inspect_s)
        except subprocess.TimeoutExpired:
            raise TooSlow(
                f"looking at the files took longer than {node.settings.inspect_s:g} s", "Upload fewer files, or leave out damaged ones"
            ) from None
        finally:
            child.kill()
            child.wait()
    found = workspace / FOUND
    if status != 0 or not found.is_file() or found.stat().st_size > MAX_FOUND_BYTES:
        log.warning("the process that looked at %s ended with %d: %s", path, status, (workspace / "log").read_bytes()[-2000:])
        raise StageCrashed("a library crashed while looking at the files", "Leave out damaged files, and report it with one of them")
    return _understood(found, path, workspace, name)


def _understood(found: Path, path: Path, workspace: Path, name: str) -> dict[str, Any]:
    """The child's answer. What read a hostile file is not trusted: it is checked as if a stranger had sent it."""
    from recon.inspect import Inspection

    try:
        row = json.loads(found.read_text(encoding="ascii"))
        if "inspection" in row:
            return {**Inspection.model_validate(row["inspection"]).model_dump(mode="json"), "capture": name}
        code, message, remedy = (str(row["error"][key])[:2000] for key in ("code", "message", "remedy"))
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise StageCrashed(f"what was found in the files makes no sense: {type(error).__name__}") from None
    for place in (path, workspace):  # where it lies here means nothing to its user
        message = message.replace(str(place), "the capture")
    refused = ReconError(message, remedy)
    refused.code = code
    raise refused
