from __future__ import annotations

import laspy
import numpy as np
import pytest

from recon.dense.view import Points
from recon.products.copc import octree_of
from recon.products.pointcloud import write_laz


def hills(count: int) -> Points:
    """Points on a rolling surface, 100 by 60 units, normals up."""
    rng = np.random.default_rng(3)
    xyz = rng.uniform((-50, -30, 0), (50, 30, 0), (count, 3)).astype(np.float32)
    xyz[:, 2] = 3 * np.sin(xyz[:, 0] / 7) * np.cos(xyz[:, 1] / 9)
    ones = np.ones(count, np.float32)
    normal = np.tile(np.float32([0, 0, 1]), (count, 1))
    return Points(xyz, normal, rng.integers(0, 255, (count, 3)).astype(np.uint8), ones / 2, ones.astype(np.uint8), ones / 100)


@pytest.fixture(scope="module")
def points() -> Points:
    return hills(250_000)


@pytest.fixture(scope="module")
def path(tmp_path_factory, points):
    path = tmp_path_factory.mktemp("copc") / "points.laz"
    write_laz(path, points, None)
    return path


def test_another_reader_finds_every_point_once(path, points):
    with laspy.CopcReader.open(path) as reader:
        every = reader.query()
        np.testing.assert_array_equal(np.sort(every.x), np.sort(laspy.read(path).x))
        assert len(every) == len(points.xyz) == reader.header.point_count
        np.testing.assert_allclose(reader.header.mins, points.xyz.min(axis=0), atol=1e-5)


def test_header_promises_no_ranges_of_extra_fields(path):
    """Readers refuse ranges that no number holds."""
    with laspy.open(path) as reader:
        assert reader.header.global_encoding.wkt  # which LAS 1.4 demands of point formats 6 and up
        fields = reader.header.vlrs.get("ExtraBytesVlr")[0].extra_bytes_structs
    assert [field.name.rstrip(b"\0") for field in fields][:3] == [b"confidence", b"views", b"sigma"]
    assert not any(field.options for field in fields)


def test_each_level_fills_the_cloud_evenly(path):
    with laspy.CopcReader.open(path) as reader:
        coarse = reader.query(level=0)
        spacing = reader.copc_info.spacing
    xy = np.column_stack([coarse.x, coarse.y])
    cells = np.unique(np.floor((xy - xy.min(axis=0)) / (4 * spacing)).astype(int), axis=0)
    assert len(coarse) < 20_000
    assert len(cells) > 0.95 * (100 / (4 * spacing)) * (60 / (4 * spacing))  # no hole in the first picture


def test_a_box_is_found_in_the_nodes_that_touch_it(path, points):
    box = laspy.copc.Bounds(mins=np.array([10.0, 10.0]), maxs=np.array([15.0, 15.0]))
    with laspy.CopcReader.open(path) as reader:
        found = reader.query(bounds=box)
    inside = ((points.xyz[:, :2] >= 10) & (points.xyz[:, :2] <= 15)).all(axis=1)
    assert len(found) == pytest.approx(inside.sum(), abs=3)  # those on the rim are rounded


def test_children_lie_in_their_parents(points):
    tree = octree_of(points.xyz.astype(np.float64))
    np.testing.assert_array_equal(np.sort(tree.order), np.arange(len(points.xyz)))
    keys = {tuple(key) for key in tree.keys.tolist()}
    assert max(level for level, *_ in keys) >= 2
    for level, x, y, z in keys - {(0, 0, 0, 0)}:
        assert (level - 1, x // 2, y // 2, z // 2) in keys
    ends = np.cumsum(tree.counts)
    for key, count, end in zip(tree.keys, tree.counts, ends, strict=True):
        size = 2 * tree.half_size / 2 ** int(key[0])
        low = tree.center - tree.half_size + key[1:] * size
        xyz = points.xyz[tree.order[end - count : end]]
        assert (xyz >= low - 1e-4).all()
        assert (xyz <= low + size + 1e-4).all()


def test_points_at_one_place_and_no_points_at_all(tmp_path):
    same = hills(60_000)
    same.xyz[:] = 1.5
    tree = octree_of(same.xyz.astype(np.float64))
    assert tree.counts.sum() == 60_000
    few = hills(60_000).take(np.zeros(0, np.int64))
    write_laz(tmp_path / "none.laz", few, None)
    with laspy.CopcReader.open(tmp_path / "none.laz") as reader:
        assert reader.header.point_count == 0
    assert len(laspy.read(tmp_path / "none.laz")) == 0
