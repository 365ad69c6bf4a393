"""sfm: poses, intrinsics and sparse points, in a frame of arbitrary scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.capture.records import ImageRecord, ImageSet, write_json
from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work

if TYPE_CHECKING:
    import pycolmap

    from recon.sfm.mapping import Outcome


_SIZE_PX = 4000
"""Up to this longer side ``sfm.max_reproj_error_px`` holds as it is."""


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import pycolmap

    from recon.features.store import FeatureStore
    from recon.matchers.store import read_matches
    from recon.sfm.cameras import cameras_of, is_fixed, shared_params
    from recon.sfm.colours import colour_points
    from recon.sfm.diagnosis import check_pairs, no_model, partial_warnings
    from recon.sfm.mapping import reconstruct
    from recon.sfm.refine import Adjustment

    pycolmap.logging.minloglevel = pycolmap.logging.FATAL.value  # a mapper that fails raises, too
    records = ImageSet.read(inputs).records
    features, pairs = FeatureStore(inputs["features"]), read_matches(inputs["matches"])
    cameras = cameras_of(records, config.camera)
    prior = {camera.camera_id: camera.params.tolist() for camera in cameras.values()}
    check_pairs(records, cameras, features, pairs)
    work.tell(0.1)
    large = max(max(record.width, record.height) for record in records) / _SIZE_PX
    max_error_px = config.sfm.max_reproj_error_px * max(1.0, large)
    adjustment = Adjustment(max_error_px, config.sfm.min_angle_deg, is_fixed(config.camera), work.seed, work.threads)
    any_lens = config.camera.model == "auto" and not is_fixed(config.camera)
    outcome = reconstruct(records, cameras, features, pairs, config.sfm.mapper, adjustment, any_lens)
    if outcome is None:
        raise no_model(records, pairs)
    for model in (outcome.best.model, *outcome.others):
        colour_points(model, features)
    _write(out / "model", outcome.best.model)
    for number, other in enumerate(outcome.others):
        _write(out / "other_models" / str(number), other)
    warnings = shared_params(cameras, config.camera) + partial_warnings(records, outcome.best.model, outcome.others)
    write_json(out / "sfm.json", _statistics(records, outcome, prior) | {"warnings": warnings})


def _write(folder: Path, model: pycolmap.Reconstruction) -> None:
    folder.mkdir(parents=True)
    model.write_binary(folder)


def _statistics(records: tuple[ImageRecord, ...], outcome: Outcome, prior: dict[int, list[float]]) -> dict[str, Any]:
    model = outcome.best.model
    images = {image.name: image for image in model.images.values() if image.has_pose}
    return {
        "mapper": outcome.best.mapper,
        "images": len(records),
        "registered": len(images),
        "points": model.num_points3D(),
        "reprojection_error_px": model.compute_mean_reprojection_error(),
        "mean_track_length": model.compute_mean_track_length(),
        "explained_matches": outcome.best.explained,
        "models": [
            {
                "mapper": candidate.mapper,
                "registered": candidate.registered,
                "points": candidate.model.num_points3D(),
                "reprojection_error_px": candidate.error_px,
                "explained_matches": candidate.explained,
                "chosen": candidate is outcome.best,
            }
            for candidate in outcome.compared
        ],
        "cameras": [
            {
                "camera": camera_id,
                "model": camera.model_name,
                "width": camera.width,
                "height": camera.height,
                "params": camera.params.tolist(),
                "prior_params": prior.get(camera_id),
                "prior_focal": camera.has_prior_focal_length,
            }
            for camera_id, camera in sorted(model.cameras.items())
        ],
        "per_image": {record.name: _residuals(model, images.get(record.name)) for record in records},
    }


def _residuals(model: pycolmap.Reconstruction, image: pycolmap.Image | None) -> dict[str, Any]:
    """Whether the image is registered, how many points it sees, and its mean reprojection error [px]."""
    if image is None:
        return {"registered": False, "observations": 0, "residual_px": None}
    seen = image.get_observation_points2D()
    pixels = np.array([point.xy for point in seen]).reshape(-1, 2)
    xyz = np.array([model.points3D[point.point3D_id].xyz for point in seen]).reshape(-1, 3)
    in_camera = image.cam_from_world() * xyz
    errors = np.linalg.norm(image.camera.img_from_cam(in_camera) - pixels, axis=1)
    errors = errors[np.isfinite(errors)]
    return {"registered": True, "observations": len(seen), "residual_px": float(errors.mean()) if len(errors) else None}


stage = Stage(
    "sfm",
    needs=("select", "features", "matches"),
    run=run,
    reads=("sfm", "camera"),
    seeded=True,
    memory_mb=2000,
    version=3,
)
