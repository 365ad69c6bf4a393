"""What the page's 3D view draws, as compact base64: cloud, textured mesh and camera frustums."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import Image

from recon.config import Report
from recon.dense.view import Points
from recon.products.camerafiles import registered
from recon.products.pointcloud import thin
from recon.products.report.lighten import lighten
from recon.products.textured import TexturedMesh, split_at_seams
from recon.products.viewpoint import Orbit

_PAGE_PX = 2048
_PAGE_QUALITY = 85
_STEPS = 65535
_FRUSTUM = 0.06  # depth of a drawn camera, of the scene's radius


@dataclass(frozen=True)
class SceneData:
    """``about`` as JSON, and named base64 blocks."""

    about: dict[str, Any]
    blocks: dict[str, str]


def make_scene(
    options: Report,
    points: Points,
    mesh: TexturedMesh,
    model: pycolmap.Reconstruction,
    residuals: dict[str, Any],
    orbit: Orbit,
    threads: int = 1,
) -> SceneData:
    """At most the options' points and triangles, positions as 16-bit shares of a cube around each."""
    low, high = orbit.subject.min(axis=0), orbit.subject.max(axis=0)
    radius = float(np.linalg.norm(high - low) / 2) or 1.0
    shown = thin(points, options.max_points)
    light = lighten(mesh, options.max_faces, threads)
    split = split_at_seams(light)
    xyz, point_cube = _quantised(shown.xyz)
    vertices, mesh_cube = _quantised(light.vertices[split.vertex])
    count = np.bincount(split.page, minlength=len(light.pages)) * 3
    first = np.cumsum(count) - count
    blocks = {
        "points-xyz": _base64(xyz),
        "points-rgb": _base64(shown.rgb),
        "mesh-xyz": _base64(vertices),
        "mesh-uv": _base64(np.round(np.clip(split.uv, 0, 1) * _STEPS).astype("<u2")),
        "mesh-index": _base64(split.faces.astype("<u4")),
    }
    blocks |= {f"mesh-page-{number}": _page(page) for number, page in enumerate(light.pages)}
    about = {
        "center": ((low + high) / 2).tolist(),
        "radius": radius,
        "home": (-orbit.best(16, 9).R[2]).tolist(),
        "points": {"count": len(shown.xyz), **point_cube},
        "mesh": {
            "faces": len(light.faces),
            **mesh_cube,
            "pages": [{"first": int(a), "count": int(b)} for a, b in zip(first, count, strict=True)],
        },
        "cameras": _frustums(model, residuals, _FRUSTUM * radius),
    }
    return SceneData(about, blocks)


def _quantised(xyz: NDArray[np.float32]) -> tuple[NDArray[np.uint16], dict[str, Any]]:
    """Shares of the bounding cube, and its lowest corner and side: xyz = low + share / 65535 * extent."""
    if not len(xyz):
        return np.zeros((0, 3), "<u2"), {"low": [0.0, 0.0, 0.0], "extent": 1.0}
    low = xyz.min(axis=0).astype(np.float64)
    extent = float((xyz.max(axis=0) - low).max()) or 1.0
    return np.round((xyz - low) / extent * _STEPS).astype("<u2"), {"low": low.tolist(), "extent": extent}


def _frustums(model: pycolmap.Reconstruction, residuals: dict[str, Any], depth: float) -> list[dict[str, Any]]:
    """A row an image: name, residual, and the pyramid's tip and four corners in world."""
    rows = []
    for image in registered(model):
        camera = model.cameras[image.camera_id]
        sphere = camera.is_spherical()  # which has no focal length, and sees all around
        half = np.ones(2) if sphere else np.array([camera.width / camera.focal_length_x, camera.height / camera.focal_length_y]) / 2
        half = np.minimum(half, 1.0)  # a fisheye's picture has no pyramid
        corners = np.array([[0, 0, 0], *([sx * half[0], sy * half[1], 1] for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1)))]) * depth
        world = image.cam_from_world().inverse() * corners
        residual = residuals.get(image.name, {}).get("residual_px")
        rows.append({"name": image.name, "residual_px": residual, "corners": np.round(world, 5).tolist()})
    return rows


def _page(path: Path) -> str:
    """A page's JPEG as base64, made smaller where it is larger than the view needs."""
    with Image.open(path) as page:
        if max(page.size) <= _PAGE_PX:
            return base64.b64encode(path.read_bytes()).decode("ascii")
        page.thumbnail((_PAGE_PX, _PAGE_PX), Image.Resampling.LANCZOS)
        smaller = io.BytesIO()
        page.save(smaller, "JPEG", quality=_PAGE_QUALITY)
    return base64.b64encode(smaller.getvalue()).decode("ascii")


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
