"""From a model of arbitrary scale to metres, east, north and up: a robust similarity to GPS positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.capture.records import ImageRecord
from recon.geometry.geodesy import LocalFrame
from recon.geometry.similarity import fit_similarity, spread_share
from recon.sfm.upright import pitches_deg, up_in_model

LEAST_FIXES = 4
_TRIALS = 300
_ON_A_LINE = 0.05
"""Camera positions that spread less than this share of their length sideways leave the turn about the line open."""


@dataclass(frozen=True)
class Georeference:
    """world_from_model and how well it fits; residuals are distances in metres, in the order of ``names``."""

    frame: LocalFrame
    datum: str
    world_from_model: pycolmap.Sim3d
    names: tuple[str, ...]
    residuals_m: NDArray[np.float64]
    """(N, 3) model minus GPS: east, north, up."""
    used: NDArray[np.bool_]
    on_a_line: bool

    @property
    def rms_m(self) -> float:
        """Root mean square distance of the cameras from their GPS positions, rejected ones left out."""
        return float(np.sqrt((self.residuals_m[self.used] ** 2).sum(1).mean()))

    def sigma_scale(self, centers_in_world: NDArray[np.float64]) -> float:
        """Relative standard deviation of the scale: the residuals' sigma over the root of the positions' squared spread."""
        spread = centers_in_world[self.used] - centers_in_world[self.used].mean(0)
        sigma_m = self.rms_m / np.sqrt(3)
        return float(sigma_m / np.sqrt((spread**2).sum()))


def gps_fixes(records: Sequence[ImageRecord], registered: Mapping[str, int]) -> list[ImageRecord]:
    """The registered images whose fixes can be used together: with altitudes of the commonest datum, where any have one."""
    fixes = [record for record in records if record.gps and record.name in registered]
    with_altitude = [record for record in fixes if record.gps and record.gps.alt_m is not None]
    if len(with_altitude) < LEAST_FIXES:
        return fixes
    datums = [record.gps.alt_datum for record in with_altitude if record.gps]
    commonest = max(sorted(set(datums)), key=datums.count)
    return [record for record in with_altitude if record.gps and record.gps.alt_datum == commonest]


def georeference(
    model: pycolmap.Reconstruction, fixes: Sequence[ImageRecord], max_error_m: float, rng: np.random.Generator
) -> Georeference | None:
    """The similarity from the model to a local frame in metres; None where the positions are too few or all in one place."""
    images = {image.name: image for image in model.images.values() if image.has_pose}
    degrees = np.array([(r.gps.lat_deg, r.gps.lon_deg, r.gps.alt_m or 0.0) for r in fixes if r.gps]).reshape(-1, 3)
    if len(degrees) < LEAST_FIXES:
        return None
    frame = LocalFrame.at(float(np.median(degrees[:, 0])), float(np.median(degrees[:, 1])))
    target = frame.from_geodetic(degrees)
    centers = np.array([images[record.name].projection_center() for record in fixes])
    if np.linalg.norm(target - target.mean(0), axis=1).max() < 1.0 or np.ptp(centers, axis=0).max() < 1e-9:
        return None
    on_a_line = min(spread_share(target), spread_share(centers)) < _ON_A_LINE
    if on_a_line:
        centers_up, target_up = _with_up(model, images, fixes, centers, target, rng)
    else:
        centers_up, target_up = centers, target
    fit = _robust_fit(centers_up, target_up, len(centers), max_error_m, rng)
    if fit is None:
        return None
    world_from_model, used = fit
    residuals = world_from_model * centers - target
    datums = {record.gps.alt_datum for record in fixes if record.gps and record.gps.alt_m is not None}
    datum = min(datums) if datums else "unknown"
    return Georeference(frame, datum, world_from_model, tuple(r.name for r in fixes), residuals, used, on_a_line)


def _with_up(
    model: pycolmap.Reconstruction,
    images: Mapping[str, pycolmap.Image],
    fixes: Sequence[ImageRecord],
    centers: NDArray[np.float64],
    target: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions on a line leave the turn about it open: a second row of points, straight above the first, closes it."""
    rotations = np.array([images[record.name].cam_from_world().rotation.matrix() for record in fixes])
    xyz = np.array([model.points3D[i].xyz for i in sorted(model.point3D_ids())]).reshape(-1, 3)
    up = up_in_model(rotations, pitches_deg(fixes), xyz, rng)
    length, length_m = (np.linalg.norm(row - row.mean(0), axis=1).max() for row in (centers, target))
    along = np.linalg.svd(target - target.mean(0))[2][0]
    level = np.array([0, 0, 1.0]) - along[2] * along  # the part of up that is square to the line, on both sides
    along_model = np.linalg.svd(centers - centers.mean(0))[2][0]
    level_model = up - (up @ along_model) * along_model
    return (
        np.concatenate([centers, centers + length * level_model / np.linalg.norm(level_model)]),
        np.concatenate([target, target + length_m * level / np.linalg.norm(level)]),
    )


def _robust_fit(
    source: NDArray[np.float64], target: NDArray[np.float64], positions: int, max_error_m: float, rng: np.random.Generator
) -> tuple[pycolmap.Sim3d, NDArray[np.bool_]] | None:
    """Similarity to most of the targets (RANSAC on triples, then refitted to those within max_error_m), and which those are."""
    rows = len(source) // positions  # 2 where every position has a point above it

    def near(transform: pycolmap.Sim3d) -> NDArray[np.float64]:
        return np.asarray(np.linalg.norm(transform * source[:positions] - target[:positions], axis=1))

    best, lowest = None, np.inf
    for _ in range(_TRIALS):
        chosen = rng.choice(positions, 3, replace=False)
        chosen = np.concatenate([chosen + row * positions for row in range(rows)])
        if np.linalg.matrix_rank(source[chosen] - source[chosen].mean(0), tol=1e-9) < 2:
            continue
        transform = fit_similarity(source[chosen], target[chosen])
        cost = float(np.minimum(near(transform), max_error_m).sum())
        if cost < lowest:
            best, lowest = transform, cost
    if best is None:
        return None
    for _ in range(10):
        used = near(best) <= max_error_m
        if used.sum() < LEAST_FIXES:
            return None
        keep = np.concatenate([used] * rows)
        best = fit_similarity(source[keep], target[keep])
    return best, near(best) <= max_error_m
