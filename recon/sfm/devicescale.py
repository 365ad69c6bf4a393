"""Metres a unit of the model, and which way is up, from where a tablet's own tracking had the camera."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.capture.device import rigid
from recon.capture.records import ImageRecord
from recon.geometry.rotations import so3_exp, so3_log

Floats = NDArray[np.float64]
LEAST_IMAGES = 5
_MOST_IMAGES = 250
"""Of a session; of a longer one so many, evenly spread: the fit takes their number cubed."""
SYSTEMATIC = 0.005
"""What tracking is off by over a whole session alike, which no image of it can tell; an assumption, and no measured value."""
SYSTEMATIC_UP_DEG = 0.5
"""What a device's up is off by over a whole session alike: an assumption, too."""
LEAST_WAY_M = 0.1
"""A shorter way is lost in what tracking trembles by."""
_UNCERTAIN = 0.1
"""A scale of a larger relative deviation is no better than a guess."""
_BLOCKS = 5
"""Of neighbouring images, whose errors are alike: so many parts of a session are taken to err independently."""
_CONTRADICTS_DEG = 10.0
"""Beyond it the device's rotations are not those of these images."""
_JUMP = 6.0
"""A step this many times the usual error off is no drift: the device found itself somewhere else."""
_RATIOS = 10.0 ** np.arange(-3, 3.5, 0.5)
"""Of independent error to the drift of a step, that are tried."""


@dataclass(frozen=True)
class DeviceScale:
    metres: float
    """A unit of the model in metres."""
    sigma_scale: float
    """Relative standard deviation: by the drift that the images show, and ``SYSTEMATIC``."""
    images: int
    sessions: int
    drift_share: float
    """Error of the way after its whole length, a share of that."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeviceUp:
    up: Floats
    """(3,) unit vector in the model."""
    sigma_deg: float
    """Standard deviation of it: by how parts of the sessions differ, and ``SYSTEMATIC_UP_DEG``."""


@dataclass(frozen=True)
class _Session:
    """Images in order, in the device's frame and in the model's; rotations are world_from_cam."""

    name: str
    device: tuple[Floats, Floats]
    """(N, 3, 3), (N, 3) metres"""
    model: tuple[Floats, Floats]
    upright: bool


def device_scale(model: pycolmap.Reconstruction, records: Sequence[ImageRecord]) -> DeviceScale | str | None:
    """The scale by the poses that devices state, or in words why they give none; None where none is stated.

    Records come in the order in which they were taken. Each session is fitted by itself; poses of two have nothing in common but the metre.
    """
    sessions = _sessions(model, records)
    if not sessions:
        return None if not any(record.pose for record in records) else f"fewer than {LEAST_IMAGES} of the model's images have a pose"
    fits, warnings = [], []
    for session in sessions:
        turns, quarter, spread_deg = _device_from_model(session)
        if spread_deg > _CONTRADICTS_DEG:
            warnings.append(f"the device's poses contradict the images by {spread_deg:.0f} degrees and are not used ({session.name})")
            continue
        if quarter:
            warnings.append(f"the device's poses are those of images turned by {90 * quarter} degrees ({session.name})")
        fit = _fitted(session, turns)
        if isinstance(fit, str):
            warnings.append(fit)
        else:
            fits.append((*fit, len(turns)))
    if not fits:
        return "; ".join(warnings)
    scales, sigmas, drifts, images = (np.array(column) for column in zip(*fits, strict=True))
    weights = sigmas**-2.0 / (sigmas**-2.0).sum()
    return DeviceScale(
        metres=float(np.exp(weights @ np.log(scales))),
        sigma_scale=float(np.hypot((sigmas**-2.0).sum() ** -0.5, SYSTEMATIC)),
        images=int(images.sum()),
        sessions=len(fits),
        drift_share=float(weights @ drifts),
        warnings=tuple(warnings),
    )


def device_up(model: pycolmap.Reconstruction, records: Sequence[ImageRecord]) -> DeviceUp | None:
    """Which way is up by the poses that devices state; None where none knows, or they contradict the images.

    A device that hardly moved tells no scale, and yet what is up. Images that follow each other err alike, by drift and by how the model
    bends: the means of a few parts of each session tell more honestly than all images would how far off the whole mean may be.
    """
    sessions = [(session, *_device_from_model(session)) for session in _sessions(model, records) if session.upright]
    ups = [turns[:, 2] for _, turns, _, spread_deg in sessions if spread_deg <= _CONTRADICTS_DEG]  # the device's z axis in the model
    if not ups:
        return None
    up = np.sum([each.mean(0) for each in ups], 0)
    up = up / np.linalg.norm(up)
    parts = np.array([part.mean(0) for each in ups for part in np.array_split(each, _BLOCKS)])
    across = parts - (parts @ up)[:, None] * up  # in the two directions that are level
    sigma_deg = float(np.degrees(np.sqrt((across**2).sum() / (2 * len(parts) * (len(parts) - 1)))))
    return DeviceUp(up, float(np.hypot(sigma_deg, SYSTEMATIC_UP_DEG)))


def _sessions(model: pycolmap.Reconstruction, records: Sequence[ImageRecord]) -> list[_Session]:
    """Those of enough images."""
    images = {image.name: image for image in model.images.values() if image.has_pose}
    rows = defaultdict(list)
    for record in records:
        if record.pose is not None and record.name in images:
            rows[record.pose.session].append((rigid(record.pose), images[record.name].cam_from_world(), record.pose.upright))
    found = []
    for name, posed in rows.items():
        if len(posed) >= LEAST_IMAGES:
            kept = [posed[i] for i in np.unique(np.linspace(0, len(posed) - 1, min(len(posed), _MOST_IMAGES)).round().astype(int))]
            found.append(_Session(name, _in_world([row[0] for row in kept]), _in_world([row[1] for row in kept]), kept[0][2]))
    return found


def _in_world(poses: Sequence[pycolmap.Rigid3d]) -> tuple[Floats, Floats]:
    inverse = [pose.inverse() for pose in poses]
    return np.array([pose.rotation.matrix() for pose in inverse]), np.array([pose.translation for pose in inverse])


def _device_from_model(session: _Session) -> tuple[Floats, int, float]:
    """(N, 3, 3) rotations by each image, by how many quarters the images are turned against the poses, and how far they scatter.

    An app may turn its images upright and leave the poses as they were: of the four turns the one that holds for all images is right.
    """
    best: tuple[Floats, int, float] | None = None
    for quarter in range(4):
        turn = so3_exp(np.array([0.0, 0.0, quarter * np.pi / 2]))
        found = session.device[0] @ turn @ np.swapaxes(session.model[0], 1, 2)
        spread_deg = float(np.degrees(np.median(np.linalg.norm(so3_log(np.swapaxes(found, 1, 2) @ _mean(found)), axis=-1))))
        if best is None or spread_deg < best[2] - 1e-6:
            best = found, quarter, spread_deg
    assert best is not None
    return best


def _mean(rotations: Floats) -> Floats:
    """(3, 3) nearest to the mean of (N, 3, 3)."""
    u, _, vt = np.linalg.svd(rotations.mean(0))
    return np.asarray(u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt)


def _fitted(session: _Session, turns: Floats) -> tuple[float, float, float] | str:
    """Scale, its relative sigma, and the drift as a share of the way; in words where the device moved too little for its noise.

    The device's way is that of the model, turned step by step into the device's frame (so that a heading that wanders does no harm), times
    the scale, with two kinds of error: one that is new at each image, and drift, whose steps add up. Their ratio is what makes the
    rest most likely; with both known, scale and sigma are those of generalised least squares.
    """
    steps = np.einsum("nij,nj->ni", (turns[1:] + turns[:-1]) / 2, np.diff(session.model[1], axis=0))
    moved = np.diff(session.device[1], axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    way_m = float(np.linalg.norm(moved, axis=1).sum())
    if lengths.sum() <= 0 or way_m < LEAST_WAY_M:
        return f"the device moved {100 * way_m:.1f} cm, and {100 * LEAST_WAY_M:.0f} cm are the least that tell a scale ({session.name})"
    rough = float(np.median(np.linalg.norm(moved, axis=1)[lengths > 0] / lengths[lengths > 0]))
    off = np.linalg.norm(moved - rough * steps, axis=1)
    whole = off <= _JUMP * max(float(np.median(off)), 1e-9 * rough * lengths.max())
    beside = np.diff(np.flatnonzero(whole)) == 1  # steps that share an image, and its error
    steps, moved, lengths = steps[whole], moved[whole], lengths[whole]
    if len(steps) < LEAST_IMAGES - 1:
        return f"the device lost its place too often: {len(steps)} steps between images hang together ({session.name})"
    way = np.maximum(lengths / lengths.mean(), 0.1)  # drift grows with the way, and a little with time
    best, likeliest = None, -np.inf
    for ratio in _RATIOS:
        covariance = np.diag(way + 2 * ratio) - ratio * (np.diag(beside, k=1) + np.diag(beside, k=-1))
        factor = np.linalg.cholesky(covariance)
        model, device = np.linalg.solve(factor, steps), np.linalg.solve(factor, moved)
        power = float((model**2).sum())
        scale = float((model * device).sum()) / power
        variance = float(((device - scale * model) ** 2).sum()) / (3 * len(steps) - 1)
        likelihood = -1.5 * len(steps) * np.log(max(variance, 1e-30)) - 3 * np.log(np.diag(factor)).sum()
        if likelihood > likeliest and scale > 0:
            likeliest = likelihood
            drift = np.sqrt(3 * variance * way.sum()) / (scale * lengths.sum())
            best = scale, float(np.sqrt(variance / power) / scale), float(drift)
    if best is None:
        return f"the way of the device is not that of the images ({session.name})"
    if best[1] > _UNCERTAIN:
        return (
            f"the device's way of {way_m:.2f} m is too short for its errors, which leave the scale {100 * best[1]:.0f} % ({session.name})"
        )
    return best
