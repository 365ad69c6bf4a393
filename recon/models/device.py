"""The device that a network runs on, and what to do when its memory is too small."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import torch

from recon.errors import MissingPart, OutOfMemory

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


def device_of(name: str) -> torch.device:
    """``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``rocm`` (which torch calls cuda). MissingPart where it is not there."""
    kind, colon, number = name.partition(":")
    try:
        device = torch.device(("cuda" if kind == "rocm" else kind) + colon + number)
    except RuntimeError:
        raise MissingPart(f"there is no kind of device '{name}'", "Use cpu, cuda, rocm or mps") from None
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, False):
        raise MissingPart(f"torch {torch.__version__} sees no device '{name}'", "Use cpu, or install a torch that is built for the device")
    return device


def half_precision(device: torch.device) -> AbstractContextManager[object]:
    """16-bit arithmetic where it is faster, and full precision on the CPU."""
    if device.type == "cpu":
        return torch.autocast("cpu", enabled=False)
    bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16 if bfloat16 else torch.float16)


def on_one_core() -> None:
    """Let the calling thread use one core: shared sums are rounded otherwise, and then the result depends on the machine."""
    torch.set_num_threads(1)


class Frugal:
    """Runs batches on a device; when its memory runs out they are halved, and then the CPU goes on. Each is said once."""

    def __init__(self, device: torch.device, move: Callable[[torch.device], object], what: str, batch: int) -> None:
        """``move`` puts the network onto a device; ``what`` names it in the log; ``batch`` is how many items are tried at once."""
        self.device, self.batch = device, max(1, batch)
        self._move, self._what = move, what
        self._said = False
        move(device)

    def run(self, items: Sequence[Item], work: Callable[[Sequence[Item], torch.device], Sequence[Result]]) -> Iterator[Result]:
        """``work(batch, device)`` over the items, in order. OutOfMemory if even one item does not fit on the CPU."""
        start = 0
        while start < len(items):
            batch = items[start : start + self.batch]
            try:
                results = work(batch, self.device)
            except (torch.OutOfMemoryError, MemoryError) as error:
                self._shrink(len(batch), error)
                continue
            start += len(batch)
            yield from results

    def _shrink(self, failed: int, error: BaseException) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if failed > 1:
            self.batch = failed // 2
            if not self._said:
                log.warning("%s: %s has too little memory for %d at once; trying fewer", self._what, self.device, failed)
            self._said = True
        elif self.device.type != "cpu":
            log.warning("%s: %s has too little memory for even one; going on with the CPU", self._what, self.device)
            self.device = torch.device("cpu")
            self._move(self.device)
        else:
            raise OutOfMemory(
                f"{self._what}: the memory does not hold one image or pair ({error})", "Lower features.max_size_px"
            ) from error
