"""sfm: poses, intrinsics and sparse points, in a frame of arbitrary scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recon.capture.records import ImageSet
from recon.config import Config
from recon.errors import NoParallax, ReconstructionError
from recon.stage import Inputs, Shard, Stage, Work

if TYPE_CHECKING:
    from recon.features.store import Features, FeatureStore
    from recon.matchers.store import PairMatches


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    """Writes the model and ``sfm.json``. Where no model can be built ``sfm.json`` says why, and ``recover`` takes it from there.

    Raises EmptyCapture and NoParallax: no better matches help then.
    """
    import pycolmap

    from recon.features.store import SIFT, FeatureStore
    from recon.matchers.store import read_matches
    from recon.sfm.cameras import cameras_of, is_fixed
    from recon.sfm.diagnosis import check_pairs, no_model
    from recon.sfm.mapping import reconstruct
    from recon.sfm.result import adjustment_of, write_failure, write_result

    pycolmap.logging.minloglevel = pycolmap.logging.FATAL.value  # a mapper that fails raises, too
    images = ImageSet.read(inputs)
    records = images.records
    store, pairs = FeatureStore(inputs["features"]), read_matches(inputs["matches"])
    features = _aligned(images, store, pairs) if store.kind != SIFT and config.sfm.align_keypoints else store
    cameras = cameras_of(records, config.camera)
    any_lens = config.camera.model == "auto" and not is_fixed(config.camera)
    try:
        check_pairs(records, cameras, features, pairs)
        work.tell(0.1)
        adjustment = adjustment_of(records, config, work.seed, work.threads)
        outcome = reconstruct(records, cameras, features, pairs, config.sfm.mapper, adjustment, config.matches, any_lens)
        if outcome is None:
            raise no_model(records, pairs)
    except NoParallax:
        raise
    except ReconstructionError as error:
        write_failure(out, records, error)
        return
    write_result(out, records, outcome, features, config)


def _aligned(images: ImageSet, features: FeatureStore, pairs: Sequence[PairMatches]) -> Mapping[str, Features]:
    """The learned keypoints that are matched, moved onto the same surface points; the others as they are."""
    from recon.capture.pixels import read_grey
    from recon.matchers.subpixel import SIZE_PX, aligned

    records = {record.name: record for record in images.records}
    sizes = {name: (record.width, record.height) for name, record in records.items()}
    return {**features, **aligned(features, pairs, sizes, lambda name: read_grey(images.path(records[name]), SIZE_PX))}


stage = Stage(
    "sfm",
    needs=("ingest", "select", "features", "matches"),
    run=run,
    reads=("sfm", "camera", "matches"),
    seeded=True,
    memory_mb=2000,
    version=6,
)
