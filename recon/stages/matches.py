"""``matches``: keypoints matched and verified, in blocks of image pairs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recon.capture.records import ImageSet, read_json, write_json
from recon.config import Config
from recon.errors import ConfigError
from recon.stage import Inputs, Shard, Stage, Work, blocks

if TYPE_CHECKING:
    from recon.features.store import FeatureStore
    from recon.matchers.store import PairMatches

_PAIRS_A_SHARD = 64
_GLUE_MB = 1000
"""What the learned matcher needs on two cores (measured)."""

Names = tuple[str, str]
Matched = tuple[NDArray[np.uint32], NDArray[np.float64]]
"""(M, 2) keypoint indices, and (M,) how indistinct each match is: the ratio of distances, 0 where there is none."""


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """Blocks of pairs, in order."""
    from recon.features.store import FeatureStore

    found: list[Shard] = [{"start": block.start, "end": block.stop} for block in blocks(len(_pairs(inputs)), _PAIRS_A_SHARD)]
    if not _by_glue(FeatureStore(inputs["features"]), config):
        return found
    return [{**shard, "memory_mb": _GLUE_MB} for shard in found]


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    """Writes ``matches.npz`` (verified pairs) and ``matches.json`` (all pairs with their counts)."""
    from threadpoolctl import threadpool_limits

    from recon.features.store import FeatureStore
    from recon.matchers.store import write_matches
    from recon.matchers.verify import verify
    from recon.models.choice import learned_device
    from recon.sfm.cameras import cameras_of

    images = ImageSet.read(inputs)
    features = FeatureStore(inputs["features"])
    cameras = cameras_of(images.records, config.camera)
    camera_of = {record.name: cameras[record.camera] for record in images.records}
    size_of = {record.name: (record.width, record.height) for record in images.records}
    options = config.matches
    pairs = _pairs(inputs)[shard["start"] : shard["end"]]

    def verified(number: int, matched: Matched) -> tuple[int, PairMatches | None]:
        names = pairs[number]
        seed = int(np.random.SeedSequence([work.seed, shard["start"] + number]).generate_state(1)[0] & 0x7FFFFFFF)
        xy = (features[names[0]].keypoints, features[names[1]].keypoints)
        pair_cameras = (camera_of[names[0]], camera_of[names[1]])
        return len(matched[0]), verify(names, pair_cameras, xy, *matched, options.max_error_px, options.min_inliers, seed)

    rows = []
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(max(1, work.threads)) as pool:
        if _by_glue(features, config):
            from recon.matchers.learned import glued

            found = pool.map(verified, range(len(pairs)), glued(features.kind, features, pairs, size_of, work.device, work.threads))
        else:
            device = learned_device(work.device) if options.kind == "nearest" else "cpu"
            found = pool.map(lambda number: verified(number, _nearest(features, pairs[number], options.ratio, device)), range(len(pairs)))
        for row in found:
            rows.append(row)
            work.tell(len(rows) / len(pairs))
    write_matches(out, [found for _, found in rows if found])
    write_json(out / "matches.json", {"pairs": [_row(pair, raw, found) for pair, (raw, found) in zip(pairs, rows, strict=True)]})


def _by_glue(features: FeatureStore, config: Config) -> bool:
    """Whether the learned matcher is used; ConfigError where it can't be."""
    from recon.features.store import SIFT

    if config.matches.kind == "lightglue" and features.kind == SIFT:
        raise ConfigError(
            "matches.kind is lightglue, and there are no weights of it for SIFT", "Set features.kind to aliked, disk or xfeat"
        )
    return features.kind != SIFT and config.matches.kind != "nearest"


def _nearest(features: FeatureStore, names: Names, ratio: float, device: str) -> Matched:
    """The same matches of SIFT on every device; of learned descriptors but for what a GPU rounds otherwise."""
    one, two = features[names[0]], features[names[1]]
    if device == "cpu" and not one.is_learned:
        from recon.matchers.nearest import match

        return match(one.descriptors, two.descriptors, ratio)

    from recon.matchers.mutual import match_dense, match_sift
    from recon.models.device import device_of, on_one_core

    on_one_core()
    if not one.is_learned:
        return match_sift(one.descriptors, two.descriptors, ratio, device_of(device))
    matches, _ = match_dense(one.descriptors, two.descriptors, device_of(device))
    return matches, np.zeros(len(matches))


def _row(pair: tuple[str, str], raw: int, found: object) -> dict[str, object]:
    import pycolmap

    from recon.matchers.store import PairMatches

    row: dict[str, object] = {"name1": pair[0], "name2": pair[1], "raw": raw, "inliers": 0, "geometry": "none", "tri_angle_deg": None}
    if isinstance(found, PairMatches):
        angle = found.tri_angle_deg
        geometry = pycolmap.TwoViewGeometryConfiguration(found.config).name.lower()
        row |= {"inliers": len(found.matches), "geometry": geometry, "tri_angle_deg": None if np.isnan(angle) else round(angle, 3)}
    return row


def _pairs(inputs: Inputs) -> list[tuple[str, str]]:
    return [(name1, name2) for name1, name2 in read_json(inputs["pairs"][0] / "pairs.json")["pairs"]]


stage = Stage(
    "matches",
    needs=("ingest", "select", "features", "pairs"),
    run=run,
    split=split,
    reads=("matches", "camera"),
    seeded=True,
    memory_mb=500,
)
