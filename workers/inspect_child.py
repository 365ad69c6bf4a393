"""Looks at a capture in a process of its own: decoders of files that anybody sent may crash, hang, or worse.

``python -m workers.inspect_child CAPTURE WORKSPACE MEMORY_MB`` writes WORKSPACE/found.json: ``inspection``, or ``error``.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from recon.errors import EmptyCapture, OutOfMemory, ReconError
from recon.system import end_with_parent

FOUND = "found.json"
MAX_IGNORED = 500


def look(capture: Path, workspace: Path) -> dict[str, Any]:
    from recon.capture.source import open_source
    from recon.inspect import inspect

    found = inspect(open_source(capture, workspace, hashed=False))
    if not found.photos and not found.videos:
        first = "; ".join(f"{row.source}: {row.reason}" for row in found.ignored[:3])
        raise EmptyCapture(f"none of the {found.files} files can be used: {first}", "Photos are .jpg, .png, .tif, .heic, .webp or .dng")
    return found.model_copy(update={"ignored": found.ignored[:MAX_IGNORED]}).model_dump(mode="json")


def _confine(memory_mb: int) -> None:
    """No more memory than that, no picture of it on the disk, and an end together with the process that waits for us."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    end_with_parent()


def main(capture: str, workspace: str, memory_mb: str) -> None:
    _confine(int(memory_mb))
    row: dict[str, Any]
    try:
        row = {"inspection": look(Path(capture), Path(workspace))}
    except MemoryError:
        error: ReconError = OutOfMemory(f"looking at the files needs more than {memory_mb} MB of memory", "Leave out the largest file")
        row = {"error": {"code": error.code, "message": error.message, "remedy": error.remedy}}
    except ReconError as raised:
        row = {"error": {"code": raised.code, "message": raised.message, "remedy": raised.remedy}}
    (Path(workspace) / FOUND).write_text(json.dumps(row), encoding="ascii")


if __name__ == "__main__":
    main(*sys.argv[1:])
