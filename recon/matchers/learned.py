"""A learned extractor together with its matcher, on one device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from recon.errors import MissingPart
from recon.features.store import Features

if TYPE_CHECKING:
    import torch

    from recon.features.learned import Extractor, Picture
    from recon.matchers.lightglue import Glue

Kind = Literal["aliked", "disk", "xfeat"]
KINDS: tuple[Kind, ...] = ("aliked", "disk", "xfeat")
Size = tuple[int, int]
"""Width and height of an image [px]."""
Names = tuple[str, str]
Pair = tuple[Features, Size, Features, Size]
Found = tuple[NDArray[np.uint32], NDArray[np.float64]]
"""(M, 2) indices of matched keypoints, (M,) scores in 0..1."""

LEAST_KEYPOINTS = 8
"""An image with fewer matches nothing: no geometry comes of so few."""
_PAIRS_AT_ONCE = 16
"""Pairs that a GPU gets at a time; fewer where its memory is too small."""


class LearnedMatching:
    """One learned extractor with its matcher on one device."""

    def __init__(self, kind: Kind, extractor: Extractor, glue: Glue, device: torch.device, threads: int = 1) -> None:
        """``load`` is the way to make one."""
        from recon.models.device import Frugal

        self._threads = max(1, threads) if device.type == "cpu" else 1
        self.kind = kind
        self.width = extractor.width
        self._extractor, self._glue = extractor, glue
        self._extracting = Frugal(device, extractor.to, f"{kind} keypoints", 1)
        self._matching = Frugal(device, glue.to, f"{kind} matching", 1 if device.type == "cpu" else _PAIRS_AT_ONCE)

    @classmethod
    def load(cls, kind: Kind, device: str = "cpu", model_dir: Path | None = None, threads: int = 1) -> LearnedMatching:
        """With the weights of ``model_dir`` or wherever else ``recon.models.find`` finds them.

        On the CPU ``match_many`` works on as many pairs side by side as there are ``threads``, each on one core: a network's
        sums depend on the number of cores that share them, and results must not. Raises MissingPart without torch, kornia, the
        device or the weights; DamagedWeights (one of them) for weights that are not what they must be.
        """
        try:
            from recon.matchers.lightglue import Glue
            from recon.models.device import device_of
        except ImportError as error:
            raise MissingPart(f"learned matching needs {error.name or 'torch'}", "Run: pip install 'recon[learned]'") from None
        where = device_of(device)
        return cls(kind, _extractor(kind, model_dir), Glue(kind, model_dir), where, threads)

    def features(self, path: Path, mask_path: Path | None, size: Size, max_size_px: int, max_keypoints: int, turn: int = 0) -> Features:
        """Keypoints of an image file, strongest first, found at ``max_size_px`` and given in pixels of the original ``size``.

        The network sees the image after ``turn`` quarter turns counterclockwise. Raises what ``read_rgb`` raises.
        """
        from recon.features.learned import read_picture

        return self.features_of(read_picture(path, mask_path, size, max_size_px, turn), max_keypoints)

    def features_of(self, picture: Picture, max_keypoints: int) -> Features:
        """As ``features``, of an image that was read already."""
        from recon.features.learned import extract
        from recon.models.device import on_one_core

        def work(pictures: Sequence[Picture], device: torch.device) -> list[Features]:
            on_one_core()
            return [extract(self._extractor, one, max_keypoints, device) for one in pictures]

        (found,) = self._extracting.run([picture], work)
        return found

    def match(self, one: Features, size1: Size, two: Features, size2: Size) -> Found:
        """The matches of two images; none where one has fewer than ``LEAST_KEYPOINTS``."""
        (found,) = self.match_many([(one, size1, two, size2)])
        return found

    def match_many(self, pairs: Iterable[Pair]) -> Iterator[Found]:
        """The matches of many pairs, in their order; on a GPU those of equally many keypoints go in batches."""
        waiting = iter(pairs)
        if self._threads > 1:
            with ThreadPoolExecutor(self._threads) as pool:
                while chunk := list(islice(waiting, 4 * self._threads)):
                    yield from pool.map(lambda pair: self._match_chunk([pair])[0], chunk)
            return
        while chunk := list(islice(waiting, 2 * self._matching.batch)):
            yield from self._match_chunk(chunk)

    def _match_chunk(self, pairs: Sequence[Pair]) -> list[Found]:
        found: list[Found] = [(np.zeros((0, 2), np.uint32), np.zeros(0)) for _ in pairs]
        alike: dict[tuple[int, int], list[int]] = {}
        for number, (one, _, two, _) in enumerate(pairs):
            if min(len(one), len(two)) >= LEAST_KEYPOINTS:
                alike.setdefault((len(one), len(two)), []).append(number)
        for numbers in alike.values():
            results = self._matching.run([pairs[number] for number in numbers], partial(_matched, self._glue))
            for number, result in zip(numbers, results, strict=True):
                found[number] = result
        return found


@lru_cache(maxsize=2)
def loaded(kind: Kind, device: str, threads: int) -> LearnedMatching:
    """As ``LearnedMatching.load``, once a process: shards follow one another."""
    return LearnedMatching.load(kind, device, threads=threads)


def glued(
    kind: str, features: Mapping[str, Features], wanted: Iterable[Names], sizes: Mapping[str, Size], device: str, threads: int
) -> Iterator[Found]:
    """Matches of pairs of images by name with the matcher of a learned kind; in place of scores zeros, as all count as distinct.

    ``device`` is what the work may use: see ``recon.models.choice.learned_device``.
    """
    from recon.models.choice import learned_device

    network = loaded(kind_of(kind), learned_device(device), threads)
    waiting = ((features[one], sizes[one], features[two], sizes[two]) for one, two in wanted)
    return ((matches, np.zeros(len(matches))) for matches, _ in network.match_many(waiting))


def _matched(glue: Glue, pairs: Sequence[Pair], device: torch.device) -> list[Found]:
    """Of one batch."""
    from recon.features.learned import tensors_of
    from recon.models.device import on_one_core

    on_one_core()
    image0 = tensors_of([pair[0] for pair in pairs], [pair[1] for pair in pairs], device)
    image1 = tensors_of([pair[2] for pair in pairs], [pair[3] for pair in pairs], device)
    rows = [(matches.cpu().numpy(), scores.float().cpu().numpy()) for matches, scores in glue(image0, image1)]
    return [(matches.astype(np.uint32).reshape(-1, 2), scores.astype(np.float64)) for matches, scores in rows]


def _extractor(kind: Kind, model_dir: Path | None) -> Extractor:
    if kind == "disk":
        from recon.features.disk import Disk

        return Disk(model_dir)
    if kind == "xfeat":
        from recon.features.xfeat import Xfeat

        return Xfeat(model_dir)
    from recon.features.aliked import Aliked

    return Aliked(model_dir)


def kind_of(name: str) -> Kind:
    """A learned kind by its name; ValueError for any other."""
    return KINDS[KINDS.index(name)]
