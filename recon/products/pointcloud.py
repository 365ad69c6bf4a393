"""The dense cloud as PLY and LAZ."""

from __future__ import annotations

import datetime
from pathlib import Path

import laspy
import numpy as np
import open3d as o3d
import pyproj
from numpy.typing import NDArray

from recon.dense.view import Points, evenly
from recon.geometry.geodesy import LocalFrame

_CREATED = datetime.date(2000, 1, 1)  # a header's date would make equal runs unequal
_STEP_M = 0.001
_LAZ_RANGE = 2**30  # LAS holds a coordinate as a 32-bit count of steps


def thin(points: Points, max_points: int) -> Points:
    """At most max_points of the cloud, evenly taken from it."""
    count = len(points.xyz)
    if count <= max_points:
        return points
    return points.take(evenly(count, max_points))


def write_ply(path: Path, points: Points) -> None:
    """Binary little-endian PLY: x y z, nx ny nz, red green blue, confidence, views, sigma."""
    cloud = o3d.t.geometry.PointCloud()
    cloud.point.positions = o3d.core.Tensor(np.ascontiguousarray(points.xyz, np.float32))
    cloud.point.normals = o3d.core.Tensor(np.ascontiguousarray(points.normal, np.float32))
    cloud.point.colors = o3d.core.Tensor(np.ascontiguousarray(points.rgb, np.uint8))
    cloud.point.confidence = o3d.core.Tensor(np.ascontiguousarray(points.confidence, np.float32)[:, None])
    cloud.point.views = o3d.core.Tensor(np.ascontiguousarray(points.views, np.uint8)[:, None])
    cloud.point.sigma = o3d.core.Tensor(np.ascontiguousarray(points.sigma, np.float32)[:, None])
    if not o3d.t.io.write_point_cloud(str(path), cloud):
        raise OSError(f"{path} could not be written")


def write_laz(path: Path, points: Points, frame: LocalFrame | None) -> None:
    """LAZ 1.4, point format 7: coordinates, 16-bit colour, confidence, views, sigma.

    With a frame the coordinates are in its projected CRS, which the header names, heights as the frame's origin has them;
    without, in the world's own unit.
    """
    xyz = points.xyz.astype(np.float64) if frame is None else frame.to_projected(points.xyz)
    header = laspy.LasHeader(version="1.4", point_format=7)
    header.creation_date = _CREATED
    header.system_identifier, header.generating_software = "", "recon"
    header.offsets, header.scales = _grid(xyz, metric=frame is not None)
    if frame is not None:
        header.add_crs(pyproj.CRS.from_user_input(frame.crs))
    for name, kind, description in (
        ("confidence", np.float32, "0..1"),
        ("views", np.uint8, "images that agree"),
        ("sigma", np.float32, "expected error along the ray"),
    ):
        header.add_extra_dim(laspy.ExtraBytesParams(name=name, type=kind, description=description))
    las = laspy.LasData(header)
    las.x, las.y, las.z = xyz.T
    las.red, las.green, las.blue = points.rgb.T.astype(np.uint16) * 257
    las.return_number = las.number_of_returns = np.ones(len(xyz), np.uint8)
    las.confidence, las.views, las.sigma = points.confidence, points.views, points.sigma
    las.write(str(path), laz_backend=laspy.LazBackend.LazrsParallel)  # chunks are packed apart: the bytes are the serial packer's


def _grid(xyz: NDArray[np.float64], metric: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets and scales: a millimetre where the unit is a metre and the extent allows it, else as fine as LAS can hold."""
    if not len(xyz):
        return np.zeros(3), np.full(3, _STEP_M)
    low, high = xyz.min(axis=0), xyz.max(axis=0)
    extent = max(float((high - low).max()), 1e-9)
    step = 10.0 ** np.ceil(np.log10(extent / _LAZ_RANGE))
    return np.floor((low + high) / 2), np.full(3, max(_STEP_M, step) if metric else step)
