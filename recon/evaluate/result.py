"""``recon eval``: a finished reconstruction against a truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open3d
import pycolmap
import trimesh
from numpy.typing import NDArray

from recon.errors import InputError, NotFound
from recon.evaluate.clouds import SAMPLES, Surface, cloud_errors, sample_mesh
from recon.evaluate.poses import pose_errors
from recon.evaluate.strecha import read_strecha
from recon.evaluate.volumes import heap_volume
from recon.geometry.frames import world_from_gltf
from recon.simulate.options import TRUTH_FILE, StockpileTruth, Truth

SHARES = (0.001, 0.002, 0.005)
"""Distances at which clouds are scored, of the scene's size."""


def evaluate(result: Path, truth: Path, shares: Sequence[float] = SHARES) -> dict[str, Any]:
    """Score a reconstruction, as JSON: ``poses`` and, where result and truth have them, ``cloud``, ``mesh``, ``stockpile``.

    result is what ``recon process`` wrote, or a COLMAP model. truth is the ``truth`` folder of a simulated capture (or the
    folder above it), a COLMAP model, or a folder of Strecha's ``.camera`` files. The result is brought into the truth's frame by
    the similarity that best maps its camera centres. Raises NotFound for missing files, InputError for images that do not match.
    """
    known = _truth_folder(truth)
    true_model = _true_model(known)
    errors = pose_errors(read_model(result), true_model)
    scores: dict[str, Any] = {"poses": errors.summary()}
    mesh = known / "mesh.ply"
    if not mesh.is_file():
        return scores
    cloud, triangles = read_cloud(result), read_mesh(result)
    if cloud is None and triangles is None:
        return scores
    surface = Surface.read(mesh, true_model)
    thresholds = [share * surface.size for share in shares]
    if cloud is not None:
        cloud = errors.truth_from_model * cloud
        scores["cloud"] = cloud_errors(cloud, surface, thresholds).summary(surface.size)
        stockpile = Truth.read(known).stockpile if (known / TRUTH_FILE).is_file() else None
        if stockpile:
            scores["stockpile"] = _stockpile(cloud, stockpile)
    if triangles is not None:
        vertices, faces = triangles
        points, _ = sample_mesh(errors.truth_from_model * vertices, faces, SAMPLES)
        scores["mesh"] = {"faces": len(faces)} | cloud_errors(points, surface, thresholds).summary(surface.size)
    return scores


def read_model(folder: Path) -> pycolmap.Reconstruction:
    """A COLMAP model in the folder or in its ``cameras``. Raises NotFound."""
    for place in (folder, folder / "cameras"):
        if _holds_model(place):
            try:
                return pycolmap.Reconstruction(place)
            except (ValueError, RuntimeError) as error:
                raise InputError(f"the COLMAP model in {place} can't be read: {error}") from error
    raise NotFound(f"no COLMAP model in {folder} or {folder / 'cameras'}", "name a folder that recon process wrote, or a COLMAP model")


def read_cloud(folder: Path) -> NDArray[np.float64] | None:
    """(N, 3) of ``points.ply``, or None where there is none."""
    path = folder / "points.ply"
    return np.asarray(open3d.io.read_point_cloud(str(path)).points) if path.is_file() else None


def read_mesh(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """Vertices (V, 3) in world and faces (F, 3) of ``mesh.glb`` or ``mesh.obj``, or None where there is neither."""
    for name in ("mesh.glb", "mesh.obj"):
        path = folder / name
        if path.is_file():
            mesh = trimesh.load_scene(path, process=False).to_mesh()
            vertices = np.asarray(mesh.vertices)
            return (world_from_gltf(vertices) if name == "mesh.glb" else vertices), np.asarray(mesh.faces)
    return None


def _truth_folder(truth: Path) -> Path:
    if not truth.is_dir():
        raise NotFound(f"no folder {truth}", "name a truth folder")
    return truth / "truth" if (truth / "truth" / TRUTH_FILE).is_file() else truth


def _true_model(folder: Path) -> pycolmap.Reconstruction:
    if _holds_model(folder) or _holds_model(folder / "cameras"):
        return read_model(folder)
    if any(folder.glob("*.camera")):
        return read_strecha(folder)
    raise NotFound(f"no truth in {folder}", "it holds neither cameras/ (simulated), nor a COLMAP model, nor Strecha's *.camera files")


def _holds_model(folder: Path) -> bool:
    return (folder / "images.bin").is_file() or (folder / "images.txt").is_file()


def _stockpile(cloud: NDArray[np.float64], truth: StockpileTruth) -> dict[str, float]:
    east, north, base = truth.center
    volume = heap_volume(cloud, (east, north), truth.radius_m, base)
    return {"volume_m3": volume, "true_volume_m3": truth.volume_m3, "relative_error": volume / truth.volume_m3 - 1}
