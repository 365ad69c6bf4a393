"""Keypoints and descriptors of images, in memory and as ``features`` writes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.capture.records import read_json, write_json
from recon.errors import ConfigError


@dataclass(frozen=True)
class Features:
    """Keypoints of one image with their descriptors."""

    keypoints: NDArray[np.float32]
    """(N, 4): x, y [px, first pixel's centre at 0.5, 0.5], scale [px], angle [rad, clockwise from x];
    coarsest first (learned ones: strongest)."""
    descriptors: NDArray[Any]
    """(N, 128) uint8 of length about 512 (SIFT), or (N, D) float16 of unit length (a learned kind)."""
    rgb: NDArray[np.uint8]
    """(N, 3) colour of the image there, for the points that come of it."""

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def is_learned(self) -> bool:
        """Whether a network made the descriptors: those of SIFT are 8 bit."""
        return bool(self.descriptors.dtype != np.uint8)

    @classmethod
    def none(cls) -> Features:
        return cls(np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8), np.zeros((0, 3), np.uint8))

    def scaled(self, x: float, y: float) -> Features:
        """The same features in an image resized by these factors."""
        factors = np.array([x, y, (x * y) ** 0.5, 1.0])
        return Features((self.keypoints * factors).astype(np.float32), self.descriptors, self.rgb)


SIFT = "sift"
KINDS_DIFFER = "Set features.kind: auto takes what each machine can do"
_ARRAYS = ("keypoints", "descriptors", "rgb")


def write_features(folder: Path, names: Sequence[str], features: Iterable[Features], kind: str = SIFT) -> None:
    """``index.json`` and an array each of keypoints, descriptors and colours of a block of images; ``kind`` as in ``features.kind``."""
    rows = list(features)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
    for array in _ARRAYS:
        np.save(folder / f"{array}.npy", np.concatenate([getattr(row, array) for row in rows]))
    index: dict[str, Any] = {"names": list(names), "offsets": offsets.tolist()}
    write_json(folder / "index.json", index if kind == SIFT else index | {"kind": kind})


class FeatureStore(Mapping[str, Features]):
    """Features by image name over the folders of a run; arrays are mapped, so that only what is used is in memory."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._where: dict[str, tuple[Path, int, int]] = {}
        self._blocks: dict[Path, Features] = {}
        kinds = set()
        for folder in folders:
            index = read_json(folder / "index.json")
            kinds.add(index.get("kind", SIFT))
            offsets = index["offsets"]
            for name, start, end in zip(index["names"], offsets, offsets[1:], strict=False):
                self._where[name] = (folder, start, end)

        if len(kinds) > 1:
            raise ConfigError(f"keypoints of one run are of several kinds ({', '.join(sorted(kinds))}): its machines differ", KINDS_DIFFER)
        self.kind: str = next(iter(kinds), SIFT)
        """As in ``features.kind``, never ``auto``."""

    def __getitem__(self, name: str) -> Features:
        folder, start, end = self._where[name]
        if folder not in self._blocks:
            self._blocks[folder] = Features(*(_mapped(folder / f"{array}.npy") for array in _ARRAYS))
        block = self._blocks[folder]
        return Features(*(np.asarray(getattr(block, array)[start:end]) for array in _ARRAYS))

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    def count(self, name: str) -> int:
        """Number of keypoints of an image."""
        _, start, end = self._where[name]
        return end - start


def _mapped(path: Path) -> NDArray[Any]:
    array = np.load(path, mmap_mode="r") if path.stat().st_size > 256 else np.load(path)  # an empty file can't be mapped
    return np.asarray(array)
