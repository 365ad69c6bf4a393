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
    return [{**shard, "turns": turns[shard["start"] : shard["end"]]} for shard in shards]


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
        from recon.features.turning import turn_by_gimbal

        turns = shard.get("turns") or [turn_by_gimbal(record) for record in records]
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
    """On the CPU images go side by side; a GPU gets one after the other, and those that come are decoded meanwhile."""
    from recon.features.learned import Picture, read_picture
    from recon.matchers.learned import kind_of, loaded
    from recon.models.choice import learned_device

    options, device = config.features, learned_device(work.device)
    network = loaded(kind_of(kind), device, work.threads)

    def picture_of(record: ImageRecord, turn: int) -> Picture:
        size = (record.width, record.height)
        return read_picture(images.path(record), images.mask_path(record), size, options.learned_size_px, turn)

    def features_of(record: ImageRecord, turn: int) -> Features:
        return network.features_of(picture_of(record, turn), options.learned_keypoints)

    with ThreadPoolExecutor(max(1, work.threads)) as pool:
        if device == "cpu":
            yield from pool.map(features_of, records, turns)
        else:
            yield from (network.features_of(picture, options.learned_keypoints) for picture in pool.map(picture_of, records, turns))


stage = Stage("features", needs=("ingest", "select"), run=run, split=split, memory_mb=900, version=2)
