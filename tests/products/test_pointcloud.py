from __future__ import annotations

import dataclasses
import json

import laspy
import numpy as np
import open3d as o3d
import pyproj
import pytest
from fake_run import sample_points

from recon.dense.view import Points, read_some_points
from recon.geometry.geodesy import LocalFrame
from recon.products.copc import octree_of
from recon.products.pointcloud import thin, world_from_laz, write_laz, write_ply

FRAME = LocalFrame(50.8225, -0.1372, 40.0, "EPSG:32630")


def test_ply_says_everything_and_is_read_by_another_library(tmp_path):
    points = sample_points(500)
    write_ply(tmp_path / "p.ply", points)
    head = (tmp_path / "p.ply").read_bytes().split(b"end_header")[0].decode()
    assert "format binary_little_endian 1.0" in head
    cloud = o3d.t.io.read_point_cloud(str(tmp_path / "p.ply")).point
    np.testing.assert_array_equal(cloud["positions"].numpy(), points.xyz)
    np.testing.assert_array_equal(cloud["normals"].numpy(), points.normal)
    np.testing.assert_array_equal(cloud["colors"].numpy(), points.rgb)
    np.testing.assert_array_equal(cloud["confidence"].numpy()[:, 0], points.confidence)
    np.testing.assert_array_equal(cloud["views"].numpy()[:, 0], points.views)
    np.testing.assert_array_equal(cloud["sigma"].numpy()[:, 0], points.sigma)
    for name in ("x", "y", "z", "nx", "red", "green", "blue", "confidence", "views", "sigma"):
        assert f" {name}\n" in head


def test_laz_in_world_without_a_frame(tmp_path):
    points = sample_points(500)
    write_laz(tmp_path / "p.laz", points, None)
    las = laspy.read(tmp_path / "p.laz")
    points = points.take(octree_of(points.xyz.astype(np.float64)).order)
    assert (las.header.point_format.id, str(las.header.version)) == (7, "1.4")
    error = np.abs(las.xyz - points.xyz).max()
    assert 0 < error < 1e-6
    assert las.header.parse_crs() is None
    np.testing.assert_array_equal(np.stack([las.red, las.green, las.blue], 1) // 257, points.rgb)
    np.testing.assert_allclose(las.confidence, points.confidence)
    np.testing.assert_array_equal(las.views, points.views)
    normals = np.stack([las.normal_x, las.normal_y, las.normal_z], 1) / 127
    np.testing.assert_allclose(normals, points.normal, atol=0.51 / 127)


def test_laz_in_the_projected_crs_with_its_name(tmp_path):
    points = sample_points(500)
    write_laz(tmp_path / "p.laz", points, FRAME)
    las = laspy.read(tmp_path / "p.laz")
    assert las.header.parse_crs().to_epsg() == 32630
    assert las.header.scales == pytest.approx([0.001] * 3)
    east, north = pyproj.Transformer.from_crs(4326, 32630, always_xy=True).transform(FRAME.lon_deg, FRAME.lat_deg)
    assert np.abs(las.xyz.mean(axis=0) - points.xyz.mean(axis=0) - [east, north, FRAME.alt_m]).max() < 0.05
    projected = FRAME.to_projected(points.xyz)
    error = np.abs(las.xyz - projected[octree_of(projected).order]).max()
    assert 1e-5 < error < 0.00051


def test_projected_coordinates_lead_back_to_the_world():
    points = sample_points(500)
    spread = points.xyz / np.abs(points.xyz).max(axis=0) * np.array([1000, 1000, 100], np.float32)
    found = world_from_laz(dataclasses.replace(points, xyz=spread), FRAME)
    d = FRAME.to_projected(spread) - found["origin"]
    squares = np.column_stack([d[:, 0] ** 2, d[:, 0] * d[:, 1], d[:, 1] ** 2, d[:, 0] * d[:, 2], d[:, 1] * d[:, 2]])
    straight = d @ np.transpose(found["linear"])
    assert np.abs(straight - spread).max() > 0.02  # the earth is round
    assert np.abs(straight + squares @ np.transpose(found["quadratic"]) - spread).max() < 1e-3
    assert world_from_laz(points, None) is None


def test_same_cloud_gives_same_bytes(tmp_path):
    points = sample_points(500)
    for frame in (None, FRAME):
        write_laz(tmp_path / "a.laz", points, frame)
        write_laz(tmp_path / "b.laz", points, frame)
        assert (tmp_path / "a.laz").read_bytes() == (tmp_path / "b.laz").read_bytes()


def test_thin_takes_evenly():
    points = sample_points(1000)
    assert thin(points, 1000) is points
    few = thin(points, 100)
    assert len(few.xyz) == len(few.views) == 100
    np.testing.assert_array_equal(few.xyz[[0, -1]], points.xyz[[0, -1]])


def test_local_frame_by_hand():
    lat, lon, alt = FRAME.to_geodetic(np.array([[0.0, 0, 0], [0, 1000, 0], [0, 0, 25]])).T
    assert (lat[0], lon[0], alt[0]) == pytest.approx((50.8225, -0.1372, 40.0), abs=1e-9)
    assert (lat[1] - lat[0]) * 111_250 == pytest.approx(1000, rel=1e-3)  # length of a degree at 50.8 north
    assert lon[1] == pytest.approx(lon[0], abs=1e-9)
    assert alt[1] - alt[0] == pytest.approx(1000**2 / 2 / 6.37e6, rel=0.02)  # the plane leaves the round earth
    assert (lat[2], alt[2]) == pytest.approx((50.8225, 65.0), abs=1e-9)


def test_projected_distances_keep_to_the_scale_of_utm():
    xyz = np.array([[0.0, 0, 0], [100, 0, 0], [0, 100, 0]])
    projected = FRAME.to_projected(xyz)
    for other in (1, 2):
        assert np.linalg.norm(projected[other] - projected[0]) == pytest.approx(100, rel=1e-3)
    assert projected[2, 1] > projected[0, 1] + 99


def test_some_of_a_cloud_in_shards_are_those_of_the_whole(tmp_path):
    parts = [sample_points(count, seed) for seed, count in enumerate((700, 1, 900))]
    for number, part in enumerate(parts):
        folder = tmp_path / str(number)
        folder.mkdir()
        part.save(folder / "points.npz")
        (folder / "fuse.json").write_text(json.dumps({"points": len(part.xyz)}))
    inputs = {"fuse": tuple(tmp_path / str(number) for number in range(3))}
    for most in (100, 1600, 10_000):
        whole, some = thin(Points.concatenate(parts), most), read_some_points(inputs, most)
        for name, values in vars(whole).items():
            np.testing.assert_array_equal(getattr(some, name), values)
