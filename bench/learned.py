"""Learned matching on fountain-P11: relative poses against the truth, the same matches as kornia's example, and exact keypoints."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import combinations, islice, pairwise
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bench.bars import K_FOUNTAIN, Row, at_least, at_most
from bench.usage import recon
from recon.capture.pixels import read_rgb
from recon.evaluate.strecha import read_strecha
from recon.features.sift import extract
from recon.features.store import Features
from recon.matchers.learned import LearnedMatching
from recon.matchers.nearest import match
from recon.matchers.verify import verify

SIZE_PX, KEYPOINTS = 1024, 2048
STATED_AT_PX = 1600
"""Reprojection errors are stated in pixels of images of this longer side, at which SIFT looks."""
_PLAIN_PAIRS = 3

Found = tuple[NDArray[np.uint32], NDArray[np.float64]]


def learned(data: Path, work: Path) -> list[Row]:
    """Issue 5, bar 1, and the accuracy of learned keypoints."""
    images = sorted((data / "fountain-P11/images").glob("*.jpg"))
    truth = read_strecha(data / "fountain-P11/gt_dense_cameras")
    network = LearnedMatching.load("aliked")
    size = _size(truth)
    aliked = {path.stem: network.features(path, None, size, SIZE_PX, KEYPOINTS) for path in images}
    sift = {path.stem: extract(path, None, size, SIZE_PX, 8192, 0.0066) for path in images}

    def glue(one: str, two: str) -> Found:
        matches, _ = network.match(aliked[one], size, aliked[two], size)
        return matches, np.zeros(len(matches))

    def nearest(one: str, two: str) -> Found:
        return match(sift[one].descriptors, sift[two].descriptors, 0.85)

    errors = _pose_errors(truth, aliked, glue)
    beside = _pose_errors(truth, sift, nearest)
    same = [_same_as_plain(path1, path2, network, size) for path1, path2 in islice(pairwise(images), _PLAIN_PAIRS)]
    label = f"fountain-P11, {len(errors)} pairs at {SIZE_PX} px"
    return [
        at_least("1", label, "AUC@5 degrees, ALIKED + LightGlue", auc(errors, 5.0), 0.95),
        Row("1", label, "AUC@5 degrees, SIFT", auc(beside, 5.0), "", True),
        Row("1", label, "median error, degrees, ALIKED + LightGlue", float(np.median(errors)), "", True),
        Row("1", label, "median error, degrees, SIFT", float(np.median(beside)), "", True),
        at_least("1", label, f"matches shared with kornia's plain example, share, least of {len(same)}", min(same), 0.99),
        *_exactness(images, work),
    ]


def auc(errors_deg: NDArray[np.float64], limit_deg: float) -> float:
    """Area under the curve of recall over error up to a limit, of 1 (SuperGlue, CVPR 2020)."""
    ordered = np.sort(errors_deg)
    recall = np.arange(1, len(ordered) + 1) / len(ordered)
    x, y = np.concatenate([[0.0], ordered]), np.concatenate([[0.0], recall])
    last = int(np.searchsorted(x, limit_deg))
    x, y = np.append(x[:last], limit_deg), np.append(y[:last], y[last - 1])
    return float(np.trapezoid(y, x) / limit_deg)


def _size(truth: pycolmap.Reconstruction) -> tuple[int, int]:
    camera = next(iter(truth.cameras.values()))
    return int(camera.width), int(camera.height)


def _pose_errors(
    truth: pycolmap.Reconstruction, features: dict[str, Features], matched: Callable[[str, str], Found]
) -> NDArray[np.float64]:
    """Of every pair the greater of the errors of rotation and of direction, in degrees; 180 where no geometry is found."""
    images = {Path(image.name).stem: image for image in truth.images.values()}
    found = []
    for one, two in combinations(sorted(features), 2):
        cameras = (truth.cameras[images[one].camera_id], truth.cameras[images[two].camera_id])
        for camera in cameras:
            camera.has_prior_focal_length = True
        xy = (features[one].keypoints, features[two].keypoints)
        pair = verify((one, two), cameras, xy, *matched(one, two), 4.0, 15, 0)
        pose = images[two].cam_from_world() * images[one].cam_from_world().inverse()
        found.append(180.0 if pair is None else _angle(pair.cam2_from_cam1, pose))
    return np.array(found)


def _angle(estimated: NDArray[np.float64], true: pycolmap.Rigid3d) -> float:
    if not np.isfinite(estimated).all():
        return 180.0
    turn = estimated[:, :3] @ true.rotation.matrix().T
    direction = estimated[:, 3] @ true.translation / (np.linalg.norm(estimated[:, 3]) * np.linalg.norm(true.translation))
    cosines = np.clip([(np.trace(turn) - 1) / 2, direction], -1, 1)
    return float(np.degrees(np.arccos(cosines)).max())


def _same_as_plain(path1: Path, path2: Path, network: LearnedMatching, size: tuple[int, int]) -> float:
    """Share of the matches that both ways of matching two images find, of those that any finds."""
    plain = plain_matches(path1, path2)
    one, two = (network.features(path, None, size, SIZE_PX, KEYPOINTS) for path in (path1, path2))
    matches, _ = network.match(one, size, two, size)
    shown = read_rgb(path1, SIZE_PX).shape[1::-1]
    scale = np.array(size) / shown
    ours = np.column_stack([row.keypoints[matches[:, k], :2] / scale - 0.5 for k, row in enumerate((one, two))])
    return shared(plain, ours)


def shared(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Share of (M, 4) matched places that are in both, to a tenth of a pixel, of those that are in any."""
    common = int((cKDTree(one).query(two)[0] < 0.1).sum())
    return common / (len(one) + len(two) - common)


def plain_matches(path1: Path, path2: Path, size_px: int = SIZE_PX, keypoints: int = KEYPOINTS) -> NDArray[np.float64]:
    """(M, 4) matched places, pixel centres at whole numbers, as kornia's own example finds them."""
    import torch
    from kornia.feature import ALIKED, LightGlue

    from recon.matchers.lightglue import renamed
    from recon.models.load import read_weights

    aliked = ALIKED("aliked-n16rot", max_num_keypoints=keypoints, detection_threshold=0.0).eval()
    aliked.load_state_dict(dict(read_weights("aliked-n16rot")), strict=False)
    glue = LightGlue(features=None, input_dim=128).eval()
    glue.load_state_dict(renamed(read_weights("aliked-lightglue")), strict=False)
    found = []
    with torch.inference_mode():
        for path in (path1, path2):
            image = torch.from_numpy(read_rgb(path, size_px)).permute(2, 0, 1)[None] / 255
            (features,) = aliked(image)
            size = torch.tensor([[image.shape[3], image.shape[2]]])
            found.append({"keypoints": features.keypoints[None], "descriptors": features.descriptors[None], "image_size": size})
        matches = glue({"image0": found[0], "image1": found[1]})["matches"][0]
    rows = [found[k]["keypoints"][0][matches[:, k]].numpy() for k in (0, 1)]
    return np.concatenate(rows, axis=1).astype(np.float64)


def _exactness(images: list[Path], work: Path) -> Iterator[Row]:
    """Mean reprojection error of a model of five images."""
    few = work / "fountain-5"
    shutil.rmtree(few, ignore_errors=True)
    few.mkdir(parents=True)
    for path in images[:5]:
        shutil.copyfile(path, few / path.name)
    given = ["--set", "camera.model=PINHOLE", "--set", f"camera.params=[{K_FOUNTAIN}]", "--until", "sfm"]
    kinds = {"SIFT": [], "ALIKED": ["features.kind=aliked"], "ALIKED, not aligned": ["features.kind=aliked", "sfm.align_keypoints=false"]}
    label = f"fountain-P11, 5 images, px at {STATED_AT_PX}"
    for name, options in kinds.items():
        out = work / "fountain-5-out"
        recon("process", few, "-o", out, *given, *(word for option in options for word in ("--set", option))).checked()
        sfm = max((out / ".recon").glob("sfm-*/0000/sfm.json"), key=os.path.getmtime)
        facts = json.loads(sfm.read_text())
        error = facts["reprojection_error_px"] * STATED_AT_PX / facts["cameras"][0]["width"]
        figure = f"mean reprojection error, {name}"
        yield (
            at_most("localisation", label, figure, error, 0.2) if name == "ALIKED" else Row("localisation", label, figure, error, "", True)
        )
