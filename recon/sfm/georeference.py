"""From a model of arbitrary scale to metres, east, north and up: a robust similarity to GPS positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.capture.records import ImageRecord
from recon.capture.telemetry import Track
from recon.geometry.geodesy import LocalFrame
from recon.geometry.similarity import fit_similarity, spread_share
from recon.sfm.clockoffset import ClockOffset, clock_offset, correlation
from recon.sfm.fixes import Fixes, Flight
from recon.sfm.upright import up_by_gimbal, up_in_model

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
    independent: float | None = None
    """How many fixes say as much as these would, did they not err alike; None: all of them."""
    clock_offsets: tuple[ClockOffset, ...] = ()
    tilt_deg: float | None = None
    """Between up by GPS and up as gimbals state it."""

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
        count = float(self.used.sum()) if self.independent is None else self.independent
        sigma_m = self.rms_m * np.sqrt(count / (3 * count - 7))  # a similarity takes seven numbers from the residuals
        return float(sigma_m / (self.spread_m * np.sqrt(count)))

    @property
    def is_certain(self) -> bool:
        """Whether GPS tells the scale. Errors of neighbouring fixes are alike: however many there are, they must not exceed the spread."""
        return self.sigma_scale <= _MAX_SIGMA_SCALE and self.rms_m <= self.spread_m


def flights_of(
    model: pycolmap.Reconstruction, records: Sequence[ImageRecord], tracks: Mapping[str, Track], photos: Sequence[ImageRecord]
) -> list[Flight]:
    """The videos with a track that the model has, of one datum: that of the photos, where these are enough, else that of the first."""
    images = {image.name: image for image in model.images.values() if image.has_pose}
    found = [Flight.of(name, track, records, images) for name, track in sorted(tracks.items())]
    flights = [flight for flight in found if flight]
    datums = [record.gps.alt_datum for record in photos if record.gps] if len(photos) >= LEAST_FIXES else []
    datums += [flight.track.alt_datum for flight in flights]
    return [flight for flight in flights if flight.track.alt_datum == datums[0]]


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
    model: pycolmap.Reconstruction,
    photos: Sequence[ImageRecord],
    max_error_m: float,
    rng: np.random.Generator,
    flights: Sequence[Flight] = (),
) -> Georeference | str:
    """The similarity from the model to a local frame in metres, or in words why the positions give none.

    Photos count by their own fixes; of ``flights`` every position of the track does, at the place where the camera was by then.
    """
    images = {image.name: image for image in model.images.values() if image.has_pose}
    parts = [Fixes.of_photos(photos, images), *(flight.fixes(0.0) for flight in flights)]
    fixes = Fixes.joined(parts)
    if len(fixes) < LEAST_FIXES:
        return f"{len(fixes)} GPS positions are too few to scale the model: {LEAST_FIXES} are needed"
    frame = LocalFrame.at(float(np.median(fixes.lat_lon_alt[:, 0])), float(np.median(fixes.lat_lon_alt[:, 1])))
    offsets = tuple(clock_offset(flight, frame) for flight in flights)
    if flights:
        moved = [flight.fixes(offset.offset_s) for flight, offset in zip(flights, offsets, strict=True)]
        parts = [parts[0], *moved]
        fixes = Fixes.joined(parts)
    degrees, datum = _geodetic(fixes, photos, flights)
    target, centers = frame.from_geodetic(degrees), fixes.centers
    if np.linalg.norm(target - target.mean(0), axis=1).max() < 1.0 or np.ptp(centers, axis=0).max() < 1e-9:
        return f"all {len(fixes)} GPS positions or cameras are in one place, which can't scale the model"
    on_a_line = min(spread_share(target), spread_share(centers)) < _ON_A_LINE
    pairs = _with_up(model, fixes, target, rng) if on_a_line else (centers, target)
    if pairs is None:
        return "the GPS positions lie straight above each other: where north is stays open"
    fit = _robust_fit(pairs[0], pairs[1], len(centers), max_error_m, rng, fixes.weights)
    if fit is None:
        return f"not {LEAST_FIXES} of {len(fixes)} GPS positions agree with the cameras within {max_error_m:g} m"
    world_from_model, used = fit
    centers_m = world_from_model * centers
    residuals_m = centers_m - target
    independent = _independent(parts, residuals_m, used) if flights else None
    tilt_deg = _tilt_deg(world_from_model, fixes)
    found = Georeference(
        frame, datum, world_from_model, centers_m, residuals_m, used, on_a_line, independent, offsets, None if on_a_line else tilt_deg
    )
    if not found.is_certain:
        extent_m = float(np.linalg.norm(np.ptp(centers_m[used], axis=0)))
        return f"GPS positions spread over {extent_m:.1f} m with {found.rms_m:.1f} m noise can't scale the model"
    return found


def _geodetic(fixes: Fixes, photos: Sequence[ImageRecord], flights: Sequence[Flight]) -> tuple[NDArray[np.float64], str]:
    """(N, 3) latitude, longitude and altitude, and its datum. Altitudes count if all fixes have one of one datum, else all are 0."""
    datums = {record.gps.alt_datum for record in photos if record.gps} | {flight.track.alt_datum for flight in flights}
    if len(datums) == 1 and np.isfinite(fixes.lat_lon_alt).all():
        return fixes.lat_lon_alt, str(datums.pop())
    return np.column_stack([fixes.lat_lon_alt[:, :2], np.zeros(len(fixes))]), "unknown"


def _independent(parts: Sequence[Fixes], residuals_m: NDArray[np.float64], used: NDArray[np.bool_]) -> float:
    """Positions of a track that follow each other err alike: they count by the correlation of neighbouring residuals."""
    total, start = float(used[: len(parts[0])].sum()), len(parts[0])
    for part in parts[1:]:
        rows = residuals_m[start : start + len(part)][used[start : start + len(part)]]
        alike = correlation(rows)
        total += len(rows) * (1 - alike) / (1 + alike)
        start += len(part)
    return max(float(LEAST_FIXES), total)


def _tilt_deg(world_from_model: pycolmap.Sim3d, fixes: Fixes) -> float | None:
    up = up_by_gimbal(fixes.rotations, fixes.pitches_deg)
    if up is None:
        return None
    return float(np.degrees(np.arccos(np.clip((world_from_model.rotation.matrix() @ up)[2], -1, 1))))


def _with_up(
    model: pycolmap.Reconstruction, fixes: Fixes, target: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Positions on a line leave the turn about it open: a second row of points, straight above the first, closes it.

    None where the line itself goes straight up.
    """
    centers = fixes.centers
    xyz = np.array([model.points3D[i].xyz for i in sorted(model.point3D_ids())]).reshape(-1, 3)
    up = up_in_model(fixes.rotations, fixes.pitches_deg, xyz, rng)
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
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    positions: int,
    max_error_m: float,
    rng: np.random.Generator,
    weights: NDArray[np.float64] | None,
) -> tuple[pycolmap.Sim3d, NDArray[np.bool_]] | None:
    """Similarity to most of the targets (RANSAC on triples, then refitted to those within max_error_m), and which those are.

    Weights (N,), where there are any, are those of the positions.
    """
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
        weight = None if weights is None else np.concatenate([weights] * rows)[keep]
        best = fit_similarity(source[keep], target[keep], weights=weight)
    return best, near(best) <= max_error_m
