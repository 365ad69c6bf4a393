"""Captures of exactly known truth: for tests, for the sample capture, and for users who want to know what to expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recon.simulate.options import KINDS, Kind, Options, Truth

__all__ = ["KINDS", "Kind", "Options", "Truth", "simulate"]


def simulate(kind: str, out: Path, **options: Any) -> Truth:
    """Write a capture of one of the ``KINDS`` into the folder out, with its truth in ``out/truth``. ``Options`` states the options.

    A drone's and a walk's photos go to ``out/images``, a video to ``out/walk.mp4``; ``Truth.capture`` says which. Equal options
    give equal pictures. Raises ConfigError for options that do not fit the kind, InputError where out holds a capture already.
    """
    from recon.simulate.kinds import capture

    return capture(kind, out, Options.of(**options))
