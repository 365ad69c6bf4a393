"""From verified matches to the best model: global mapping first, incremental where that is poor, leftovers joined in."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap

from recon.capture.records import ImageRecord
from recon.features.store import Features
from recon.matchers.store import PairMatches
from recon.sfm.database import write_database
from recon.sfm.joining import join_models, register_left_over
from recon.sfm.refine import Adjustment, refine

log = logging.getLogger(__name__)

_TRACKS_A_VIEW = 400
"""Global mapping needs no more tracks than this a view to find the poses; ``refine`` then triangulates all."""
_NO_POINT = np.uint64(2**64 - 1)


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
) -> Outcome | None:
    """The best model of the images; None if no mapper finds one of two images or more.

    ``mapper`` is "global", "incremental" or "auto": global first, and incremental too where the global model is poor.
    """
    connected = _largest_component(records, pairs)
    with tempfile.TemporaryDirectory() as scratch:
        database = Path(scratch) / "matches.db"
        write_database(database, records, cameras, features, pairs)
        with pycolmap.Database.open(database) as opened:
            cache = pycolmap.DatabaseCache.create(opened, pycolmap.DatabaseCacheOptions(min_num_matches=2))
        compared: list[Candidate] = []
        if mapper in ("auto", "global") and len(records) > 2:
            compared += _refined("global", _global(database, Path(scratch), adjustment), cache, pairs, adjustment)
        best = max(compared, key=Candidate.rank, default=None)
        if mapper == "incremental" or (mapper == "auto" and (best is None or best.is_poor(connected))) or len(records) == 2:
            compared += _refined("incremental", _incremental(database, Path(scratch), adjustment), cache, pairs, adjustment)
            best = max(compared, key=Candidate.rank, default=None)
        if best is None:
            return None
        others = [candidate.model for candidate in compared if candidate is not best]
        joined = join_models(best.model, others, cache) | register_left_over(best.model, cache, adjustment)
        if joined:
            refine(best.model, cache, adjustment)
            best = Candidate(best.mapper, best.model, explained(best.model, pairs))
            compared.append(best)
    return Outcome(best, _apart(best.model, others), compared)


def _refined(
    name: str,
    models: Sequence[pycolmap.Reconstruction],
    cache: pycolmap.DatabaseCache,
    pairs: Sequence[PairMatches],
    adjustment: Adjustment,
) -> list[Candidate]:
    found = []
    for model in models:
        refine(model, cache, adjustment)
        if model.num_reg_images() >= 2 and model.num_points3D() > 0:
            found.append(Candidate(name, model, explained(model, pairs)))
    return found


def _global(database: Path, scratch: Path, adjustment: Adjustment) -> list[pycolmap.Reconstruction]:
    options = pycolmap.GlobalPipelineOptions()
    options.random_seed = options.mapper.random_seed = adjustment.seed
    options.num_threads = options.mapper.num_threads = adjustment.threads
    options.mapper.track_required_tracks_per_view = _TRACKS_A_VIEW
    options.mapper.skip_retriangulation = True
    options.mapper.ba_num_iterations = 1
    bundle = options.mapper.bundle_adjustment
    bundle.ceres.solver_options.num_threads = adjustment.threads
    bundle.ceres.solver_options.max_num_iterations = 50
    bundle.refine_focal_length = bundle.refine_extra_params = not adjustment.fixed_intrinsics
    try:
        models = pycolmap.global_mapping(database, scratch, _folder(scratch, "global"), options)
    except (RuntimeError, ValueError) as error:
        log.warning("global mapping failed: %s", error)
        return []
    return [models[number] for number in sorted(models)]


def _incremental(database: Path, scratch: Path, adjustment: Adjustment) -> list[pycolmap.Reconstruction]:
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed, options.num_threads = adjustment.seed, adjustment.threads
    options.extract_colors = False
    options.min_model_size = 2
    options.ba_refine_focal_length = options.ba_refine_extra_params = not adjustment.fixed_intrinsics
    options.mapper.abs_pose_refine_focal_length = options.mapper.abs_pose_refine_extra_params = not adjustment.fixed_intrinsics
    options.mapper.init_min_tri_angle = 8.0
    models = pycolmap.incremental_mapping(database, scratch, _folder(scratch, "incremental"), options)
    return [models[number] for number in sorted(models)]


def _folder(scratch: Path, name: str) -> Path:
    folder = scratch / name
    folder.mkdir()
    return folder


def explained(model: pycolmap.Reconstruction, pairs: Sequence[PairMatches]) -> float:
    """Share of the verified matches between registered images whose two keypoints see the same 3D point."""
    points = {
        image.name: np.array([point.point3D_id for point in image.points2D], np.uint64) for image in model.images.values() if image.has_pose
    }
    held = total = 0
    for pair in pairs:
        if pair.name1 in points and pair.name2 in points:
            first, second = points[pair.name1][pair.matches[:, 0]], points[pair.name2][pair.matches[:, 1]]
            held += int(((first == second) & (first != _NO_POINT)).sum())
            total += len(first)
    return held / total if total else 0.0


def _largest_component(records: Sequence[ImageRecord], pairs: Sequence[PairMatches]) -> int:
    """Images in the largest group that verified matches connect."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    index = {record.name: number for number, record in enumerate(records)}
    rows, columns = [index[pair.name1] for pair in pairs], [index[pair.name2] for pair in pairs]
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(records), len(records)))
    return int(np.bincount(connected_components(graph, directed=False)[1]).max())


def _apart(best: pycolmap.Reconstruction, others: Sequence[pycolmap.Reconstruction]) -> list[pycolmap.Reconstruction]:
    """Models of two images or more that the best one lacks; the same images are not told twice."""
    seen = {image.name for image in best.images.values() if image.has_pose}
    apart = []
    for model in sorted(others, key=lambda other: -other.num_reg_images()):
        own = {image.name for image in model.images.values() if image.has_pose} - seen
        if len(own) >= 2:
            apart.append(model)
            seen |= own
    return apart
