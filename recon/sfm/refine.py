"""From a model's poses to its best estimate: all tracks triangulated anew, adjusted, filtered, and adjusted again."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass

import pycolmap

log = logging.getLogger(__name__)

_ROUNDS = 4
_ENOUGH = 0.002
"""A round that changes a smaller share of the observations than this is the last."""
_ONE_THREAD_OBSERVATIONS = 1_000_000
"""Ceres adds up in the order in which its threads finish: on one thread the result is the same to the last bit, always. Beyond
this size that takes too long; models then agree to about 1e-6 of their size."""


@dataclass(frozen=True)
class Limits:
    """What a mapper asks of a first pair and of every image after it; COLMAP's values, but for the angle."""

    init_angle_deg: float = 8.0
    init_inliers: int = 100
    pose_inliers: int = 30
    pose_inlier_share: float = 0.25


@dataclass(frozen=True)
class Adjustment:
    """What bundle adjustment may do."""

    max_reproj_error_px: float
    min_angle_deg: float
    fixed_intrinsics: bool
    seed: int
    threads: int
    two_view_tracks: bool = False
    """Keep points that only two images see: all there are, of two images."""
    limits: Limits = Limits()

    def triangulation(self) -> pycolmap.IncrementalTriangulatorOptions:
        options = pycolmap.IncrementalTriangulatorOptions()
        options.min_angle = self.min_angle_deg
        options.ignore_two_view_tracks = not self.two_view_tracks
        options.merge_max_reproj_error = options.complete_max_reproj_error = self.max_reproj_error_px
        options.random_seed = self.seed
        return options

    def mapper(self) -> pycolmap.IncrementalMapperOptions:
        options = pycolmap.IncrementalMapperOptions()
        options.filter_max_reproj_error = self.max_reproj_error_px
        options.filter_min_tri_angle = self.min_angle_deg
        options.random_seed = self.seed
        options.num_threads = self.threads
        self.limit(options)
        return options

    def limit(self, options: pycolmap.IncrementalMapperOptions) -> None:
        """Set what is asked of pairs and images."""
        options.init_min_tri_angle = self.limits.init_angle_deg
        options.init_min_num_inliers = self.limits.init_inliers
        options.abs_pose_min_num_inliers = self.limits.pose_inliers
        options.abs_pose_min_inlier_ratio = self.limits.pose_inlier_share

    def bundle(self, observations: int, last: bool, min_track_length: int = 2) -> pycolmap.BundleAdjustmentOptions:
        options = pycolmap.BundleAdjustmentOptions()
        options.print_summary = False
        options.refine_focal_length = options.refine_extra_params = not self.fixed_intrinsics
        options.refine_principal_point = False
        options.min_track_length = min_track_length
        options.ceres.use_gpu = False
        options.ceres.loss_function_type = pycolmap.LossFunctionType.SOFT_L1
        options.ceres.loss_function_scale = 1.0
        solver = options.ceres.solver_options
        solver.num_threads = 1 if observations < _ONE_THREAD_OBSERVATIONS else self.threads
        solver.max_num_iterations = 100 if last else 30
        solver.function_tolerance = 1e-7 if last else 1e-5
        options.ceres.auto_select_solver_type = True
        return options


def refine(model: pycolmap.Reconstruction, cache: pycolmap.DatabaseCache, adjustment: Adjustment, rough: bool = False) -> None:
    """Changes ``model`` in place, keeping its registered images where they keep observations.

    ``rough``: one round only, enough to tell a good model from a poor one.
    """
    mapper = pycolmap.IncrementalMapper(cache)
    mapper.begin_reconstruction(model)
    triangulation, filtering = adjustment.triangulation(), adjustment.mapper()
    for image_id in sorted(model.reg_image_ids()):
        mapper.triangulate_image(triangulation, image_id)
    mapper.complete_and_merge_tracks(triangulation)
    for number in range(2 if rough else _ROUNDS):
        before = model.compute_num_observations()
        adjust(model, adjustment, last=False)
        changed = mapper.retriangulate(triangulation) if number == 0 else 0
        changed += mapper.complete_and_merge_tracks(triangulation)
        changed += mapper.filter_points(filtering)
        mapper.filter_frames(filtering)
        log.info("refinement round %d: %d observations, %d changed", number + 1, before, changed)
        if changed < _ENOUGH * before:
            break
    if not rough:
        adjust(model, adjustment, last=True)
        mapper.filter_points(filtering)
    mapper.end_reconstruction(False)
    model.update_point_3d_errors()


def adjust(model: pycolmap.Reconstruction, adjustment: Adjustment, last: bool, decentred: Collection[int] = ()) -> None:
    """One bundle adjustment of the whole model. With ``decentred`` cameras their principal points are free, and no other camera's lens."""
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in sorted(model.reg_image_ids()):
        config.add_image(image_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    for camera_id in model.cameras:
        if adjustment.fixed_intrinsics or (decentred and camera_id not in decentred):
            config.set_constant_cam_intrinsics(camera_id)
    options = adjustment.bundle(model.compute_num_observations(), last)
    options.refine_principal_point = bool(decentred)
    pycolmap.create_default_bundle_adjuster(options, config, model).solve()
