"""Verified matches of image pairs, as ``matches`` writes them.

``matches.npz`` holds, for P verified pairs with M inlier matches in all: ``names`` (the images' names), ``pairs`` (P, 2) int32
indices into it, ``offsets`` (P + 1,) int64 into ``matches`` (M, 2) uint32 (keypoint of the first image, of the second),
``raw`` (P,) int32 matches before verification, ``config`` (P,) int32 (COLMAP's TwoViewGeometryConfiguration), ``F``, ``E``, ``H``
(P, 3, 3) (zero where not estimated), ``cam2_from_cam1`` (P, 3, 4) (NaN where there is none; translation of unit length) and
``tri_angle_deg`` (P,) the median triangulation angle (NaN where there is none).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PairMatches:
    """Two images, their verified matches and relative geometry."""

    name1: str
    name2: str
    matches: NDArray[np.uint32]
    """(M, 2) keypoint indices of inliers."""
    raw: int
    config: int
    F: NDArray[np.float64]
    E: NDArray[np.float64]
    H: NDArray[np.float64]
    cam2_from_cam1: NDArray[np.float64]
    """(3, 4), NaN where unknown."""
    tri_angle_deg: float


def write_matches(folder: Path, pairs: Sequence[PairMatches]) -> None:
    """``matches.npz``; the same pairs give the same bytes."""
    names = sorted({name for pair in pairs for name in (pair.name1, pair.name2)})
    number = {name: k for k, name in enumerate(names)}
    np.savez(
        folder / "matches.npz",
        names=np.array(names, dtype=np.str_),
        pairs=np.array([[number[p.name1], number[p.name2]] for p in pairs], dtype=np.int32).reshape(-1, 2),
        offsets=np.concatenate([[0], np.cumsum([len(p.matches) for p in pairs], dtype=np.int64)]).astype(np.int64),
        matches=np.concatenate([np.zeros((0, 2), np.uint32), *(p.matches for p in pairs)]),
        raw=np.array([p.raw for p in pairs], dtype=np.int32),
        config=np.array([p.config for p in pairs], dtype=np.int32),
        F=np.array([p.F for p in pairs], dtype=np.float64).reshape(-1, 3, 3),
        E=np.array([p.E for p in pairs], dtype=np.float64).reshape(-1, 3, 3),
        H=np.array([p.H for p in pairs], dtype=np.float64).reshape(-1, 3, 3),
        cam2_from_cam1=np.array([p.cam2_from_cam1 for p in pairs], dtype=np.float64).reshape(-1, 3, 4),
        tri_angle_deg=np.array([p.tri_angle_deg for p in pairs], dtype=np.float64),
    )


def read_matches(folders: Iterable[Path]) -> list[PairMatches]:
    """All verified pairs of a run, in the order they were planned."""
    found = []
    for folder in folders:
        with np.load(folder / "matches.npz") as arrays:
            block = {name: arrays[name] for name in arrays.files}
        names, offsets = [str(name) for name in block["names"]], block["offsets"]
        for k, (i, j) in enumerate(block["pairs"]):
            found.append(
                PairMatches(
                    names[i],
                    names[j],
                    block["matches"][offsets[k] : offsets[k + 1]],
                    int(block["raw"][k]),
                    int(block["config"][k]),
                    block["F"][k],
                    block["E"][k],
                    block["H"][k],
                    block["cam2_from_cam1"][k],
                    float(block["tri_angle_deg"][k]),
                )
            )
    return found
