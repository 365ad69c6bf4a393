"""A last bundle adjustment of a georeferenced model with the photos' positions as priors: they hold what images leave weak, as a bowl."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pycolmap

from recon.capture.records import ImageRecord
from recon.sfm.georeference import Georeference
from recon.sfm.refine import Adjustment

LEAST_FIXES = 8
_MOST_OBSERVATIONS = 2_000_000
"""Beyond it the adjustment would take longer than all of georef otherwise."""
_LEVEL_M, _BAROMETER_M = 1.0, 0.2
"""Deviations within a flight of drones that state none: a receiver's, whose common error is not seen, and a barometer's."""
_WORSE = 1.02
"""By so much may the reprojection error grow."""


def held_by_fixes(
    model: pycolmap.Reconstruction, photos: Sequence[ImageRecord], found: Georeference, adjustment: Adjustment
) -> pycolmap.Reconstruction | None:
    """The model, in its frame, adjusted again with the positions that ``found`` used; None where it is not done, or images contradict.

    ``photos`` are those of ``found``, row by row. A photo without a stated deviation gets what drones hold within a flight, if its
    altitude is a barometer's; else nothing is adjusted.
    """
    photos = [record for record, used in zip(photos, found.used, strict=True) if used]
    positions_m = (found.centers_m - found.residuals_m)[found.used]
    sigmas = [_sigma_m(record) for record in photos]
    if len(photos) < LEAST_FIXES or model.compute_num_observations() > _MOST_OBSERVATIONS or any(sigma is None for sigma in sigmas):
        return None
    adjusted = pycolmap.Reconstruction(model)
    adjusted.transform(found.world_from_model)
    adjusted.update_point_3d_errors()
    before_px = adjusted.compute_mean_reprojection_error()
    images = {image.name: image for image in adjusted.images.values()}
    priors = []
    for number, (record, position, sigma) in enumerate(zip(photos, positions_m, sigmas, strict=True), 1):
        level_m, height_m = sigma or (0.0, 0.0)
        prior = pycolmap.PosePrior()
        prior.pose_prior_id, prior.corr_data_id = number, images[record.name].data_id
        prior.position, prior.position_covariance = position, np.diag([level_m**2, level_m**2, height_m**2])
        prior.coordinate_system = pycolmap.PosePriorCoordinateSystem.CARTESIAN
        priors.append(prior)
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in sorted(adjusted.reg_image_ids()):
        config.add_image(image_id)
    if adjustment.fixed_intrinsics:
        for camera_id in adjusted.cameras:
            config.set_constant_cam_intrinsics(camera_id)
    options = pycolmap.PosePriorBundleAdjustmentOptions()
    options.alignment_ransac.random_seed = adjustment.seed
    options.alignment_ransac.max_error = max(3 * found.rms_m, 0.01)  # it aligns once more by itself
    options.ceres.prior_position_loss_function_type = pycolmap.LossFunctionType.SOFT_L1
    bundle = adjustment.bundle(adjusted.compute_num_observations(), last=True)
    pycolmap.create_pose_prior_bundle_adjuster(bundle, options, config, priors, adjusted).solve()
    adjusted.update_point_3d_errors()
    good = adjusted.compute_mean_reprojection_error() <= _WORSE * before_px + 1e-6
    adjusted.transform(found.world_from_model.inverse())
    return adjusted if good else None


def _sigma_m(record: ImageRecord) -> tuple[float, float] | None:
    if record.gps is None or record.gps.alt_m is None:
        return None
    if record.gps.sigma_m:
        return record.gps.sigma_m
    return (_LEVEL_M, _BAROMETER_M) if record.gps.alt_datum in ("unknown", "takeoff") else None
