"""What a model is built from: images, features and verified matches, to which the rungs of the ladder add."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recon.capture.records import ImageRecord, ImageSet
from recon.config import Config
from recon.features.store import SIFT, Features
from recon.matchers.nearest import match
from recon.matchers.store import PairMatches
from recon.matchers.verify import verify
from recon.sfm.cameras import cameras_of
from recon.stage import Inputs, Work

Names = tuple[str, str]
"""Names of two images, in order of the alphabet."""
Matched = tuple[NDArray[np.uint32], NDArray[np.float64]]


@dataclass(frozen=True)
class Place:
    """Where a rung works: the run's options, the folders it may read, the one it may write frames to, seed, threads, progress."""

    config: Config
    inputs: Inputs
    out: Path
    work: Work


class Overlay(Mapping[str, Features]):
    """Features of a run with those of some images replaced or added."""

    def __init__(self, below: Mapping[str, Features], own: Mapping[str, Features]) -> None:
        self._below, self._own = below, own

    def __getitem__(self, name: str) -> Features:
        return self._own[name] if name in self._own else self._below[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**dict.fromkeys(self._below), **dict.fromkeys(self._own)})

    def __len__(self) -> int:
        return len(set(self._below) | set(self._own))


@dataclass(frozen=True)
class Material:
    """All that is known of a capture before mapping. Adding to it gives another one; the old one stays as it was."""

    records: tuple[ImageRecord, ...]
    """Those that came with the capture in their order, then the frames that rungs added."""
    features: Mapping[str, Features]
    pairs: Mapping[Names, PairMatches]
    """Verified ones."""
    tried: Mapping[Names, int]
    """Inliers of every pair that was matched, verified or not."""
    given: frozenset[str]
    """Names of the images that came with the capture: frames that a rung adds are only means to an end."""
    kind: str = SIFT
    """Of the features, as in ``features.kind``."""

    @property
    def in_sequence(self) -> list[ImageRecord]:
        """The images with added frames where they belong: between their neighbours in the video."""
        first: dict[str, int] = {}
        for number, record in enumerate(self.records):
            first.setdefault(record.sequence or record.name, number)
        return sorted(self.records, key=lambda record: (first[record.sequence or record.name], record.frame or 0))

    @property
    def names(self) -> list[str]:
        return [record.name for record in self.records]

    def cameras(self, config: Config) -> dict[str, pycolmap.Camera]:
        """The camera of each image."""
        cameras = cameras_of(self.records, config.camera)
        return {record.name: cameras[record.camera] for record in self.records}

    def image_set(self, place: Place) -> ImageSet:
        return ImageSet(self.records, {**place.inputs, "recover": (place.out,)})

    def with_images(self, records: Iterable[ImageRecord], features: Mapping[str, Features]) -> Material:
        """With more frames. They come last, so that the images before them keep their numbers in models."""
        return replace(self, records=(*self.records, *records), features=Overlay(self.features, features))

    def with_features(self, features: Mapping[str, Features]) -> Material:
        return replace(self, features=Overlay(self.features, features))

    def with_matches(self, results: Mapping[Names, PairMatches | None]) -> Material:
        """With pairs that were matched; where one is known already its matches are added to."""
        pairs = dict(self.pairs)
        for names, found in results.items():
            if found is not None:
                pairs[names] = merged(pairs[names], found) if names in pairs else found
        tried = {**self.tried, **{names: len(pairs[names].matches) if names in pairs else 0 for names in results}}
        return replace(self, pairs=pairs, tried=tried)

    def without_images(self, names: Iterable[str]) -> Material:
        gone = set(names)
        return replace(
            self,
            records=tuple(record for record in self.records if record.name not in gone),
            pairs={names: pair for names, pair in self.pairs.items() if not gone & set(names)},
            tried={names: inliers for names, inliers in self.tried.items() if not gone & set(names)},
        )


def ordered(one: str, two: str) -> Names:
    return (one, two) if one < two else (two, one)


def merged(first: PairMatches, second: PairMatches) -> PairMatches:
    """The matches of both, with the geometry of the one that has more."""
    better = first if len(first.matches) >= len(second.matches) else second
    matches = np.unique(np.concatenate([first.matches, second.matches]), axis=0).astype(np.uint32)
    return replace(better, matches=matches, raw=first.raw + second.raw)


def in_order(pair: PairMatches) -> PairMatches:
    """The pair with its names in order of the alphabet."""
    if pair.name1 < pair.name2:
        return pair
    pose = pair.cam2_from_cam1
    back = np.column_stack([pose[:, :3].T, -pose[:, :3].T @ pose[:, 3]])
    H = np.asarray(np.linalg.inv(pair.H), np.float64) if abs(np.linalg.det(pair.H)) > 1e-12 else pair.H
    turned = np.ascontiguousarray(pair.matches[:, ::-1])
    return replace(pair, name1=pair.name2, name2=pair.name1, matches=turned, F=pair.F.T, E=pair.E.T, H=H, cam2_from_cam1=back)


def match_pairs(material: Material, wanted: Sequence[Names], place: Place) -> dict[Names, PairMatches | None]:
    """Match and verify pairs by the features that the run has, as the stage ``matches`` does."""
    options, cameras = place.config.matches, material.cameras(place.config)
    by_network: Iterable[Matched | None] = repeat(None)
    if material.kind != SIFT:
        from recon.matchers.learned import glued

        sizes = {record.name: (record.width, record.height) for record in material.records}
        by_network = glued(material.kind, material.features, wanted, sizes, place.work.device, place.work.threads)

    def one(names: Names, found: Matched | None) -> PairMatches | None:
        first, second = (material.features[name] for name in names)
        matches, ratios = match(first.descriptors, second.descriptors, options.ratio) if found is None else found
        xy, pair_cameras = (first.keypoints, second.keypoints), (cameras[names[0]], cameras[names[1]])
        return verify(names, pair_cameras, xy, matches, ratios, options.max_error_px, options.min_inliers, seed_of(names, place.work.seed))

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(max(1, place.work.threads)) as pool:
        return dict(zip(wanted, pool.map(one, wanted, by_network), strict=True))


def seed_of(names: Names, seed: int) -> int:
    """The same for a pair whichever others are matched with it."""
    entropy = [seed, *(zlib.crc32(name.encode()) for name in names)]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] & 0x7FFFFFFF)
