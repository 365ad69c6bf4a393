"""Images and times as people name them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recon.capture.names import listed
from recon.capture.records import ImageRecord

_RUNS = 4


def clock(seconds: float | None) -> str:
    """Minutes and seconds: 00:14.2."""
    value = round(seconds or 0.0, 1)
    return f"{int(value // 60):02d}:{value % 60:04.1f}"


def images_in_words(order: Sequence[ImageRecord], names: Iterable[str]) -> str:
    """Photos by name; frames of a video as stretches with their times and frame numbers. ``order`` is the whole capture's."""
    wanted = set(names)
    photos = [record.source for record in order if record.name in wanted and record.sequence is None]
    runs: list[list[ImageRecord]] = []
    before: dict[str, bool] = {}
    for record in order:
        if record.sequence is None:
            continue
        here = record.name in wanted
        if here and before.get(record.sequence):
            next(run for run in reversed(runs) if run[0].sequence == record.sequence).append(record)
        elif here:
            runs.append([record])
        before[record.sequence] = here
    texts = [_run_in_words(run) for run in runs[:_RUNS]]
    if len(runs) > _RUNS:
        texts.append(f"{len(runs) - _RUNS} more stretches")
    return "; ".join([*texts, *([listed(photos)] if photos else [])])


def _run_in_words(run: Sequence[ImageRecord]) -> str:
    first, last = run[0], run[-1]
    if first is last:
        return f"{first.source} at {clock(first.timestamp_s)} (frame {first.frame})"
    return f"{first.source} from {clock(first.timestamp_s)} to {clock(last.timestamp_s)} (frames {first.frame} to {last.frame})"


def counted(count: int, noun: str) -> str:
    """1 pair, 2 pairs."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
