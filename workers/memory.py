"""What the shards on one machine share: its memory and its graphics card. All reservations end with their process, even by kill -9."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

SLOT_MB = 250
_LOOK_S = 0.1


@contextmanager
def reserved(folder: Path, memory_mb: int, of_mb: int) -> Iterator[None]:
    """Wait until that much of ``of_mb`` is free, and hold it. What asks for more than there is gets all of it, alone.

    A slot is a locked file. Only one process at a time collects slots, so two can't wait for each other's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    slots = max(1, of_mb // SLOT_MB)
    wanted = min(slots, -(-memory_mb // SLOT_MB))
    with ExitStack() as held:
        with _locked(folder / "gate"):
            free = 0
            while free < wanted:
                for i in range(slots):
                    handle = _try_lock(folder / f"slot-{i}")
                    if handle is not None:
                        held.callback(os.close, handle)
                        free += 1
                        if free == wanted:
                            break
                else:
                    time.sleep(_LOOK_S)
        yield


@contextmanager
def device_held(folder: Path, device: str) -> Iterator[None]:
    """A graphics card runs one shard at a time: two would run out of its memory. The CPU is not held."""
    if device == "cpu":
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / device.replace(":", "-")):
        yield


def best_device() -> str:
    import pycolmap

    return "cuda:0" if pycolmap.has_cuda and pycolmap.get_num_cuda_devices() > 0 else "cpu"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _try_lock(path: Path) -> int | None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
