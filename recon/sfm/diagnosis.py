"""Why a capture does not reconstruct, or only in part, in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.capture.records import ImageRecord
from recon.errors import EmptyCapture, NoOverlap, NoParallax
from recon.features.store import Features
from recon.matchers.store import PairMatches

_TURN_PX = 1.5
"""A turn explains a pair if it maps its keypoints that closely; of images beyond 1600 px, more in proportion."""
_FOCALS = (0.5, 0.65, 0.8, 1.0, 1.25, 1.6, 2.0)
_FISHEYE_FOCALS = (0.22, 0.26, 0.31, 0.37, 0.44, 0.53, 0.63, 0.75, 0.9)
"""Of the guessed focal length: fisheye lenses see 60 to 200 degrees."""
_FINER = (0.93, 0.95, 0.97, 0.985, 1.0, 1.015, 1.03, 1.05, 1.07)
_ANY_LENS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL")
"""Models that stand for a lens of which no distortion is known."""
_PAIRS_ASKED = 60
_SURE = 30
"""Matches of a pair from which on it is hardly a chance one."""


def check_pairs(
    records: Sequence[ImageRecord],
    cameras: Mapping[str, pycolmap.Camera],
    features: Mapping[str, Features],
    pairs: Sequence[PairMatches],
) -> None:
    """Raise what makes mapping pointless: too few images, no two that overlap, or a camera that only turned."""
    if len(records) < 2:
        raise EmptyCapture(f"{len(records)} usable image", "Two or more photos from different places are needed")
    if not pairs:
        raise NoOverlap(
            f"no two of the {len(records)} images share enough of the scene",
            "Take photos that overlap by two thirds, of one scene, from places a step apart",
        )
    sure = sorted(pairs, key=lambda pair: -len(pair.matches))
    sure = [pair for pair in sure if len(pair.matches) >= _SURE] or sure
    # Of all, near and far: frames close in time hardly move, and a turn explains those alone.
    asked = [sure[i] for i in np.unique(np.linspace(0, len(sure) - 1, _PAIRS_ASKED).astype(int))]
    by_name = {record.name: cameras[record.camera] for record in records}
    turns = [_is_turn(pair, by_name, features) for pair in asked]
    if np.mean(turns) > 0.8:
        raise NoParallax(
            f"no parallax: in {sum(turns)} of {len(asked)} overlapping pairs the camera only turned",
            "No depth can be seen from one spot: walk around it, a step sideways between photos",
        )


def _is_turn(pair: PairMatches, cameras: Mapping[str, pycolmap.Camera], features: Mapping[str, Features]) -> bool:
    """Whether a rotation alone explains a pair's matches, at the best of several focal lengths where it is not known.

    An unknown lens may be a pinhole or a fisheye: with either.
    """
    first, second = cameras[pair.name1], cameras[pair.name2]
    known = first.has_prior_focal_length and second.has_prior_focal_length
    limit = _TURN_PX * max(1.0, max(first.width, first.height) / 1600)
    pixels1 = features[pair.name1].keypoints[pair.matches[:, 0], :2].astype(np.float64)
    pixels2 = features[pair.name2].keypoints[pair.matches[:, 1], :2].astype(np.float64)

    def error_px(factor: float, fisheye: bool) -> float:
        return _turn_error_px(pixels1, pixels2, first, second, factor, fisheye)

    factors = (0.97, 1.0, 1.03) if known else _FOCALS
    if min(error_px(factor, False) for factor in factors) < limit:
        return True
    if all(camera.model_name not in _ANY_LENS for camera in (first, second)):
        return False  # the lens is known
    best = min(_FISHEYE_FOCALS, key=lambda factor: error_px(factor, True))
    return bool(min(error_px(best * step, True) for step in _FINER) < limit)


def _turn_error_px(
    pixels1: NDArray[np.float64],
    pixels2: NDArray[np.float64],
    first: pycolmap.Camera,
    second: pycolmap.Camera,
    factor: float,
    fisheye: bool,
) -> float:
    """Median distance of matches from where the best rotation (Kabsch) puts them."""
    rays1, rays2 = _rays(pixels1, first, factor, fisheye), _rays(pixels2, second, factor, fisheye)
    u, _, vt = np.linalg.svd(rays2.T @ rays1)
    rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    pixels_a_radian = second.width / (2 * np.pi) if second.is_spherical() else second.mean_focal_length() * factor
    return float(np.median(np.linalg.norm(rays2 - rays1 @ rotation.T, axis=1)) * pixels_a_radian)


def _rays(pixels: NDArray[np.float64], camera: pycolmap.Camera, factor: float, fisheye: bool) -> NDArray[np.float64]:
    """(N, 3) unit rays: of a known lens by its model, else of a pinhole, or of a fisheye whose angles grow evenly with the distance."""
    if camera.model_name not in _ANY_LENS:
        return np.asarray(camera.cam_ray_from_img(pixels))
    centre = np.array([camera.principal_point_x, camera.principal_point_y])
    away = (pixels - centre) / (camera.mean_focal_length() * factor)
    if fisheye:
        theta = np.linalg.norm(away, axis=1)
        sine = np.sinc(theta / np.pi)[:, None]
        return np.column_stack([away * sine, np.cos(theta)])
    rays = np.column_stack([away, np.ones(len(pixels))])
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))


def no_model(records: Sequence[ImageRecord], pairs: Sequence[PairMatches]) -> NoOverlap:
    """The error when matches are there and no model comes of them."""
    return NoOverlap(
        f"no model could be built: {len(pairs)} pairs of the {len(records)} images match, and none sees enough from two sides",
        "Take more photos between the ones you have, a step sideways each, with two thirds of overlap",
    )


def partial_warnings(
    records: Sequence[ImageRecord], model: pycolmap.Reconstruction, others: Sequence[pycolmap.Reconstruction]
) -> list[str]:
    """What was left out, and where a video broke."""
    registered = {image.name for image in model.images.values() if image.has_pose}
    warnings = []
    if len(registered) < len(records):
        text = f"registered {len(registered)} of {len(records)} images"
        warnings.append(text + (_where_it_broke(records, registered) or ": the others share too little with them; add photos in between"))
    if others:
        sizes = " + ".join(str(other.num_reg_images()) for other in others)
        warnings.append(
            f"{1 + len(others)} models: {len(registered)} + {sizes} images, which do not connect; the largest was built. "
            "Film a connecting sweep, or reconstruct them apart"
        )
    return warnings


def _where_it_broke(records: Sequence[ImageRecord], registered: set[str]) -> str:
    """For a video: the time after which, or before which, frames are missing."""
    frames = [record for record in records if record.sequence and record.timestamp_s is not None]
    inside = [record.name in registered for record in frames]
    if not frames or all(inside) or not any(inside):
        return ""
    breaks = [number for number in range(1, len(frames)) if inside[number] != inside[number - 1]]
    if not breaks:
        return ""
    at = frames[breaks[0]].timestamp_s or 0.0
    side = "after" if inside[breaks[0] - 1] else "before"
    other = "before" if side == "after" else "after"
    return f"; the frames {side} {int(at // 60):02d}:{int(at % 60):02d} share too little with those {other}: film the turn more slowly"
