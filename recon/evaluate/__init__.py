"""Errors of poses, clouds and volumes against a truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def evaluate(result: Path, truth: Path) -> dict[str, Any]:
    """See ``recon.evaluate.result.evaluate``; here so that importing the package stays light."""
    from recon.evaluate import result as implementation

    return implementation.evaluate(result, truth)
