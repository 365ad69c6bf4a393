"""``recon process``: one capture from its files to the products in OUT."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from recon.capture.records import read_json, replace_json
from recon.capture.source import SOURCE_FILE
from recon.config import Config
from recon.errors import Busy, InputError
from recon.executor import LocalExecutor, Machine
from recon.pipeline import Run, stages_until
from recon.progress import Listener, silent
from recon.storage import DONE, LocalStore

log = logging.getLogger(__name__)

WORKSPACE = ".recon"
FORMAT = 1
"""Raised when the layout of the workspace changes, so that an older one is refused in words."""


@dataclass(frozen=True)
class Result:
    """What ``process`` did."""

    out: Path
    ran: tuple[str, ...]
    """Stages that had anything to do; empty: everything was up to date."""
    until: str
    report: dict[str, Any] | None
    """``report.json``, if the run went that far."""


def process(
    capture: Path,
    out: Path,
    config: Config,
    until: str | None = None,
    machine: Machine | None = None,
    listener: Listener = silent,
) -> Result:
    """Reconstruct ``capture`` into the folder ``out``; called again, it goes on where it stopped.

    Raises InputError for a capture that can't be read, Busy if another run holds ``out``, ReconstructionError where
    the geometry fails; whatever was finished before stays.
    """
    from recon.capture.source import open_source, write_source

    stages = stages_until(until)
    if capture.resolve() == out.resolve():
        raise InputError(f"{out} is the capture itself", "Choose another folder with -o: products among the photos would count as photos")
    with workspace(out) as folder:
        source = open_source(capture, folder)
        (folder / "source").mkdir(exist_ok=True)
        write_source(source, folder / "source")
        run = Run(folder / "source", config, LocalStore(folder))
        with LocalExecutor(machine, listener, folder / "log.txt") as executor:
            ran = executor.run(run, stages)
        for name in ("products", "report"):
            if name in {stage.name for stage in stages}:
                publish(run.folders(run.stage(name)), out, run.keys[name], folder / f"published-{name}.json")
        report = read_json(out / "report.json") if stages[-1].name == "report" else None
    return Result(out, tuple(ran), stages[-1].name, report)


@contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """The folder of intermediate results under ``out``, held against other runs and freed of killed runs' leavings."""
    folder = out / WORKSPACE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stamp = folder / "format.json"
        noted = _noted(stamp)
        made_by = noted.get("format", FORMAT)
        if made_by != FORMAT:
            raise InputError(
                f"{folder} was made by another version of recon (format {made_by}, this one has {FORMAT})",
                "Choose another -o, or delete that folder: nothing of yours is in it",
            )
        if not noted:
            replace_json(stamp, {"format": FORMAT})
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(f"can't write to {out}: {error.strerror}", "Choose another folder with -o") from None
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Busy(f"another run is working in {out}", "Wait for it, or choose another folder with -o") from None
    try:
        LocalStore(folder).sweep()
        yield folder
    finally:
        lock.release()


def publish(folders: tuple[Path, ...], out: Path, key: str, receipt: Path) -> None:
    """Copy what a user takes away into ``out``, each file in one step; nothing if it lies there already."""
    files = {
        path.relative_to(folder).as_posix(): path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != DONE
    }
    sizes = {name: path.stat().st_size for name, path in files.items()}
    wanted = {"key": key, "sizes": sizes}
    before = _noted(receipt)
    if before == wanted and all(_size(out / name) == size for name, size in sizes.items()):
        return
    for name, path in files.items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.part")
        shutil.copyfile(path, beside)
        os.replace(beside, target)
    for name in set(before.get("sizes", {})) - set(files):  # a product of an earlier run that this one does not make
        (out / name).unlink(missing_ok=True)
    replace_json(receipt, wanted)


def _noted(path: Path) -> dict[str, Any]:
    """What one of our own notes says; nothing where it is absent or was torn."""
    try:
        return dict(read_json(path))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def source_of(out: Path) -> Path | None:
    """The capture that the run in ``out`` was made from, where it lay then; None if there is no run."""
    try:
        return Path(read_json(out / WORKSPACE / "source" / SOURCE_FILE)["path"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
