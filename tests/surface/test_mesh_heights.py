"""2.5D meshes: exact on slopes, the upper of two levels, holes up to a stated width."""

import numpy as np
import pytest
from painted import ball_cloud, cloud, hill_cloud, hills
from whole import build_mesh

from recon.config import Mesh
from recon.dense.view import Points
from recon.errors import NoSurface
from recon.stage import Work
from recon.surface import heightfield
from recon.surface.heightfield import height_field
from recon.surface.mesh import Edges
from recon.surface.thin import thin


def build(points, **options):
    return build_mesh([points], Mesh(faces=4000, mode="2.5d", **options), Work())


def field(points, faces=10**6, max_hole=0.04):
    return height_field(thin([points], 10**6), faces, max_hole)


@pytest.mark.parametrize(("noise", "low", "high"), [(0.0, 1e-5, 2e-3), (0.01, 1e-3, 6e-3)])
def test_error_of_hills_follows_the_noise(rng, noise, low, high):
    mesh, summary = build(hill_cloud(rng, 30_000, noise))
    error = mesh.vertices[:, 2] - hills(mesh.vertices[:, :2])
    assert low < np.sqrt((error**2).mean()) < high
    assert (mesh.normals[:, 2] > 0.5).all()
    assert np.abs(mesh.vertices[:, :2]).max() <= 1.02
    assert summary["mode"] == "2.5d"
    assert summary["faces"] <= 4000


def test_a_slope_is_met_exactly_and_holes_in_it_too(rng):
    xy = rng.uniform(-1, 1, (20_000, 2))
    xy = xy[np.linalg.norm(xy - (0.2, 0.1), axis=1) > 0.06]
    normal = np.array([-0.5, 0.25, 1.0]) / np.linalg.norm([-0.5, 0.25, 1.0])
    slope = cloud(np.column_stack([xy, xy @ (0.5, -0.25)]), np.tile(normal, (len(xy), 1)))
    closed, opened = field(slope, max_hole=0.1), field(slope, max_hole=0.03)
    for surface in (closed, opened):
        np.testing.assert_allclose(surface.vertices[:, 2], surface.vertices[:, :2] @ (0.5, -0.25), atol=1e-6)
    assert np.linalg.norm(closed.vertices[:, :2] - (0.2, 0.1), axis=1).min() < closed.cell
    assert np.linalg.norm(opened.vertices[:, :2] - (0.2, 0.1), axis=1).min() > 0.04
    assert closed.holes_closed > opened.holes_closed


def test_a_roof_hides_the_ground_below_it_and_floaters_hide_nothing(rng):
    up = np.array([0.0, 0.0, 1.0])
    ground, roof, floaters = (rng.uniform(-1, 1, (n, 2)) for n in (30_000, 30_000, 1500))
    roof *= 0.4
    xyz = np.concatenate([np.column_stack([xy, np.full(len(xy), z)]) for xy, z in ((ground, 0.0), (roof, 0.5), (floaters, 2.0))])
    surface = field(cloud(xyz, np.tile(up, (len(xyz), 1))), faces=2000)
    on_roof = (np.abs(surface.vertices[:, :2]) < 0.35).all(axis=1)
    off_roof = (np.abs(surface.vertices[:, :2]) > 0.45).any(axis=1)
    assert (np.abs(surface.vertices[on_roof, 2] - 0.5) < 0.01).mean() > 0.99
    # the few floaters that win their cell are no towers: the ground about them closes
    assert np.abs(surface.vertices[off_roof, 2]).max() < 0.51
    assert (np.abs(surface.vertices[off_roof, 2]) < 0.01).mean() > 0.99


def test_heights_are_one_sheet_of_manifold_faces(rng):
    mesh, _ = build(ball_cloud(rng, 20_000))
    assert Edges.of(mesh.faces).faces.max() == 2
    assert mesh.vertices[:, 2].min() > 0


def test_a_wall_alone_has_no_heights(rng):
    xz = rng.uniform(-1, 1, (5000, 2))
    wall = cloud(np.column_stack([xz[:, 0], np.zeros(5000), xz[:, 1]]), np.tile([0.0, 1.0, 0.0], (5000, 1)))
    with pytest.raises(NoSurface, match="0 of 5000 points face up"):
        build(wall)


def test_a_point_at_the_horizon_makes_no_grid_as_large_as_that(rng):
    ground = hill_cloud(rng, 30_000, 0.003)
    far = cloud(np.array([[2e4, 1e4, 0]]), np.array([[0.0, 0, 1]]))
    mesh, summary = build(Points.concatenate([ground, far]))
    assert np.abs(mesh.vertices[:, :2]).max() <= 1.02
    assert summary["points_far"] == 1
    assert summary["cell"] < 0.1


def test_a_thread_across_a_wide_rectangle_is_held_coarser_and_not_whole(rng, monkeypatch):
    monkeypatch.setattr(heightfield, "_MOST_CELLS", 10_000)
    along = rng.uniform(-1, 1, 20_000)
    thread = cloud(np.column_stack([along, along + rng.uniform(-0.05, 0.05, 20_000), along * 0]), np.tile([0.0, 0, 1], (20_000, 1)))
    assert 4 / field(thread).cell ** 2 < 11_000
