"""The dense cloud as PLY and LAZ."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import laspy
import numpy as np
import open3d as o3d
import pyproj
from numpy.typing import NDArray

from recon.dense.view import Points, evenly
from recon.geometry.geodesy import LocalFrame
from recon.products.copc import write_copc

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
    """LAZ 1.4, point format 7, in the order of a COPC: coordinates, 16-bit colour, confidence, views, sigma, normal.

    With a frame the coordinates are in its projected CRS, which the header names, heights as the frame's origin has them;
    without, in the world's own unit. Normals are in the world in both cases, in 1/127.
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
        *((f"normal_{axis}", np.int8, "in world, times 127") for axis in "xyz"),
    ):
        header.add_extra_dim(laspy.ExtraBytesParams(name=name, type=kind, description=description))

    def fill(record: laspy.ScaleAwarePointRecord, rows: NDArray[np.int64]) -> None:
        some = points.take(rows)
        record.red, record.green, record.blue = some.rgb.T.astype(np.uint16) * 257
        record.return_number = record.number_of_returns = np.ones(len(rows), np.uint8)
        record.confidence, record.views, record.sigma = some.confidence, some.views, some.sigma
        record.normal_x, record.normal_y, record.normal_z = np.round(some.normal.T * 127).astype(np.int8)

    write_copc(path, header, xyz, fill)


def world_from_laz(points: Points, frame: LocalFrame | None) -> dict[str, list[Any]] | None:
    """How coordinates of the LAZ lead back to the world, for programs that have no map projections; None where they are the world's.

    With d = laz - ``origin``: world = ``linear`` d + ``quadratic`` (d0 d0, d0 d1, d1 d1, d0 d2, d1 d2). The square terms hold the
    curved earth; over two kilometres the fit is good to a millimetre.
    """
    if frame is None or not len(points.xyz):
        return None
    low, high = points.xyz.min(axis=0).astype(np.float64), points.xyz.max(axis=0).astype(np.float64)
    grown = np.maximum(high - low, 1.0) / 2
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 5)] * 3), axis=-1).reshape(-1, 3) * grown + (low + high) / 2
    laz = frame.to_projected(grid)
    origin = np.round(laz.mean(axis=0))
    scale = float(grown.max())
    d = (laz - origin) / scale  # of order one, so that the fit is well conditioned
    terms = np.column_stack([d, d[:, 0] ** 2, d[:, 0] * d[:, 1], d[:, 1] ** 2, d[:, 0] * d[:, 2], d[:, 1] * d[:, 2], np.ones(len(d))])
    found = np.linalg.lstsq(terms, grid, rcond=None)[0].T
    shift = np.linalg.solve(found[:, :3] / scale, found[:, 8])  # the constant goes into the origin
    return {
        "origin": (origin - shift).tolist(),
        "linear": (found[:, :3] / scale).tolist(),
        "quadratic": (found[:, 3:8] / scale**2).tolist(),
    }


def _grid(xyz: NDArray[np.float64], metric: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets and scales: a millimetre where the unit is a metre and the extent allows it, else as fine as LAS can hold."""
    if not len(xyz):
        return np.zeros(3), np.full(3, _STEP_M)
    low, high = xyz.min(axis=0), xyz.max(axis=0)
    extent = max(float((high - low).max()), 1e-9)
    step = 10.0 ** np.ceil(np.log10(extent / _LAZ_RANGE))
    return np.floor((low + high) / 2), np.full(3, max(_STEP_M, step) if metric else step)
