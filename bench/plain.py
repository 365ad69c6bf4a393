"""The peer of the sparse part: plain pycolmap, as its documentation runs it, on the same images at the same size.

python -m bench.plain IMAGES WORK MAX_SIZE_PX exhaustive|sequential
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pycolmap


def main(images: Path, work: Path, max_size_px: int, pairing: str) -> None:
    work.mkdir(parents=True, exist_ok=True)
    database = work / "plain.db"
    database.unlink(missing_ok=True)
    started_s = time.monotonic()
    options = pycolmap.FeatureExtractionOptions()
    options.max_image_size = max_size_px
    pycolmap.extract_features(database, images, camera_mode=pycolmap.CameraMode.AUTO, extraction_options=options)
    if pairing == "sequential":
        pycolmap.match_sequential(database)
    else:
        pycolmap.match_exhaustive(database)
    models = pycolmap.incremental_mapping(database, images, work)
    row = {
        "seconds": time.monotonic() - started_s,
        "models": sorted((model.num_reg_images() for model in models.values()), reverse=True),
        "reprojection_error_px": [model.compute_mean_reprojection_error() for model in models.values()],
    }
    sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
