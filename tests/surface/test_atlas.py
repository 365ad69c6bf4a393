"""Charts on pages: nothing overlaps, texels are pixels, gutters don't bleed."""

import numpy as np
import pytest
from painted import grid, mesh_of

from recon.surface.atlas import pack
from recon.surface.charts import PADDING, make_charts
from recon.surface.mesh import Edges
from recon.surface.rasterise import Rasteriser, fill_gutters


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
    found = Rasteriser(charts, atlas).texels(-1)[0]
    assert len(np.unique(found.index)) == len(found.index)
    assert 200 < found.inside.sum() < 420  # at most two texels along each edge of a cell
    assert len(np.unique(found.face[found.inside])) > 0.7 * len(mesh.faces)


def test_texels_belong_to_their_triangle_and_fall_on_pixels():
    mesh, corners, pairs = sheet(10, 100)
    label = (mesh.vertices[mesh.faces].mean(axis=1)[:, 0] > 0).astype(np.int32)
    charts = make_charts(mesh, label, corners, pairs, 512)
    atlas = pack(charts.size, 512)
    raster = Rasteriser(charts, atlas)
    width = atlas.sizes[0][0]
    seen = np.zeros(atlas.sizes[0][0] * atlas.sizes[0][1], int)
    inside = 0
    for photo in (0, 1):
        texels = raster.texels(photo)[0]
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
    texels = Rasteriser(charts, atlas).texels(0)[0]
    x, y = texels.centres(atlas.sizes[0][0]).T
    inner = texels.inside
    assert x[~inner].min() == x[inner].min() - PADDING
    assert y[~inner].max() == y[inner].max() + PADDING


def test_values_at_corners_are_spread_linearly():
    mesh, corners, pairs = sheet(2, 40)
    charts = make_charts(mesh, np.zeros(len(mesh.faces), np.int32), corners, pairs, 512)
    atlas = pack(charts.size, 512)
    raster = Rasteriser(charts, atlas)
    texels = raster.texels(0)[0]
    page = np.full((*atlas.sizes[0][::-1], 3), 10, np.uint8)
    raster.add(page, texels, np.repeat(corners[..., :1] * 2, 3, axis=2).astype(np.float32))
    at = texels.centres(atlas.sizes[0][0])[texels.inside] - atlas.shift(charts)[0]
    np.testing.assert_allclose(page.reshape(-1, 3)[texels.index[texels.inside], 1], 10 + 2 * at[:, 0], atol=0.51)


def test_gutters_take_the_nearest_colour():
    page = np.zeros((9, 9, 3), np.uint8)
    painted = np.zeros((9, 9), bool)
    for y, x, value in ((1, 1, 50), (7, 7, 200)):
        page[y, x], painted[y, x] = value, True
    fill_gutters(page, painted)
    assert page[0, 0, 0] == page[2, 3, 0] == 50
    assert page[8, 8, 0] == page[6, 5, 0] == 200
    assert set(np.unique(page)) == {50, 200}
