"""When a model is good, and the names of what the ladder writes: for those who need no more of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ENOUGH = 0.95
"""Share of the usable images that a good model has registered."""
LEAST_OTHER = 3
"""Images from which on a model beside it counts: a pair of stray photos always finds some geometry."""
FRAMES = "frames"
"""Folder of frames that were added to the capture's keyframes."""
MATCHES_FILE = "matches.json"
RECOVERY_FILE = "recovery.json"


def is_good(sfm: Mapping[str, Any]) -> bool:
    """Whether the model that ``sfm.json`` tells of needs no recovery: enough images, one model, no thin link."""
    enough = sfm["registered"] >= ENOUGH * sfm["images"]
    return bool(enough and sfm["thin_link"] is None and all(count < LEAST_OTHER for count in sfm["other_models"]))
