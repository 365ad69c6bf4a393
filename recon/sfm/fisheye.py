"""A second look once a fisheye lens is found: as a pinhole it showed too little of its pairs, and bent the first model.

Epipolar lines of a fisheye are curves: verified without the lens, matches towards the rim are lost, and relative poses are wrong by
degrees. With the lens that the first model gave, pairs are matched and verified again, and mapped from the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pycolmap

from recon.capture.records import ImageRecord
from recon.config import Matches
from recon.features.store import Features
from recon.matchers.nearest import match
from recon.matchers.store import PairMatches
from recon.matchers.verify import verify

_FOCAL_SHARES = (0.26, 0.31, 0.37, 0.44, 0.53)
"""Of the longer side: lenses of 110 to 220 degrees."""
_PAIRS_ASKED = 12
_MORE = 1.1
"""More matches must agree by this factor: those of a pinhole agree less where it is taken for a fisheye."""


def found_lenses(cameras: Mapping[str, pycolmap.Camera], model: pycolmap.Reconstruction) -> dict[str, pycolmap.Camera] | None:
    """The cameras with the fisheye lenses that the model has found; None where it found none."""
    fisheyes = {i: camera for i, camera in model.cameras.items() if camera.model_name == "OPENCV_FISHEYE"}
    if all(cameras[key].model_name == "OPENCV_FISHEYE" or cameras[key].camera_id not in fisheyes for key in cameras):
        return None
    found = {}
    for key, camera in cameras.items():
        found[key] = pycolmap.Camera(fisheyes.get(camera.camera_id, camera).todict())
        found[key].has_prior_focal_length = camera.has_prior_focal_length or camera.camera_id in fisheyes
    return found


def likely_fisheye(
    records: Sequence[ImageRecord],
    cameras: Mapping[str, pycolmap.Camera],
    features: Mapping[str, Features],
    pairs: Sequence[PairMatches],
    options: Matches,
    seed: int,
) -> dict[str, pycolmap.Camera] | None:
    """The cameras of unknown lens as fisheyes of the focal length at which most matches agree; None where no more do than as they are."""
    if all(camera.has_prior_focal_length for camera in cameras.values()):
        return None
    strongest = sorted(pairs, key=lambda pair: (-len(pair.matches), pair.name1, pair.name2))
    some = [strongest[k] for k in np.unique(np.linspace(0, len(strongest) - 1, _PAIRS_ASKED).astype(int))] if strongest else []
    best, most = None, _MORE * sum(len(pair.matches) for pair in some)
    for share in _FOCAL_SHARES:
        guess = {key: camera if camera.has_prior_focal_length else _fisheye(camera, share) for key, camera in cameras.items()}
        agreeing = sum(len(pair.matches) for pair in matched_again(records, guess, features, some, options, seed))
        if agreeing > most:
            best, most = guess, agreeing
    return best


def _fisheye(camera: pycolmap.Camera, share: float) -> pycolmap.Camera:
    """One whose angles grow evenly with the distance from the middle of the image."""
    focal, size = share * max(camera.width, camera.height), (camera.width, camera.height)
    guess = pycolmap.Camera.create_from_model_name(camera.camera_id, "OPENCV_FISHEYE", focal, *size)
    guess.has_prior_focal_length = True
    return guess


def matched_again(
    records: Sequence[ImageRecord],
    cameras: Mapping[str, pycolmap.Camera],
    features: Mapping[str, Features],
    pairs: Sequence[PairMatches],
    options: Matches,
    seed: int,
) -> list[PairMatches]:
    """The pairs verified with these cameras as ``options`` ask: SIFT's matched anew, learned ones as they are."""
    camera_of = {record.name: cameras[record.camera] for record in records}
    found = []
    for number, pair in enumerate(pairs):
        one, two = features[pair.name1], features[pair.name2]
        if one.is_learned:
            matches, ratios = pair.matches, np.zeros(len(pair.matches))
        else:
            matches, ratios = match(one.descriptors, two.descriptors, options.ratio)
        names = (pair.name1, pair.name2)
        lenses = (camera_of[pair.name1], camera_of[pair.name2])
        keypoints = (one.keypoints, two.keypoints)
        again = verify(names, lenses, keypoints, matches, ratios, options.max_error_px, options.min_inliers, seed + number)
        if again is not None:
            found.append(again)
    return found
