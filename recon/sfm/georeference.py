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
_UPRIGHT = 0.1
"""Sine of a line's angle to the vertical below which it says nothing of north."""
_MAX_SIGMA_SCALE = 0.1
"""Beyond this relative error a scale is noise, and so is the tilt that comes with it."""


@dataclass(frozen=True)
class Georeference:
    """world_from_model and how well it fits, a row a fix."""

    frame: LocalFrame
    datum: str
    world_from_model: pycolmap.Sim3d
    centers_m: NDArray[np.float64]
    """(N, 3) cameras in the world."""
    residuals_m: NDArray[np.float64]
    """(N, 3) model minus GPS: east, north, up."""
    used: NDArray[np.bool_]
    on_a_line: bool

    @property
    def rms_m(self) -> float:
        """Root mean square distance of the cameras from their GPS positions, rejected ones left out."""
        return float(np.sqrt((self.residuals_m[self.used] ** 2).sum(1).mean()))

    @property
    def spread_m(self) -> float:
        """Root mean square distance of the cameras from their middle, rejected ones left out."""
        centers = self.centers_m[self.used]
        return float(np.sqrt(((centers - centers.mean(0)) ** 2).sum(1).mean()))

    @property
    def sigma_scale(self) -> float:
        """Relative standard deviation of the scale: the residuals' sigma over the root of the positions' squared spread."""
        count = int(self.used.sum())
        sigma_m = self.rms_m * np.sqrt(count / (3 * count - 7))  # a similarity takes seven numbers from the residuals
        return float(sigma_m / (self.spread_m * np.sqrt(count)))

    @property
    def is_certain(self) -> bool:
        """Whether GPS tells the scale. Errors of neighbouring fixes are alike: however many there are, they must not exceed the spread."""
        return self.sigma_scale <= _MAX_SIGMA_SCALE and self.rms_m <= self.spread_m


def gps_fixes(records: Sequence[ImageRecord], registered: Mapping[str, int]) -> list[ImageRecord]:
    """The registered images whose fixes can be used together: with altitudes of the commonest datum, where any have one."""
    fixes = [record for record in records if record.gps and record.name in registered]
    with_altitude = [record for record in fixes if record.gps and record.gps.alt_m is not None]
    if len(with_altitude) < LEAST_FIXES:
        return fixes
    datums = [record.gps.alt_datum for record in with_altitude if record.gps]
    commonest = max(sorted(set(datums)), key=datums.count)
    alike = [record for record in with_altitude if record.gps and record.gps.alt_datum == commonest]
    return alike if len(alike) >= LEAST_FIXES else fixes


def georeference(
    model: pycolmap.Reconstruction, fixes: Sequence[ImageRecord], max_error_m: float, rng: np.random.Generator
) -> Georeference | str:
    """The similarity from the model to a local frame in metres, or in words why the positions give none."""
    if len(fixes) < LEAST_FIXES:
        return f"{len(fixes)} GPS positions are too few to scale the model: {LEAST_FIXES} are needed"
    images = {image.name: image for image in model.images.values() if image.has_pose}
    degrees, datum = _geodetic(fixes)
    frame = LocalFrame.at(float(np.median(degrees[:, 0])), float(np.median(degrees[:, 1])))
    target = frame.from_geodetic(degrees)
    centers = np.array([images[record.name].projection_center() for record in fixes])
    if np.linalg.norm(target - target.mean(0), axis=1).max() < 1.0 or np.ptp(centers, axis=0).max() < 1e-9:
        return f"all {len(fixes)} GPS positions or cameras are in one place, which can't scale the model"
    on_a_line = min(spread_share(target), spread_share(centers)) < _ON_A_LINE
    pairs = _with_up(model, images, fixes, centers, target, rng) if on_a_line else (centers, target)
    if pairs is None:
        return "the GPS positions lie straight above each other: where north is stays open"
    fit = _robust_fit(pairs[0], pairs[1], len(centers), max_error_m, rng)
    if fit is None:
        return f"not {LEAST_FIXES} of {len(fixes)} GPS positions agree with the cameras within {max_error_m:g} m"
    world_from_model, used = fit
    centers_m = world_from_model * centers
    found = Georeference(frame, datum, world_from_model, centers_m, centers_m - target, used, on_a_line)
    if not found.is_certain:
        extent_m = float(np.linalg.norm(np.ptp(centers_m[used], axis=0)))
        return f"GPS positions spread over {extent_m:.1f} m with {found.rms_m:.1f} m noise can't scale the model"
    return found


def _geodetic(fixes: Sequence[ImageRecord]) -> tuple[NDArray[np.float64], str]:
    """(N, 3) latitude, longitude and altitude, and its datum. Altitudes count if all fixes have one of one datum, else all are 0."""
    known = [record.gps for record in fixes if record.gps]
    datums = {gps.alt_datum if gps.alt_m is not None else None for gps in known}
    datum = datums.pop() if len(datums) == 1 else None
    return np.array([(gps.lat_deg, gps.lon_deg, (gps.alt_m or 0.0) if datum else 0.0) for gps in known]), datum or "unknown"


def _with_up(
    model: pycolmap.Reconstruction,
    images: Mapping[str, pycolmap.Image],
    fixes: Sequence[ImageRecord],
    centers: NDArray[np.float64],
    target: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Positions on a line leave the turn about it open: a second row of points, straight above the first, closes it.

    None where the line itself goes straight up.
    """
    rotations = np.array([images[record.name].cam_from_world().rotation.matrix() for record in fixes])
    xyz = np.array([model.points3D[i].xyz for i in sorted(model.point3D_ids())]).reshape(-1, 3)
    up = up_in_model(rotations, pitches_deg(fixes), xyz, rng)
    length, length_m = (np.linalg.norm(row - row.mean(0), axis=1).max() for row in (centers, target))
    along = np.linalg.svd(target - target.mean(0))[2][0]
    level = np.array([0, 0, 1.0]) - along[2] * along  # the part of up that is square to the line, on both sides
    along_model = np.linalg.svd(centers - centers.mean(0))[2][0]
    level_model = up - (up @ along_model) * along_model
    size, size_model = np.linalg.norm(level), np.linalg.norm(level_model)
    if min(size, size_model) < _UPRIGHT:
        return None
    return (
        np.concatenate([centers, centers + length * level_model / size_model]),
        np.concatenate([target, target + length_m * level / size]),
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
