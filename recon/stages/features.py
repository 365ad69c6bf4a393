"""``features``: keypoints and descriptors of every image, in blocks of images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from recon.capture.records import ImageRecord, ImageSet
from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work, blocks

_IMAGES_A_SHARD = 4


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """Blocks of images, in order."""
    return [{"start": block.start, "end": block.stop} for block in blocks(len(ImageSet.read(inputs)), _IMAGES_A_SHARD)]


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    """Writes ``index.json``, ``keypoints.npy``, ``descriptors.npy`` and ``rgb.npy``."""
    import cv2

    from recon.features.sift import extract
    from recon.features.store import Features, write_features

    images = ImageSet.read(inputs)
    records = images.records[shard["start"] : shard["end"]]
    options = config.features

    def features_of(record: ImageRecord) -> Features:
        size = (record.width, record.height)
        path, mask = images.path(record), images.mask_path(record)
        return extract(path, mask, size, options.max_size_px, options.max_keypoints, options.peak_threshold)

    cv2.setNumThreads(1)  # images side by side are faster than one image on all cores
    rows = []
    with ThreadPoolExecutor(max(1, work.threads)) as pool:
        for row in pool.map(features_of, records):
            rows.append(row)
            work.tell(len(rows) / len(records))
    write_features(out, [record.name for record in records], rows)


stage = Stage("features", needs=("ingest", "select"), run=run, split=split, memory_mb=900, version=2)
