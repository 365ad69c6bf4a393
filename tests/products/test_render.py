from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import open3d as o3d
import pytest
from fake_run import write_texture

from recon.products.raster import draw, to_camera
from recon.products.render import MeshRenderer, Viewpoint, render_mesh, render_points
from recon.products.textured import TexturedMesh

CORNERS = {"red": (230, 40, 40), "green": (40, 230, 40), "blue": (40, 40, 230), "grey": (128, 128, 128)}


@pytest.fixture
def wall(tmp_path: Path) -> TexturedMesh:
    """A 2 x 2 wall in the plane y = 0 that faces south; page: red top left, green top right, blue bottom left, grey bottom right."""
    page = np.zeros((128, 128, 3), np.uint8)
    page[:64, :64], page[:64, 64:], page[64:, :64], page[64:, 64:] = CORNERS.values()
    cv2.imwrite(str(tmp_path / "page_0.jpg"), page[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
    vertices = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    uv = ((vertices[:, [0, 2]] + 1) / 2)[faces].astype(np.float32)
    normals = np.tile(np.array([0, -1, 0], np.float32), (4, 1))
    return TexturedMesh(vertices, normals, faces, uv, np.zeros(2, np.int32), (tmp_path / "page_0.jpg",))


def from_south(width: int = 200, height: int = 200) -> Viewpoint:
    return Viewpoint.look_at(np.array([0, -5.0, 0]), np.zeros(3), width, height, fov_deg=40)


def test_mesh_is_upright_and_not_mirrored(wall):
    picture = render_mesh(wall, from_south()).astype(int)
    assert picture.shape == (200, 200, 3)
    for (row, column), colour in zip([(65, 65), (65, 135), (135, 65), (135, 135)], CORNERS.values(), strict=True):
        assert np.abs(picture[row, column] - colour).max() < 12


def test_mesh_edge_is_where_the_projection_says(wall):
    view = from_south()
    picture = render_mesh(wall, view)
    edge = 100 - view.focal_px / 5  # x of the wall's left edge: focal length times -1 / 5
    row = picture[65].astype(int)
    background = np.abs(row - picture[3, 3]).sum(axis=1) < 40
    assert abs(np.flatnonzero(~background)[0] - edge) <= 1


def test_a_front_hides_the_back_of_what_is_nearer(wall):
    """From the north the wall shows its back, unless something behind it shows its front."""
    north = Viewpoint.look_at(np.array([0, 5.0, 0]), np.zeros(3), 200, 200, fov_deg=40)
    assert np.abs(render_mesh(wall, north)[65, 135].astype(int) - CORNERS["red"]).max() < 12
    other = np.where([False, True, False], -1 - wall.vertices, wall.vertices).astype(np.float32)  # at y = -1
    both = replace(
        wall,
        vertices=np.concatenate([wall.vertices, other]),
        normals=np.concatenate([wall.normals, -wall.normals]),
        faces=np.concatenate([wall.faces, wall.faces[:, ::-1] + 4]),
        uv=np.concatenate([wall.uv, np.full_like(wall.uv, 0.9)]),
        page=np.zeros(4, np.int32),
    )
    assert np.abs(render_mesh(both, north)[100, 135].astype(int) - CORNERS["green"]).max() < 12


def test_edges_are_smoothed(wall):
    view = Viewpoint.look_at(np.array([0.4, -5.0, 0.3]), np.zeros(3), 200, 200, fov_deg=40)
    picture = render_mesh(wall, view).reshape(-1, 3)
    assert len(np.unique(picture, axis=0)) > 50


def test_headlight_darkens_what_turns_away_only_a_little(wall):
    straight = render_mesh(wall, from_south())[65, 65].astype(float)
    eye = 5 * np.array([np.sin(1.2), -np.cos(1.2), 0])
    view = Viewpoint.look_at(eye, np.array([-0.5, 0, 0.5]), 200, 200, fov_deg=10)
    oblique = render_mesh(wall, view)[100, 100].astype(float)
    ratio = oblique[0] / straight[0]
    assert 0.7 < ratio < 0.95


def test_picture_is_the_same_for_any_number_of_threads(tmp_path):
    write_texture(tmp_path)
    mesh = TexturedMesh.load(tmp_path)
    view = Viewpoint.look_at(np.array([8, -9.0, 6]), np.zeros(3), 161, 91)
    np.testing.assert_array_equal(render_mesh(mesh, view, threads=1), render_mesh(mesh, view, threads=2))


def test_each_page_lends_its_own_colours(tmp_path):
    write_texture(tmp_path)
    mesh = TexturedMesh.load(tmp_path)
    picture = render_mesh(mesh, Viewpoint.look_at(np.array([0, -12.0, 0.5]), np.array([0, 0, 0.5]), 200, 200)).astype(int)
    ball, ground = (
        picture[95, 100],
        render_mesh(mesh, Viewpoint.look_at(np.array([4, 4, 9.0]), np.array([4, 4.1, 0]), 50, 50))[25, 25].astype(int),
    )
    assert ball[0] > ball[1] + 50  # red
    assert ground[1] > ground[0]  # green


def test_every_sample_shows_what_a_ray_meets(rng):
    """Against Embree, on a rugged surface and with faces beside and behind the eye."""
    axis = np.linspace(-2, 2, 31)
    xy = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    vertices = np.column_stack([xy, 0.15 * rng.normal(size=len(xy))]).astype(np.float32)
    index = np.arange(31 * 31).reshape(31, 31)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    view = Viewpoint.look_at(np.array([0.3, -0.4, 0.6]), np.array([0.9, 1.6, 0.1]), 90, 70, fov_deg=80)
    found = draw(to_camera(vertices, view.R, view.eye), faces, (0, 70), 90, view.focal_px, (45.0, 35.0))
    x, y = np.meshgrid((np.arange(90) + 0.5 - 45) / view.focal_px, (np.arange(70) + 0.5 - 35) / view.focal_px)
    direction = np.stack([x, y, np.ones_like(x)], axis=-1) @ view.R
    rays = np.concatenate([np.broadcast_to(view.eye, direction.shape), direction], axis=-1).astype(np.float32)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(vertices), o3d.core.Tensor(faces.astype(np.uint32)))
    hits = scene.cast_rays(o3d.core.Tensor(rays))
    true = hits["primitive_ids"].numpy().astype(np.int64)
    true[true == scene.INVALID_ID] = -1
    assert 0.3 < (true >= 0).mean() < 1
    assert (found.face == true).mean() > 0.999
    same = (found.face == true) & (true >= 0)
    np.testing.assert_allclose(found.weight[same], hits["primitive_uvs"].numpy()[same], atol=2e-3)


def test_clay_shows_shape_without_colour(wall):
    picture = MeshRenderer(wall, clay=True).render(from_south())
    assert np.ptp(picture[65, 65].astype(int)) < 15
    np.testing.assert_array_equal(picture[65, 65], picture[135, 135])
    assert (np.abs(picture[65, 65].astype(int) - picture[3, 3]) > 10).any()


def test_fine_texture_seen_from_afar_is_its_mean(tmp_path):
    """A chequer of single texels, four to a sample: without mip levels it would be a moire of black and white."""
    chequer = np.indices((256, 256)).sum(axis=0) % 2 * 255
    cv2.imwrite(str(tmp_path / "page_0.png"), np.repeat(chequer[..., None].astype(np.uint8), 3, axis=2))
    vertices = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    uv = ((vertices[:, [0, 2]] + 1) / 2)[faces].astype(np.float32)
    normals = np.tile(np.array([0, -1, 0], np.float32), (4, 1))
    mesh = TexturedMesh(vertices, normals, faces, uv, np.zeros(2, np.int32), (tmp_path / "page_0.png",))
    picture = render_mesh(mesh, Viewpoint.look_at(np.array([0, -5.0, 0]), np.zeros(3), 61, 61, fov_deg=60))
    wall = picture[26:35, 26:35].astype(float)
    assert np.abs(wall - 127).max() < 6


def test_nothing_to_see_is_background(wall):
    away = Viewpoint.look_at(np.array([0, -5.0, 0]), np.array([0, -10.0, 0]), 40, 30)
    picture = render_mesh(wall, away)
    assert picture.min() > 200
    assert (picture == picture[:, :1]).all()


def test_nearest_point_wins_and_lands_where_it_should():
    view = from_south()
    xyz = np.array([[0, 0, 0], [0, 2, 0], [1, 0, 1], [0, -9, 0]], np.float32)  # centre, behind it, top right, behind the camera
    rgb = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]], np.uint8)
    picture = render_points(xyz, rgb, view, size_px=3)
    assert tuple(picture[100, 100]) == (255, 0, 0)
    x = y = round(view.focal_px / 5)
    assert tuple(picture[100 - y, 100 + x]) == (0, 0, 255)
    assert not (picture == [0, 255, 0]).all(axis=2).any()
    assert not (picture == [9, 9, 9]).all(axis=2).any()
    assert (picture == [255, 0, 0]).all(axis=2).sum() == 9
