"""``matches``: keypoints matched and verified, in blocks of image pairs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from recon.capture.records import ImageSet, read_json, write_json
from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work, blocks

_PAIRS_A_SHARD = 64


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """Blocks of pairs, in order."""
    return [{"start": block.start, "end": block.stop} for block in blocks(len(_pairs(inputs)), _PAIRS_A_SHARD)]


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    """Writes ``matches.npz`` (verified pairs) and ``matches.json`` (all pairs with their counts)."""
    from threadpoolctl import threadpool_limits

    from recon.features.store import FeatureStore
    from recon.matchers.nearest import match
    from recon.matchers.store import PairMatches, write_matches
    from recon.matchers.verify import verify
    from recon.sfm.cameras import cameras_of

    images = ImageSet.read(inputs)
    features = FeatureStore(inputs["features"])
    cameras = cameras_of(images.records, config.camera)
    camera_of = {record.name: cameras[record.camera] for record in images.records}
    options = config.matches
    pairs = _pairs(inputs)[shard["start"] : shard["end"]]

    def one(number: int) -> tuple[int, PairMatches | None]:
        name1, name2 = pairs[number]
        first, second = features[name1], features[name2]
        matches, ratios = match(first.descriptors, second.descriptors, options.ratio)
        seed = int(np.random.SeedSequence([work.seed, shard["start"] + number]).generate_state(1)[0] & 0x7FFFFFFF)
        found = verify(
            (name1, name2),
            (camera_of[name1], camera_of[name2]),
            (first.keypoints, second.keypoints),
            matches,
            ratios,
            options.max_error_px,
            options.min_inliers,
            seed,
        )
        return len(matches), found

    rows = []
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(max(1, work.threads)) as pool:
        for row in pool.map(one, range(len(pairs))):
            rows.append(row)
            work.tell(len(rows) / len(pairs))
    write_matches(out, [found for _, found in rows if found])
    write_json(out / "matches.json", {"pairs": [_row(pair, raw, found) for pair, (raw, found) in zip(pairs, rows, strict=True)]})


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
