"""What ``sfm`` and ``recover`` write of a model: the model, the ones beside it, and ``sfm.json``; or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from recon.capture.records import ImageRecord, write_json
from recon.config import Config
from recon.errors import NoOverlap, NoParallax, ReconError, ReconstructionError
from recon.features.store import Features
from recon.sfm.cameras import cameras_of, is_fixed, shared_params
from recon.sfm.colours import colour_points
from recon.sfm.diagnosis import partial_warnings
from recon.sfm.links import thinnest_link
from recon.sfm.mapping import Outcome
from recon.sfm.refine import Adjustment

SFM_FILE = "sfm.json"
_SIZE_PX = 4000
"""Up to this longer side ``sfm.max_reproj_error_px`` holds as it is."""
_ERRORS = {error.code: error for error in (ReconstructionError, NoOverlap, NoParallax)}


def adjustment_of(records: Sequence[ImageRecord], config: Config, seed: int, threads: int) -> Adjustment:
    """What bundle adjustment may do on these images."""
    large = max(max(record.width, record.height) for record in records) / _SIZE_PX
    max_error_px = config.sfm.max_reproj_error_px * max(1.0, large)
    return Adjustment(max_error_px, config.sfm.min_angle_deg, is_fixed(config.camera, records), seed, threads)


def write_result(
    out: Path, records: Sequence[ImageRecord], outcome: Outcome, features: Mapping[str, Features], config: Config
) -> dict[str, Any]:
    """Writes ``model/``, ``other_models/N/`` and ``sfm.json``, whose content is returned. Points get their colours."""
    model, cameras = outcome.best.model, cameras_of(records, config.camera)
    for number, each in enumerate((model, *outcome.others)):
        colour_points(each, features)
        folder = out / (f"other_models/{number - 1}" if number else "model")
        folder.mkdir(parents=True)
        each.write_binary(folder)
    warnings = shared_params(cameras, config.camera) + partial_warnings(records, model, outcome.others)
    prior = {camera.camera_id: camera.params.tolist() for camera in cameras.values()}
    link = thinnest_link(model)
    thin = {"points": link.points, "images": list(link.images)} if link else None
    others = [other.num_reg_images() for other in outcome.others]
    facts = _statistics(records, outcome, prior) | {"warnings": warnings, "other_models": others, "thin_link": thin, "error": None}
    write_json(out / SFM_FILE, facts)
    return facts


def write_failure(out: Path, records: Sequence[ImageRecord], error: ReconstructionError) -> None:
    """Writes ``sfm.json`` alone, with no image registered and the error that says why."""
    nothing = dict.fromkeys(("mapper", "reprojection_error_px", "mean_track_length", "explained_matches", "thin_link"))
    counts = {"images": len(records), "registered": 0, "points": 0, "models": [], "other_models": [], "cameras": [], "warnings": []}
    told = {"code": error.code, "message": error.message, "remedy": error.remedy}
    per_image = {record.name: _residuals(None, None) for record in records}
    write_json(out / SFM_FILE, {**nothing, **counts, "per_image": per_image, "error": told})


def error_of(told: Mapping[str, str], also: str = "") -> ReconError:
    """The error that ``write_failure`` wrote, its message with more to say."""
    return _ERRORS.get(told["code"], ReconstructionError)(told["message"] + also, told["remedy"])


def _statistics(records: Sequence[ImageRecord], outcome: Outcome, prior: dict[int, list[float]]) -> dict[str, Any]:
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


def _residuals(model: pycolmap.Reconstruction | None, image: pycolmap.Image | None) -> dict[str, Any]:
    """Whether the image is registered, how many points it sees, and its mean reprojection error [px]."""
    if model is None or image is None:
        return {"registered": False, "observations": 0, "residual_px": None}
    seen = image.get_observation_points2D()
    pixels = np.array([point.xy for point in seen]).reshape(-1, 2)
    xyz = np.array([model.points3D[point.point3D_id].xyz for point in seen]).reshape(-1, 3)
    in_camera = image.cam_from_world() * xyz
    errors = np.linalg.norm(image.camera.img_from_cam(in_camera) - pixels, axis=1)
    errors = errors[np.isfinite(errors)]
    return {"registered": True, "observations": len(seen), "residual_px": float(errors.mean()) if len(errors) else None}
