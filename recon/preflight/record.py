"""What the preflight found: part of an inspection."""

from __future__ import annotations

from typing import Literal

from recon.capture.records import Record


class Stretch(Record):
    """Images that follow each other in the capture, or one alone."""

    images: int
    first: str
    last: str


class WeakLink(Record):
    """A place at which the capture hangs together by few matches only."""

    between: tuple[str, str]
    """The two images that hold it best."""
    images: int
    """On the smaller side."""
    matches: int
    """Agreeing matches of a quick look over all pairs across."""


class Preflight(Record):
    verdict: Literal["yes", "partly", "no"]
    """Will it connect?"""
    images: int
    """Photos, and keyframes of the videos, about."""
    looked_at: int
    predicted_share: float
    """Of the images that were looked at: those in the largest part."""
    pairs_tried: int
    pairs_agreeing: int
    parts: tuple[Stretch, ...]
    """Images that hang together, the largest part first; at most ten."""
    alone: int
    alone_named: tuple[str, ...]
    """Images that nothing connects with; at most twenty are named."""
    weak_links: tuple[WeakLink, ...]
    blurred: tuple[Stretch, ...]
    exposure_jumps: tuple[Stretch, ...]
    empty: int
    """Black images, or of one colour."""
    reason: str
    """In words, with the numbers that matter."""
    remedy: str
