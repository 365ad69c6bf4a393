"""Charts on pages: nothing overlaps, texels are pixels, gutters don't bleed."""

import numpy as np
import pytest
from painted import grid, mesh_of

from recon.surface.atlas import pack
from recon.surface.charts import PADDING, make_charts
from recon.surface.mesh import Edges
from recon.surface.rasterise import FaceMap, fill_gutters


def overlap(atlas, size):
    pages = [np.zeros((h, w), int) for w, h in atlas.sizes]
    for page, (x, y), (w, h) in zip(atlas.page, atlas.position, size, strict=True):
        assert min(x, y) >= 0
        assert x + w <= pages[page].shape[1]
        assert y + h <= pages[page].shape[0]
        pages[page][y : y + h, x : x + w] += 1
    return max(page.max() for page in pages), sum((page > 0).sum() for page in pages) / sum(page.size for page in pages)


@pytest.mark.parametrize(("count", "page_px"), [(1, 512), (300, 512), (2000, 256)])
def test_rectangles_do_not_overlap_and_fill_the_pages(rng, count, page_px):
    size = np.maximum(rng.exponential(20, (count, 2)).astype(np.int64), 5).clip(max=200)
    atlas = pack(size, page_px)
    most, fill = overlap(atlas, size)
    assert most == 1
    assert all(w <= page_px and h <= page_px for w, h in atlas.sizes)
    if count > 1:
        assert fill > 0.75


def test_few_rectangles_get_a_small_page():
    assert pack(np.array([[30, 40], [20, 10]]), 4096).sizes == ((64, 64),)


def sheet(cells, side_px):
    """A sheet seen square on, side_px wide, by one photo."""
    mesh = mesh_of(*grid(cells))
    corners = (mesh.vertices[mesh.faces][..., :2].astype(float) + 1) / 2 * side_px + 7.3
    pairs, _ = Edges.of(mesh.faces).face_pairs()
    return mesh, corners, pairs


def test_charts_part_where_the_photo_changes():
    mesh, corners, pairs = sheet(10, 100)
    label = (mesh.vertices[mesh.faces].mean(axis=1)[:, 0] > 0).astype(np.int32)
    charts = make_charts(mesh, label, corners, pairs, 512)
    assert len(charts.photo) == 2
    assert (charts.photo[charts.of_face] == label).all()
    assert (charts.scale == 1).all()


def test_a_chart_larger_than_a_page_is_cut_up():
    mesh, corners, pairs = sheet(20, 900)
    charts = make_charts(mesh, np.zeros(len(mesh.faces), np.int32), corners, pairs, 256)
    assert len(charts.photo) > 9
    assert charts.size.max() <= 256
    assert (charts.scale == 1).all()


def test_a_face_larger_than_a_page_is_scaled_down():
    mesh, corners, pairs = sheet(1, 900)
    charts = make_charts(mesh, np.zeros(len(mesh.faces), np.int32), corners, pairs, 256)
    assert charts.size.max() <= 256
    assert (charts.scale < 0.3).all()


def test_faces_without_photo_lie_flat_without_overlap():
    mesh, corners, pairs = sheet(10, 100)
    charts = make_charts(mesh, np.full(len(mesh.faces), -1, np.int32), np.full_like(corners, np.nan), pairs, 512)
    assert (charts.photo == -1).all()
    atlas = pack(charts.size, 512)
    found = FaceMap.of(charts, atlas).texels(0, np.arange(len(mesh.faces)))
    assert len(np.unique(found.index)) == len(found.index)
    assert 200 < found.inside.sum() < 420  # at most two texels along each edge of a cell
    assert len(np.unique(found.face[found.inside])) > 0.7 * len(mesh.faces)


def test_texels_belong_to_their_triangle_and_fall_on_pixels():
    mesh, corners, pairs = sheet(10, 100)
    label = (mesh.vertices[mesh.faces].mean(axis=1)[:, 0] > 0).astype(np.int32)
    charts = make_charts(mesh, label, corners, pairs, 512)
    atlas = pack(charts.size, 512)
    raster = FaceMap.of(charts, atlas)
    width = atlas.sizes[0][0]
    seen = np.zeros(atlas.sizes[0][0] * atlas.sizes[0][1], int)
    inside = 0
    for photo in (0, 1):
        texels = raster.texels(0, np.flatnonzero(label == photo))
        np.add.at(seen, texels.index, 1)
        inside += texels.inside.sum()
        at = texels.centres(width)[texels.inside]
        corner = raster.corners[texels.face[texels.inside]]
        edges = np.roll(corner, -1, axis=1) - corner
        to = at[:, None] - corner
        cross = edges[..., 0] * to[..., 1] - edges[..., 1] * to[..., 0]
        assert ((cross > -1e-6).all(axis=1) | (cross < 1e-6).all(axis=1)).all()
    assert seen.max() == 1
    assert abs(inside - 100 * 100) < 250
    shift = atlas.shift(charts)
    np.testing.assert_array_equal(shift, np.round(shift))
    uv = atlas.uv(charts)
    np.testing.assert_allclose(uv[..., 0] * width, raster.corners[..., 0], atol=1e-2)
    np.testing.assert_allclose((1 - uv[..., 1]) * atlas.sizes[0][1], raster.corners[..., 1], atol=1e-2)


def test_padding_surrounds_every_chart():
    mesh, corners, pairs = sheet(4, 40)
    charts = make_charts(mesh, np.zeros(len(mesh.faces), np.int32), corners, pairs, 512)
    atlas = pack(charts.size, 512)
    texels = FaceMap.of(charts, atlas, threads=2).texels(0, np.arange(len(mesh.faces)))
    x, y = texels.centres(atlas.sizes[0][0]).T
    inner = texels.inside
    assert x[~inner].min() == x[inner].min() - PADDING
    assert y[~inner].max() == y[inner].max() + PADDING


def ring(cells, side_px):
    """A sheet with most of its middle missing: a chart that leaves most of its rectangle empty."""
    mesh, corners, _ = sheet(cells, side_px)
    kept = np.abs(mesh.vertices[mesh.faces].mean(axis=1)[:, :2]).max(axis=1) > 0.8
    return mesh_of(mesh.vertices, mesh.faces[kept]), corners[kept], Edges.of(mesh.faces[kept]).face_pairs()[0]


def test_a_chart_with_much_empty_room_is_split_and_packs_better():
    mesh, corners, pairs = ring(40, 800)
    charts = make_charts(mesh, np.zeros(len(mesh.faces), np.int32), corners, pairs, 2048)
    edges = corners - np.roll(corners, -1, axis=1)
    covered = np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]).sum() / 2
    assert 4 <= len(charts.photo) <= 40
    assert covered > 0.5 * charts.size.prod(axis=1).sum()  # whole, the ring covers 0.36


def test_gutters_fade_between_the_colours_around_them():
    page = np.zeros((64, 48, 3), np.uint8)
    painted = np.zeros((64, 48), bool)
    page[:8], painted[:8] = 50, True
    page[-8:], painted[-8:] = 200, True
    fill_gutters(page, painted)
    assert (page[:8] == 50).all()
    assert (page[-8:] == 200).all()
    column = page[:, 20, 0].astype(int)
    assert column[10] < 90
    assert column[-10] > 160
    assert np.abs(np.diff(column)).max() < 40  # no edge that a mip level could blur into the charts


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (65, 3)])
def test_gutters_of_any_size_are_filled_from_a_single_texel(shape):
    page, painted = np.zeros((*shape, 3), np.uint8), np.zeros(shape, bool)
    page[0, 0], painted[0, 0] = (10, 20, 30), True
    fill_gutters(page, painted)
    assert (page == [10, 20, 30]).all()
