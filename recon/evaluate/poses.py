"""How far a model's cameras are from the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from recon.errors import InputError
from recon.geometry.similarity import fit_similarity, spread_share

Align = Literal["similarity", "rigid", "none"]
ON_A_LINE = 1e-3


@dataclass(frozen=True)
class PoseErrors:
    """Of the images that a model and the truth share, in order of their true names."""

    names: tuple[str, ...]
    position: NDArray[np.float64]
    """(N,) distance of the camera centres after alignment, in the truth's unit."""
    rotation_deg: NDArray[np.float64]
    """(N,) angle between the camera rotations after alignment."""
    truth_from_model: pycolmap.Sim3d
    path_length: float
    """Of the polyline through all true centres in order of their names, in the truth's unit."""
    true_images: int

    def summary(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "images": len(self.names),
            "true_images": self.true_images,
            "position": _statistics(self.position),
            "position_share": _statistics(self.position / self.path_length) if self.path_length else None,
            "rotation_deg": _statistics(self.rotation_deg),
            "path_length": self.path_length,
            "scale": float(self.truth_from_model.scale),
            "per_image": {
                name: {"position": float(p), "rotation_deg": float(r)}
                for name, p, r in zip(self.names, self.position, self.rotation_deg, strict=True)
            },
        }


def pose_errors(model: pycolmap.Reconstruction, truth: pycolmap.Reconstruction, align: Align = "similarity") -> PoseErrors:
    """Compare the poses of the images that both models have.

    Images are matched by name or, where no name is common, by the last part of the name without its ending. align says what
    may be removed first: a similarity fitted to the camera centres, a rigid motion, or nothing. Rotations are compared
    after the same alignment. Where the true centres lie on a line, the cameras' rotations fix the turn about it.
    Raises InputError for fewer than 3 common images (1 without alignment).
    """
    estimated, true = _posed(model), _posed(truth)
    pairs = match_names(set(estimated), set(true))
    needed = 1 if align == "none" else 3
    if len(pairs) < needed:
        raise InputError(
            f"{len(pairs)} of the model's {len(estimated)} images are among the truth's {len(true)}"
            f" (for instance {_some(estimated)} and {_some(true)})",
            f"{needed} common image names are needed",
        )
    poses = [estimated[name] for name, _ in pairs]
    true_poses = [true[name] for _, name in pairs]
    truth_from_model = _alignment(poses, true_poses, align)
    centers, true_centers = _centers(poses), _centers(true_poses)
    turns = np.array([p.rotation.matrix().T for p in poses])
    true_turns = np.array([p.rotation.matrix().T for p in true_poses])
    residual = true_turns.transpose(0, 2, 1) @ truth_from_model.rotation.matrix() @ turns
    ordered = _centers([true[name] for name in sorted(true)])
    return PoseErrors(
        tuple(name for _, name in pairs),
        np.linalg.norm(truth_from_model * centers - true_centers, axis=1),
        np.degrees(Rotation.from_matrix(residual).magnitude()),
        truth_from_model,
        float(np.linalg.norm(np.diff(ordered, axis=0), axis=1).sum()),
        len(true),
    )


def match_names(estimated: set[str], true: set[str]) -> list[tuple[str, str]]:
    """Pairs of equal names or, if there are none, of names whose last parts are equal but for the ending and unique; in true order."""
    common = sorted(estimated & true)
    if common:
        return [(name, name) for name in common]
    by_stem, true_by_stem = _unique_stems(estimated), _unique_stems(true)
    return [(by_stem[stem], name) for stem, name in sorted(true_by_stem.items(), key=lambda item: item[1]) if stem in by_stem]


def _unique_stems(names: set[str]) -> dict[str, str]:
    stems: dict[str, list[str]] = {}
    for name in names:
        stems.setdefault(PurePosixPath(name).stem, []).append(name)
    return {stem: same[0] for stem, same in stems.items() if len(same) == 1}


def _posed(model: pycolmap.Reconstruction) -> dict[str, pycolmap.Rigid3d]:
    return {image.name: image.cam_from_world() for image in model.images.values() if image.has_pose}


def _alignment(poses: list[pycolmap.Rigid3d], true_poses: list[pycolmap.Rigid3d], align: Align) -> pycolmap.Sim3d:
    """truth_from_model."""
    if align == "none":
        return pycolmap.Sim3d()
    centers, true_centers = _centers(poses), _centers(true_poses)
    if spread_share(true_centers) > ON_A_LINE:
        return fit_similarity(centers, true_centers, scale=align == "similarity")
    turns = Rotation.from_matrix([t.rotation.matrix().T @ p.rotation.matrix() for p, t in zip(poses, true_poses, strict=True)])
    rotation = turns.mean().as_matrix()
    turned, target = (centers - centers.mean(0)) @ rotation.T, true_centers - true_centers.mean(0)
    spread = float((turned**2).sum())
    scale = float((turned * target).sum()) / spread if align == "similarity" and spread > 0 else 1.0
    return pycolmap.Sim3d(scale, pycolmap.Rotation3d(rotation), true_centers.mean(0) - scale * rotation @ centers.mean(0))


def _centers(poses: list[pycolmap.Rigid3d]) -> NDArray[np.float64]:
    return np.array([p.inverse().translation for p in poses]).reshape(-1, 3)


def _statistics(errors: NDArray[np.float64]) -> dict[str, float]:
    return {
        "mean": float(errors.mean()),
        "median": float(np.median(errors)),
        "rms": float(np.sqrt((errors**2).mean())),
        "max": float(errors.max()),
    }


def _some(poses: dict[str, pycolmap.Rigid3d]) -> str:
    return min(poses, default="none")
