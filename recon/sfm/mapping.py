"""From verified matches to the best model: global mapping first, incremental where that is poor, leftovers joined in."""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap

from recon.capture.records import ImageRecord
from recon.config import Matches
from recon.errors import ReconstructionError
from recon.features.store import Features
from recon.matchers.pairing import components
from recon.matchers.store import PairMatches
from recon.sfm.database import write_database
from recon.sfm.fisheye import found_lenses, likely_fisheye, matched_again
from recon.sfm.joining import NO_POINT, join_models, point_ids, register_left_over
from recon.sfm.lens import choose_lens
from recon.sfm.refine import Adjustment, refine

log = logging.getLogger(__name__)

_DOUBTFUL = 0.6
"""A model that explains a smaller share of the matches may be bent by a lens that is none of the usual ones."""
_TRACKS_A_VIEW = 250
"""Global mapping needs no more tracks than this a view to find the poses; ``refine`` then triangulates all."""


@dataclass(frozen=True)
class Candidate:
    """A model that a mapper found."""

    mapper: str
    model: pycolmap.Reconstruction
    explained: float
    """Share of the verified matches between its images that it holds as one 3D point."""

    @property
    def registered(self) -> int:
        return int(self.model.num_reg_images())

    @property
    def error_px(self) -> float:
        return float(self.model.compute_mean_reprojection_error())

    def is_poor(self, connected: int) -> bool:
        """Whether another mapper should be asked: images left out, or matches that do not fit."""
        return self.registered < 0.95 * connected or self.explained < 0.5 or self.error_px > 2.0

    def rank(self) -> tuple[float, float]:
        return self.registered * min(1.0, 2 * self.explained), self.explained


@dataclass(frozen=True)
class Outcome:
    """The chosen model, the ones that could not be joined to it, and all that were compared."""

    best: Candidate
    others: list[pycolmap.Reconstruction]
    compared: list[Candidate]


def reconstruct(
    records: Sequence[ImageRecord],
    cameras: Mapping[str, pycolmap.Camera],
    features: Mapping[str, Features],
    pairs: Sequence[PairMatches],
    mapper: str,
    adjustment: Adjustment,
    matching: Matches,
    any_lens: bool = True,
) -> Outcome | None:
    """The best model of the images; None if no mapper finds one of two images or more. ReconstructionError where the only one fails.

    ``mapper`` is "global", "incremental" or "auto": global first, and incremental too where the global model is poor.
    With ``any_lens`` cameras may get a richer lens model than they came with. A fisheye that is found that way is mapped once more,
    its pairs matched again as ``matching`` asks, which is what they were matched by.
    """
    first = _reconstructed(records, cameras, features, pairs, mapper, adjustment, any_lens)
    lenses = found_lenses(cameras, first.best.model) if first and any_lens else None
    if lenses is None and any_lens and (first is None or first.best.explained < _DOUBTFUL):
        lenses = likely_fisheye(records, cameras, features, pairs, matching, adjustment.seed)
    if lenses is None:
        return first
    again = matched_again(records, lenses, features, pairs, matching, adjustment.seed)
    second = _reconstructed(records, lenses, features, again, mapper, adjustment, False) if again else None
    if first is None or second is None:
        return first or second
    before = replace(first.best, explained=explained(first.best.model, again))
    log.info("fisheye mapped again: %s -> %s", before.rank(), second.best.rank())
    better, other = (second, first) if second.best.rank() > before.rank() else (first, second)
    return Outcome(better.best, better.others, [*other.compared, *better.compared])


def _reconstructed(
    records: Sequence[ImageRecord],
    cameras: Mapping[str, pycolmap.Camera],
    features: Mapping[str, Features],
    pairs: Sequence[PairMatches],
    mapper: str,
    adjustment: Adjustment,
    any_lens: bool,
) -> Outcome | None:
    connected = _largest_component(records, pairs)
    if len(records) == 2:  # two views do not fix a focal length
        adjustment = replace(adjustment, fixed_intrinsics=True, two_view_tracks=True)
    with tempfile.TemporaryDirectory() as scratch:
        database = Path(scratch) / "matches.db"
        write_database(database, records, cameras, features, pairs)
        cache = open_cache(database)
        compared: list[Candidate] = []
        if mapper in ("auto", "global") and len(records) > 2:
            compared += _refined("global", _global(database, Path(scratch), adjustment, mapper == "global"), cache, pairs, adjustment)
        if len(records) == 2:
            compared += _refined("two views", _two_views(cache, pairs[0]), cache, pairs, adjustment)
        best = max(compared, key=Candidate.rank, default=None)
        unsure = best is None or best.is_poor(connected) or _mostly_guessed(records, cameras)
        if mapper == "incremental" or (mapper == "auto" and unsure):
            compared += _refined("incremental", _incremental(database, Path(scratch), adjustment), cache, pairs, adjustment)
            best = max(compared, key=Candidate.rank, default=None)
        if best is None:
            return None
        others = [candidate.model for candidate in compared if candidate is not best]
        chosen = _completed(best, others, cache, pairs, adjustment)
        if any_lens:
            choose_lens(chosen.model, adjustment)
        refine(chosen.model, open_cache(database, chosen.model), adjustment)
        chosen = Candidate(chosen.mapper, chosen.model, explained(chosen.model, pairs))
        compared = [chosen if candidate is best else candidate for candidate in compared]
    return Outcome(chosen, left_apart(chosen.model, others), compared)


def _completed(
    best: Candidate,
    others: Sequence[pycolmap.Reconstruction],
    cache: pycolmap.DatabaseCache,
    pairs: Sequence[PairMatches],
    adjustment: Adjustment,
) -> Candidate:
    """The model with what other models and single images add to it; as it was where that makes it worse."""
    model = copy.deepcopy(best.model)
    joined = join_models(model, others, cache, pairs, adjustment)
    if not register_left_over(model, cache, adjustment) and not joined:
        return best
    refine(model, cache, adjustment, rough=True)
    completed = Candidate(best.mapper, model, explained(model, pairs))
    return max(best, completed, key=Candidate.rank)


def _mostly_guessed(records: Sequence[ImageRecord], cameras: Mapping[str, pycolmap.Camera]) -> bool:
    """Whether focal lengths are guesses that few images share: global mapping takes them for true."""
    guessed = {key for key, camera in cameras.items() if not camera.has_prior_focal_length}
    return len(guessed) > 0.25 * len(records)


def open_cache(database: Path, model: pycolmap.Reconstruction | None = None) -> pycolmap.DatabaseCache:
    """The database in memory, with the cameras of ``model`` where it has other lens models."""
    with pycolmap.Database.open(database) as opened:
        for camera in model.cameras.values() if model else ():
            opened.update_camera(camera)
        return pycolmap.DatabaseCache.create(opened, pycolmap.DatabaseCacheOptions(min_num_matches=2))


def _refined(
    name: str,
    models: Sequence[pycolmap.Reconstruction],
    cache: pycolmap.DatabaseCache,
    pairs: Sequence[PairMatches],
    adjustment: Adjustment,
) -> list[Candidate]:
    found = []
    for model in models:
        refine(model, cache, adjustment, rough=True)
        if model.num_reg_images() >= 2 and model.num_points3D() > 0:
            found.append(Candidate(name, model, explained(model, pairs)))
    return found


def _global(database: Path, scratch: Path, adjustment: Adjustment, alone: bool) -> list[pycolmap.Reconstruction]:
    """None where it fails, unless it is ``alone``."""
    options = pycolmap.GlobalPipelineOptions()
    options.random_seed = options.mapper.random_seed = adjustment.seed
    options.num_threads = options.mapper.num_threads = 1  # several threads: another result in the last bits, every time
    options.mapper.track_required_tracks_per_view = _TRACKS_A_VIEW
    options.mapper.skip_retriangulation = True
    options.mapper.ba_num_iterations = 1
    bundle = options.mapper.bundle_adjustment
    bundle.ceres.solver_options.num_threads = 1
    bundle.ceres.solver_options.max_num_iterations = 50
    bundle.refine_focal_length = bundle.refine_extra_params = not adjustment.fixed_intrinsics
    try:
        models = pycolmap.global_mapping(database, scratch, _folder(scratch, "global"), options)
    except (RuntimeError, ValueError) as error:
        log.warning("global mapping failed: %s", error)
        if alone:
            raise ReconstructionError(f"global mapping failed: {error}", "Set sfm.mapper to auto or incremental") from None
        return []
    return [models[number] for number in sorted(models)]


def _two_views(cache: pycolmap.DatabaseCache, pair: PairMatches) -> list[pycolmap.Reconstruction]:
    """The model of two images: their relative pose is all there is to find, the baseline is its unit."""
    if not np.isfinite(pair.cam2_from_cam1).all():
        return []
    model = pycolmap.Reconstruction()
    mapper = pycolmap.IncrementalMapper(cache)
    mapper.begin_reconstruction(model)
    for name, cam_from_world in ((pair.name1, pycolmap.Rigid3d()), (pair.name2, pycolmap.Rigid3d(pair.cam2_from_cam1))):
        image = model.find_image_with_name(name)
        model.frame(image.frame_id).set_cam_from_world(image.camera_id, cam_from_world)
        model.register_frame(image.frame_id)
    mapper.end_reconstruction(False)
    return [model]


def _incremental(database: Path, scratch: Path, adjustment: Adjustment) -> list[pycolmap.Reconstruction]:
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed, options.num_threads = adjustment.seed, 1
    options.extract_colors = False
    options.min_model_size = 2
    options.ba_refine_focal_length = options.ba_refine_extra_params = not adjustment.fixed_intrinsics
    options.mapper.abs_pose_refine_focal_length = options.mapper.abs_pose_refine_extra_params = not adjustment.fixed_intrinsics
    adjustment.limit(options.mapper)
    models = pycolmap.incremental_mapping(database, scratch, _folder(scratch, "incremental"), options)
    return [models[number] for number in sorted(models)]


def _folder(scratch: Path, name: str) -> Path:
    folder = scratch / name
    folder.mkdir()
    return folder


def explained(model: pycolmap.Reconstruction, pairs: Sequence[PairMatches]) -> float:
    """Share of the verified matches between registered images whose two keypoints see the same 3D point."""
    points = point_ids(model)
    held = total = 0
    for pair in pairs:
        if pair.name1 in points and pair.name2 in points:
            first, second = points[pair.name1][pair.matches[:, 0]], points[pair.name2][pair.matches[:, 1]]
            held += int(((first == second) & (first != NO_POINT)).sum())
            total += len(first)
    return held / total if total else 0.0


def _largest_component(records: Sequence[ImageRecord], pairs: Sequence[PairMatches]) -> int:
    """Images in the largest group that verified matches connect."""
    index = {record.name: number for number, record in enumerate(records)}
    return len(components(range(len(records)), ((index[pair.name1], index[pair.name2]) for pair in pairs))[0])


def left_apart(best: pycolmap.Reconstruction, others: Sequence[pycolmap.Reconstruction]) -> list[pycolmap.Reconstruction]:
    """Models of two images or more that the best one lacks; the same images are not told twice."""
    seen = {image.name for image in best.images.values() if image.has_pose}
    apart = []
    for model in sorted(others, key=lambda other: -other.num_reg_images()):
        own = {image.name for image in model.images.values() if image.has_pose} - seen
        if len(own) >= 2:
            apart.append(model)
            seen |= own
    return apart
