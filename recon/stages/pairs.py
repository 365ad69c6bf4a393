"""``pairs``: which images are matched with which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recon.capture.records import ImageSet, write_json
from recon.config import Config
from recon.errors import EmptyCapture, NoTexture
from recon.stage import Inputs, Shard, Stage, Work

if TYPE_CHECKING:
    from recon.matchers.pairing import Pair, Ranked

_MIN_KEYPOINTS = 50


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    """Writes ``pairs.json``. EmptyCapture for one image, NoTexture if fewer than two images have keypoints enough to be matched."""
    from recon.features.store import FeatureStore
    from recon.features.vlad import image_vectors, ranked_alike
    from recon.matchers.pairing import choose_pairs
    from recon.matchers.quick import agreements

    records = ImageSet.read(inputs).records
    features = FeatureStore(inputs["features"])
    names = [record.name for record in records]
    counts = [features.count(name) for name in names]
    if len(names) < 2:
        raise EmptyCapture(f"{len(names)} usable image", "Two or more photos from different places are needed")
    textured = sum(count >= _MIN_KEYPOINTS for count in counts)
    if textured < 2:
        raise NoTexture(
            f"{textured} of {len(names)} images have {_MIN_KEYPOINTS} keypoints or more (at most {max(counts)})",
            "Film something with texture, in focus and well lit; put newspaper or markers on bare surfaces",
        )
    vectors: list[NDArray[np.float32]] = []  # made only when a rule asks for them

    def alike(queries: Sequence[int], among: Sequence[int], count: int, apart: int) -> Ranked:
        if not vectors:
            work.tell(0.1, "image vectors")
            vectors.append(image_vectors(features, names, work.seed))
        return ranked_alike(vectors[0], queries, among, count, apart)

    def agreement(pairs: Sequence[Pair]) -> list[int]:
        work.tell(0.5, f"a quick look at {len(pairs)} pairs")
        return agreements(features, [(names[i], names[j]) for i, j in pairs], work.threads)

    pairs, sources = choose_pairs(records, config.pairs, alike, agreement)
    write_json(out / "pairs.json", {"pairs": [[names[i], names[j]] for i, j in pairs], "sources": sources})


stage = Stage("pairs", needs=("ingest", "select", "features"), run=run, seeded=True, memory_mb=600, version=3)
