"""Work on several items at once, with results in order and few of them waiting; loops over ranges, side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """``map(function, items)`` on threads; at most one more result than threads is held at any time."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def in_parts(function: Callable[[int, int], object], count: int, threads: int) -> None:
    """``function(first, last)`` over ranges that make up ``range(count)``, one on each thread: for loops that let go of the GIL."""
    threads = min(threads, count)
    if threads <= 1:
        function(0, count)
        return
    bounds = [count * n // threads for n in range(threads + 1)]
    with ThreadPoolExecutor(threads - 1) as pool:  # the last part is for the thread that asks
        waiting = [pool.submit(function, first, last) for first, last in pairwise(bounds[:-1])]
        function(bounds[-2], count)
        for part in waiting:
            part.result()


def both(one: Callable[[], T], other: Callable[[], R], threads: int) -> tuple[T, R]:
    """What two functions give that ask nothing of each other, side by side where there is a thread for each."""
    if threads <= 1:
        return one(), other()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other)
        return one(), waiting.result()
