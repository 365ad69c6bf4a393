"""Issue 6, bar 5: each tablet format, whole, with poses that drift, coarse noisy depth and a wall without any texture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import open3d
import pycolmap
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bench.usage import recon
from recon.capture.records import read_json
from recon.dense.view import Points
from recon.evaluate.clouds import Surface, sample_mesh
from recon.evaluate.poses import pose_errors
from recon.simulate.options import FORMATS, Truth
from recon.simulate.scenes import raycaster
from recon.surface.mesh import MESH_FILE, TriMesh

if TYPE_CHECKING:
    from bench.bars import Row

WALL_Y_M = 2.0
"""The plain wall's plane in the room."""
WITHIN_M = 0.02
_NEAR_M = 0.10
"""A point counts as the wall's where no other true surface is nearer, up to this distance."""
_SAMPLES = 400_000
_PHOTOS = 40
CLOSE_M = 0.005
"""Within which the two kinds of mesh are compared."""


@dataclass(frozen=True)
class Wall:
    """How a cloud or mesh shows the wall."""

    covered: float
    """Share of the wall, where three images or more see it, that has a point within ``WITHIN_M``."""
    median_m: float
    """Distance of the wall's points from its plane; and the distance of the nearest nine tenths."""
    most_m: float


def tablets(data: Path, work: Path) -> list[Row]:
    """Simulated scans of each format: 1 % drift, 256 x 192 depth of 1 cm noise, the preset fast; of one the mesh by TSDF, too."""
    rows = [row for form in FORMATS for row in _scan(form, work / f"tablet-{form}")]
    return rows + _meshes("record3d", work / "tablet-record3d")


def _scan(form: str, work: Path) -> list[Row]:
    from bench.bars import Row, at_least, at_most

    truth, out, name = work / "truth", work / "out", f"tablet, {form}"
    if not truth.exists():
        count = () if form == "stray" else ("--images", _PHOTOS)
        recon("simulate", "room", "--format", form, "--plain-wall", *count, "-o", work / "capture").checked()
        (work / "capture/truth").rename(truth)
    _processed(work)
    scan = Scan.read(work)
    facts, registered = read_json(latest(out, "georef") / "georef.json"), read_json(latest(out, "recover") / "sfm.json")
    images, scale = registered["images"], pose_errors(scan.model, scan.true).truth_from_model.scale
    rows = [
        at_least("6.5", name, f"registered of {images} images, share", registered["registered"] / images, 1.0),
        at_most("6.5", name, f"scale error, by {facts['source']}", float(abs(scale - 1)), 0.005),
    ]
    cloud = np.concatenate([Points.load(path).xyz for path in sorted(latest(out, "fuse").parent.glob("*/points.npz"))])
    for what, xyz in (("cloud", cloud.astype(np.float64)), ("mesh", sample_mesh(*scan.mesh(), _SAMPLES)[0])):
        wall = wall_of(scan.true_from_model * xyz, scan.surface)
        rows += [
            at_least("6.5", name, f"untextured wall, share within 2 cm of the {what}", wall.covered, 0.95),
            at_most("6.5", name, f"untextured wall, distance of the {what}'s points, median, m", wall.median_m, WITHIN_M),
            Row("6.5", name, f"untextured wall, distance of nine tenths of the {what}'s points, m", wall.most_m, "", True),
        ]
    return rows


def _meshes(form: str, work: Path) -> list[Row]:
    """The usual mesh of a run and one by TSDF, of the same samples of the room's surface."""
    from bench.bars import Row

    rows = []
    for mode, options in (("3d", ()), ("tsdf", ("--set", "mesh.mode=tsdf", "--until", "mesh"))):
        _processed(work, *options)
        scan = Scan.read(work)
        vertices, faces = scan.mesh(mode)
        from_true = (scan.true_from_model.inverse() * scan.surface.seen).astype(np.float32)
        gaps = raycaster(vertices.astype(np.float32), faces).compute_distance(open3d.core.Tensor(from_true)).numpy()
        points = (scan.true_from_model * sample_mesh(vertices, faces, _SAMPLES)[0]).astype(np.float32)
        off = scan.surface.raycaster.compute_distance(open3d.core.Tensor(points)).numpy()
        name = f"tablet, {form}, mesh.mode {mode}"
        rows += [
            Row("6.5", name, "mesh within 5 mm of the true surface, share", float((off <= CLOSE_M).mean()), "", True),
            Row("6.5", name, "distance of nine tenths of the mesh from the true surface, m", float(np.quantile(off, 0.9)), "", True),
            Row("6.5", name, "true surface within 5 mm of the mesh, share", float((gaps <= CLOSE_M).mean()), "", True),
            Row("6.5", name, "true surface within 2 cm of the mesh, share", float((gaps <= WITHIN_M).mean()), "", True),
        ]
    return rows


def _processed(work: Path, *options: object) -> None:
    capture = work / "capture" / Truth.read(work / "truth").capture
    recon("process", capture, "-o", work / "out", "--preset", "fast", "--set", "products.turntable_s=0", *options).checked()


@dataclass(frozen=True)
class Scan:
    """A finished run beside its truth."""

    work: Path
    model: pycolmap.Reconstruction
    true: pycolmap.Reconstruction
    surface: Surface

    @classmethod
    def read(cls, work: Path) -> Scan:
        true = pycolmap.Reconstruction(work / "truth/cameras")
        model = pycolmap.Reconstruction(latest(work / "out", "georef") / "model")
        return cls(work, model, true, Surface.read(work / "truth/mesh.ply", true))

    @cached_property
    def true_from_model(self) -> pycolmap.Sim3d:
        """A rigid motion, by the camera centres: the scale stays as it was found."""
        return pose_errors(self.model, self.true, "rigid").truth_from_model

    def mesh(self, mode: str = "3d") -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Vertices and faces of the newest mesh of a mode."""
        folders = [path.parent for path in (self.work / "out/.recon").glob("mesh-*/0000/mesh.json") if read_json(path)["mode"] == mode]
        made = TriMesh.load(max(folders, key=os.path.getmtime) / MESH_FILE)
        return made.vertices.astype(np.float64), made.faces


def wall_of(xyz: NDArray[np.float64], surface: Surface) -> Wall:
    """Of points (N, 3) in the truth's frame, moved there rigidly."""
    near = xyz[np.abs(xyz[:, 1] - WALL_Y_M) < _NEAR_M]
    triangles = surface.raycaster.compute_closest_points(open3d.core.Tensor(near.astype(np.float32)))["primitive_ids"].numpy()
    of_wall = (np.abs(surface.vertices[surface.faces][..., 1] - WALL_Y_M) < 1e-4).all(1)
    off_m = np.abs(near[of_wall[triangles], 1] - WALL_Y_M)
    seen = surface.seen[np.abs(surface.seen[:, 1] - WALL_Y_M) < 1e-4]
    distance, _ = cKDTree(xyz).query(seen)
    if not len(off_m):
        return Wall(0.0, np.inf, np.inf)
    return Wall(float((distance <= WITHIN_M).mean()), float(np.median(off_m)), float(np.quantile(off_m, 0.9)))


def latest(out: Path, stage: str) -> Path:
    """The first shard of a stage's newest folder."""
    return max((out / ".recon").glob(f"{stage}-*/0000"), key=os.path.getmtime)
