"""A stage: a function from folders to one folder, and the record that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recon.config import Config

Shard = Mapping[str, Any]
"""What one shard has to do, as JSON; ``{}`` where a stage is not sharded."""

Inputs = Mapping[str, tuple[Path, ...]]
"""Stage name -> the folders of its shards, in the order of its plan. ``ingest`` gets ``{"source": (folder,)}``."""


def _silent(fraction: float, message: str = "") -> None:
    pass


def one() -> int:
    """As many cores, or threads, as there are at least."""
    return 1


@dataclass(frozen=True)
class Work:
    """What a shard may use: none of it changes the result, but for the seed."""

    seed: int = 0
    threads: int = 1
    """For the shard as it begins."""
    device: str = "cpu"
    tell: Callable[..., None] = _silent
    """``tell(fraction, message="")`` reports progress, fraction in 0..1."""
    cores_left: Callable[[], int] = one
    """How many cores the shards that still run beside this one leave to it."""

    def threads_now(self) -> int:
        """For long loops, asked again and again: the last shard of a stage has all cores to itself."""
        return max(self.threads, self.cores_left())


def whole(config: Config, inputs: Inputs) -> list[Shard]:
    """The split of a stage that is not sharded."""
    return [{}]


def blocks(count: int, most: int) -> list[range]:
    """Consecutive blocks of 0..count-1, of nearly equal size and ``most`` at most.

    Where there are several their number is even: two cores, or any even number of them, end at the same time.
    """
    parts = -(-count // most)
    parts = min(count, parts + parts % 2) if parts > 1 else parts
    bounds = [count * part // max(1, parts) for part in range(parts + 1)]
    return [range(start, end) for start, end in pairwise(bounds)]


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline.

    ``run(config, inputs, shard, out, work)`` fills the empty folder ``out``; ``split(config, inputs)`` says into which
    shards the stage falls, from its inputs alone and never from the machine. Both see only the config sections named
    in ``reads`` (its own name if empty); the others hold their defaults, so an undeclared option can't leak in.
    Raise ``version`` whenever the same inputs and options give another result than before.
    """

    name: str
    needs: tuple[str, ...]
    run: Callable[[Config, Inputs, Shard, Path, Work], None]
    split: Callable[[Config, Inputs], list[Shard]] = whole
    reads: tuple[str, ...] = ()
    gpu: bool = False
    seeded: bool = False
    memory_mb: int = 1000
    """What one shard needs at most, in typical use; a shard may say what it needs itself, as ``memory_mb``.

    The executor runs no more at once than fit.
    """
    version: int = 1
    loads: tuple[str, ...] = ()
    """Libraries that take long to load: where the stage is to come, workers load them beside the first shards of others."""

    @property
    def sections(self) -> tuple[str, ...]:
        return self.reads or (self.name,)

    def sized(self, shards: Iterable[Shard]) -> Stage:
        """This stage with the memory that the most demanding of its shards needs."""
        return replace(self, memory_mb=max((int(shard.get("memory_mb", self.memory_mb)) for shard in shards), default=self.memory_mb))
