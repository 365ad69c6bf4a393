"""How true the textured mesh is to the photos, as a user gets it: the GLB, rendered into every undistorted view.

python -m bench.texture OUT [TRUTH]     TRUTH is a folder like fountain-P11, with depth/ and gt_dense_cameras/
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import open3d as o3d
import pycolmap
import trimesh
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bench.usage import recon
from recon.capture.pixels import read_rgb
from recon.dense.view import View, read_views
from recon.evaluate.poses import pose_errors
from recon.evaluate.strecha import read_strecha
from recon.geometry.frames import world_from_gltf

if TYPE_CHECKING:
    from bench.bars import Row

_SAMPLES = 2  # rays a pixel in each direction
_BAND = 128  # rows of a view at once
_NEAR_M = 0.05
_SAME_SURFACE_M = 0.015  # from a sample of the 1 cm grid of what three photos see
_TRUTH_STEP = 2  # of the samples of a true depth map, every so many
_TRUTH_FOCAL_PX, _TRUTH_CENTRE_PX = 2759.48, (1535.5, 1023.5)  # of the true depth maps, whose first pixel's centre is (0, 0)
_TRUTH_WIDTH_PX = 3072


@dataclass(frozen=True)
class Reading:
    """A textured mesh as another program's reader gives it, its parts in one."""

    scene: o3d.t.geometry.RaycastingScene
    uv: NDArray[np.float32]
    """(F, 3, 2) origin bottom left."""
    part: NDArray[np.int32]
    """(F,) index of images."""
    images: list[NDArray[np.uint8]]

    @classmethod
    def of(cls, path: Path) -> Reading:
        """From a GLB (turned back to z up) or an OBJ, by trimesh."""
        loaded = trimesh.load(path, process=False)
        parts = list(loaded.geometry.values()) if isinstance(loaded, trimesh.Scene) else [loaded]
        vertices, faces, uv, part, images, first = [], [], [], [], [], 0
        for number, mesh in enumerate(parts):
            xyz = np.asarray(mesh.vertices)
            vertices.append(world_from_gltf(xyz) if path.suffix == ".glb" else xyz)
            faces.append(mesh.faces + first)
            first += len(xyz)
            uv.append(np.asarray(mesh.visual.uv, np.float32)[mesh.faces])
            part.append(np.full(len(mesh.faces), number, np.int32))
            material = mesh.visual.material
            images.append(np.asarray((getattr(material, "baseColorTexture", None) or material.image).convert("RGB")))
        scene = o3d.t.geometry.RaycastingScene()
        scene.add_triangles(
            o3d.core.Tensor(np.concatenate(vertices).astype(np.float32)), o3d.core.Tensor(np.concatenate(faces).astype(np.uint32))
        )
        return cls(scene, np.concatenate(uv), np.concatenate(part), images)

    def colours(self, rays: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(..., 3) colours 0..255 where (..., 6) rays meet the mesh, and (...) whether they do."""
        hits = self.scene.cast_rays(o3d.core.Tensor(rays))
        face, weight = hits["primitive_ids"].numpy(), hits["primitive_uvs"].numpy()
        hit = np.isfinite(hits["t_hit"].numpy())
        b, c = weight[hit].T
        uv = np.einsum("nk,nkc->nc", np.stack([1 - b - c, b, c], axis=1), self.uv[face[hit]])
        part, found = self.part[face[hit]], np.zeros((len(uv), 3), np.float32)
        for number, image in enumerate(self.images):
            mine = np.flatnonzero(part == number)
            for start in range(0, len(mine), 30_000):  # OpenCV maps have a bounded size
                chosen = mine[start : start + 30_000]
                x, y = uv[chosen, 0] * image.shape[1] - 0.5, (1 - uv[chosen, 1]) * image.shape[0] - 0.5
                found[chosen] = cv2.remap(image, x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).reshape(-1, 3)
        colours = np.zeros((*hit.shape, 3), np.float32)
        colours[hit] = found
        return colours, hit


def latest(out: Path, stage: str) -> tuple[Path, ...]:
    """The shards of a stage that a run made last."""
    recipe = max((out / ".recon").glob(f"{stage}-*"), key=os.path.getmtime)
    return tuple(path for path in sorted(recipe.iterdir()) if path.name.isdigit())


def fidelity(mesh: Reading, views: list[View]) -> dict[str, Any]:
    """PSNR [dB] of the rendered against the undistorted views over pixels that the mesh covers wholly: of all, and a view."""
    error, count, per_view = 0.0, 0, {}
    for view in views:
        image = read_rgb(view.path)
        squares, pixels = 0.0, 0
        for top in range(0, view.height, _BAND):
            rows = min(_BAND, view.height - top)
            colours, hit = mesh.colours(_rays(view, top, rows))
            covered = hit.reshape(rows, _SAMPLES, view.width, _SAMPLES).all(axis=(1, 3))
            shown = colours.reshape(rows, _SAMPLES, view.width, _SAMPLES, 3).mean(axis=(1, 3))
            squares += float(((shown - image[top : top + rows])[covered].astype(np.float64) ** 2).mean(axis=1).sum())
            pixels += int(covered.sum())
        per_view[view.name] = _psnr(squares, pixels)
        error, count = error + squares, count + pixels
    share = count / sum(view.width * view.height for view in views)
    return {"psnr_db": _psnr(error, count), "covered_pixels": share, "per_view_db": per_view}


def _psnr(squares: float, pixels: int) -> float:
    return float(10 * np.log10(255**2 / max(squares / max(pixels, 1), 1e-6)))


def _rays(view: View, top: int, rows: int) -> NDArray[np.float32]:
    """(rows * samples, width * samples, 6) through the centres of parts of pixels."""
    x = ((np.arange(view.width * _SAMPLES) + 0.5) / _SAMPLES - view.K[0, 2]) / view.K[0, 0]
    y = ((np.arange(rows * _SAMPLES) + 0.5) / _SAMPLES + top - view.K[1, 2]) / view.K[1, 1]
    flat = np.stack([*np.meshgrid(x, y), np.ones((len(y), len(x)))], axis=-1)
    return np.concatenate([np.broadcast_to(view.center, flat.shape), flat @ view.R], axis=-1).astype(np.float32)


def coverage(mesh: Reading, model: pycolmap.Reconstruction, truth: Path) -> dict[str, float]:
    """Shares of pixels that meet the mesh: of those that show true surface which three photos see or more, the same but within
    5 cm of the truth, and of those with a true depth at all."""
    cameras = read_strecha(truth / "gt_dense_cameras")
    truth_from_model = pose_errors(model, cameras).truth_from_model
    model_from_truth = truth_from_model.inverse()
    ours = {image.name: image.projection_center() for image in model.images.values() if image.has_pose}
    surface = cKDTree(np.load(truth / "truth_1cm.npz")["xyz_mm"] / 1e3)
    met, near, seen, met_any, any_depth = 0, 0, 0, 0, 0
    for image in cameras.images.values():
        if image.name not in ours:
            continue
        true = _true_points(truth / "depth" / f"{Path(image.name).stem}.npz", image.cam_from_world())
        judged = np.isfinite(surface.query(true, distance_upper_bound=_SAME_SURFACE_M)[0])
        xyz = model_from_truth * true
        eye = np.broadcast_to(ours[image.name], xyz.shape)
        far = mesh.scene.cast_rays(o3d.core.Tensor(np.hstack([eye, xyz - eye]).astype(np.float32)))["t_hit"].numpy()
        miss = np.abs(far - 1) * np.linalg.norm(xyz - eye, axis=1) * truth_from_model.scale
        met += int(np.isfinite(far[judged]).sum())
        near += int((miss[judged] < _NEAR_M).sum())
        seen += int(judged.sum())
        met_any += int(np.isfinite(far).sum())
        any_depth += len(far)
    return {"met": met / max(seen, 1), "near": near / max(seen, 1), "met_of_any_depth": met_any / max(any_depth, 1)}


def _true_points(file: Path, cam_from_world: pycolmap.Rigid3d) -> NDArray[np.float64]:
    """(N, 3) where the truth's camera sees its depth map, metres."""
    depth = np.load(file)["depth"].astype(np.float64)
    shrink = _TRUTH_WIDTH_PX / depth.shape[1]
    row, column = np.nonzero(depth[::_TRUTH_STEP, ::_TRUTH_STEP] > 0)
    row, column = row * _TRUTH_STEP, column * _TRUTH_STEP
    z = depth[row, column]
    x = ((column + 0.5) * shrink - 0.5 - _TRUTH_CENTRE_PX[0]) / _TRUTH_FOCAL_PX
    y = ((row + 0.5) * shrink - 0.5 - _TRUTH_CENTRE_PX[1]) / _TRUTH_FOCAL_PX
    return np.asarray(cam_from_world.inverse() * np.stack([x * z, y * z, z], axis=1))


def measure(out: Path, truth: Path | None, file: str = "mesh.glb") -> dict[str, Any]:
    """All figures of a finished run."""
    mesh = Reading.of(out / file)
    found = fidelity(mesh, read_views({"undistort": latest(out, "undistort")}))
    if truth is not None:
        found["coverage"] = coverage(mesh, pycolmap.Reconstruction(out / "cameras"), truth)
    return found


def rows(data: Path, work: Path) -> list[Row]:
    """The texture's bar, on fountain-P11 with its K."""
    from bench.bars import K_FOUNTAIN, at_least

    out, name = work / "fountain-K-given", "fountain-P11, K given"
    options = ["--set", "camera.model=PINHOLE", "--set", f"camera.params=[{K_FOUNTAIN}]", "--set", "products.turntable_s=0"]
    recon("process", data / "fountain-P11/images", "-o", out, *options).checked()
    found = measure(out, data / "fountain-P11")
    covered = found["coverage"]
    return [
        at_least("texture", name, "PSNR of the GLB in the input views, covered pixels, dB", found["psnr_db"], 24),
        at_least("texture", name, "the same, lowest of a view, dB", min(found["per_view_db"].values()), 20),
        at_least("texture", name, "coverage of the true surface that three photos see, within 5 cm of it", covered["near"], 0.95),
        at_least("texture", name, "the same at any distance, as the peer's coverage is told", covered["met"], 0.95),
        at_least("texture", name, "coverage of any true depth", covered["met_of_any_depth"], 0.9),
    ]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None), indent=1) + "\n")
