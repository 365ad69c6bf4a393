"""sfm: poses, intrinsics and sparse points, in a frame of arbitrary scale."""

from __future__ import annotations

from pathlib import Path

from recon.capture.records import ImageSet
from recon.config import Config
from recon.errors import NoParallax, ReconstructionError
from recon.stage import Inputs, Shard, Stage, Work


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    """Writes the model and ``sfm.json``. Where no model can be built ``sfm.json`` says why, and ``recover`` takes it from there.

    Raises EmptyCapture and NoParallax: no better matches help then.
    """
    import pycolmap

    from recon.features.store import SIFT, FeatureStore
    from recon.matchers.store import read_matches
    from recon.matchers.subpixel import aligned_in
    from recon.sfm.cameras import cameras_of, is_fixed
    from recon.sfm.diagnosis import check_pairs, no_model
    from recon.sfm.mapping import reconstruct
    from recon.sfm.result import adjustment_of, write_failure, write_result

    pycolmap.logging.minloglevel = pycolmap.logging.FATAL.value  # a mapper that fails raises, too
    images = ImageSet.read(inputs)
    records = images.records
    store, pairs = FeatureStore(inputs["features"]), read_matches(inputs["matches"])
    features = {**store, **aligned_in(images, store, pairs)} if store.kind != SIFT and config.sfm.align_keypoints else store
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


stage = Stage(
    "sfm",
    needs=("ingest", "select", "features", "matches"),
    run=run,
    reads=("sfm", "camera", "matches"),
    seeded=True,
    memory_mb=2000,
    version=7,
)
