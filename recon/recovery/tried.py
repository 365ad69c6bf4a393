"""What one rung of the ladder tried."""

from __future__ import annotations

from dataclasses import dataclass, field

from recon.recovery.material import Material
from recon.sfm.mapping import Outcome
from recon.sfm.refine import Limits


@dataclass(frozen=True)
class Settings:
    """How images are mapped."""

    mapper: str = ""
    """As in ``sfm.mapper``; empty: as configured."""
    limits: Limits = field(default_factory=Limits)
    least_inliers: int = 0
    """Pairs with fewer matches are left out."""


@dataclass(frozen=True)
class Tried:
    """Something that may help. With neither material nor outcome there was nothing to try, and ``words`` say why."""

    words: str
    material: Material | None = None
    """To be mapped."""
    settings: Settings = Settings()
    outcome: Outcome | None = None
    """A model that is there already."""
    barren: bool = False
    """Nothing came of it: there is no need to map."""
