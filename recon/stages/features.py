"""``features``: keypoints and descriptors of every image, in blocks of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from recon.capture.records import ImageRecord, ImageSet
from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work, blocks

if TYPE_CHECKING:
    from recon.features.store import Features

_IMAGES_A_SHARD = 4
_BASE_MB = 500
_MEGAPIXEL_MB = {"aliked": 2200, "disk": 2200, "xfeat": 300}
"""What a network needs on the CPU, and more for each megapixel that it looks at (measured)."""


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """Blocks of images, in order. For a network each says how its images are turned, which takes a look at all of them.

    ``auto`` turns them by what their gimbals say alone: whether it means a network is not known here.
    """
    images = ImageSet.read(inputs)
    shards: list[Shard] = [{"start": block.start, "end": block.stop} for block in blocks(len(images), _IMAGES_A_SHARD)]
    if config.features.kind in ("auto", "sift"):
        return shards
    from recon.features.turning import turns_of

    turns = turns_of(images)
    megapixels = max((_megapixels(record, config.features.learned_size_px) for record in images.records), default=0.0)
    memory_mb = round(_BASE_MB + _MEGAPIXEL_MB[config.features.kind] * megapixels)
    return [{**shard, "turns": turns[shard["start"] : shard["end"]], "memory_mb": memory_mb} for shard in shards]


def _megapixels(record: ImageRecord, max_size_px: int) -> float:
    """Of an image as a network sees it."""
    shrunk = min(1.0, max_size_px / max(record.width, record.height))
    return record.width * record.height * shrunk**2 / 1e6


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    """Writes ``index.json``, ``keypoints.npy``, ``descriptors.npy`` and ``rgb.npy``."""
    import cv2

    from recon.features.store import SIFT, write_features
    from recon.models.choice import resolved

    images = ImageSet.read(inputs)
    records = images.records[shard["start"] : shard["end"]]
    kind = resolved(config.features.kind, work.device)
    cv2.setNumThreads(1)  # images side by side are faster than one image on all cores
    if kind == SIFT:
        found = _by_sift(images, records, config, work)
    else:
        from recon.features.turning import turns_by_gimbal

        turns = shard.get("turns") or turns_by_gimbal(images.records)[shard["start"] : shard["end"]]
        found = _by_network(kind, images, records, turns, config, work)
    rows = []
    for row in found:
        rows.append(row)
        work.tell(len(rows) / len(records))
    write_features(out, [record.name for record in records], rows, kind)


def _by_sift(images: ImageSet, records: Iterable[ImageRecord], config: Config, work: Work) -> Iterator[Features]:
    from recon.features.sift import extract

    options = config.features

    def features_of(record: ImageRecord) -> Features:
        size = (record.width, record.height)
        path, mask = images.path(record), images.mask_path(record)
        return extract(path, mask, size, options.max_size_px, options.max_keypoints, options.peak_threshold)

    with ThreadPoolExecutor(max(1, work.threads)) as pool:
        yield from pool.map(features_of, records)


def _by_network(
    kind: str, images: ImageSet, records: Sequence[ImageRecord], turns: Sequence[int], config: Config, work: Work
) -> Iterator[Features]:
    """One image after the other, since a network needs much memory; those that come are decoded meanwhile."""
    from recon.features.learned import Picture, read_picture
    from recon.matchers.learned import kind_of, loaded
    from recon.models.choice import learned_device

    options = config.features
    network = loaded(kind_of(kind), learned_device(work.device), work.threads)

    def picture_of(record: ImageRecord, turn: int) -> Picture:
        size = (record.width, record.height)
        return read_picture(images.path(record), images.mask_path(record), size, options.learned_size_px, turn)

    with ThreadPoolExecutor(max(1, work.threads)) as pool:
        for picture in pool.map(picture_of, records, turns):
            yield network.features_of(picture, options.learned_keypoints)


stage = Stage("features", needs=("ingest", "select"), run=run, split=split, memory_mb=900, version=2)
