"""``features``: keypoints and descriptors of every image, in blocks of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    """Blocks of images, in order."""
    return [{"start": block.start, "end": block.stop} for block in blocks(len(ImageSet.read(inputs)), _IMAGES_A_SHARD)]


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    """Writes ``index.json``, ``keypoints.npy``, ``descriptors.npy`` and ``rgb.npy``."""
    import cv2

    from recon.features.store import SIFT, write_features
    from recon.models.choice import resolved

    images = ImageSet.read(inputs)
    records = images.records[shard["start"] : shard["end"]]
    kind = resolved(config.features.kind, work.device)
    cv2.setNumThreads(1)  # images side by side are faster than one image on all cores
    found = _by_sift(images, records, config, work) if kind == SIFT else _by_network(kind, images, records, config, work)
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


def _by_network(kind: str, images: ImageSet, records: Iterable[ImageRecord], config: Config, work: Work) -> Iterator[Features]:
    """On the CPU images go side by side; a GPU gets one after the other, and those that come are decoded meanwhile."""
    from recon.features.learned import Picture, read_picture
    from recon.features.turning import turn_by_gimbal
    from recon.matchers.learned import kind_of, loaded
    from recon.models.choice import learned_device

    options, device = config.features, learned_device(work.device)
    network = loaded(kind_of(kind), device, work.threads)

    def picture_of(record: ImageRecord) -> Picture:
        size, turn = (record.width, record.height), turn_by_gimbal(record)
        return read_picture(images.path(record), images.mask_path(record), size, options.learned_size_px, turn)

    def features_of(record: ImageRecord) -> Features:
        return network.features_of(picture_of(record), options.learned_keypoints)

    with ThreadPoolExecutor(max(1, work.threads)) as pool:
        if device == "cpu":
            yield from pool.map(features_of, records)
        else:
            yield from (network.features_of(picture, options.learned_keypoints) for picture in pool.map(picture_of, records))


stage = Stage("features", needs=("ingest", "select"), run=run, split=split, memory_mb=900, version=2)
