"""From cloud to mesh: near the truth, of the asked size, and nowhere that no point is."""

import numpy as np
import pytest
from painted import ball_cloud, cloud, distances, hill_cloud, hills, paint
from scipy.spatial import cKDTree
from whole import build_mesh

from recon.config import Mesh
from recon.dense.view import Points
from recon.stage import Work
from recon.surface.mesh import Edges, components, face_areas, face_vectors

OPTIONS = Mesh(faces=4000)


def build(points, options=OPTIONS, threads=1):
    return build_mesh([points], options, Work(threads=threads))


@pytest.mark.parametrize(("noise", "low", "high"), [(0.0, 1e-5, 2.5e-3), (0.01, 1e-3, 6e-3), (0.03, 2e-3, 2e-2)])
def test_error_of_a_ball_follows_the_noise(rng, noise, low, high):
    mesh, _ = build(ball_cloud(rng, 30_000, noise))
    error = np.linalg.norm(mesh.vertices, axis=1) - 1
    assert low < np.sqrt((error**2).mean()) < high
    directions = ball_cloud(rng, 3000).xyz
    assert np.percentile(distances(mesh, directions), 99) < max(4 * high, 0.01)


def test_points_that_say_they_are_noisy_give_no_spikes(rng):
    points = ball_cloud(rng, 60_000, 0.04)
    points.normal[:] += rng.normal(size=points.normal.shape) * 0.5  # normals of noisy depth are noisier still
    honest = Points(**{**vars(points), "sigma": np.full(60_000, 0.04, np.float32)})
    sure = Points(**{**vars(points), "sigma": np.full(60_000, 1e-4, np.float32)})

    def tilt(mesh):
        outwards = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
        return np.degrees(np.arccos(np.clip(np.einsum("vc,vc->v", mesh.normals, outwards), -1, 1))).mean()

    smooth, rough = (build(cloud, Mesh(faces=20_000))[0] for cloud in (honest, sure))
    assert 0.5 < tilt(smooth) < 0.75 * tilt(rough)
    assert np.sqrt(((np.linalg.norm(smooth.vertices, axis=1) - 1) ** 2).mean()) < 0.02


def test_ball_is_closed_manifold_and_looks_outwards(rng):
    mesh, summary = build(ball_cloud(rng, 30_000, 0.005))
    assert 3600 < len(mesh.faces) <= 4000
    assert summary["faces"] == len(mesh.faces)
    assert (Edges.of(mesh.faces).faces == 2).all()
    centroid = mesh.vertices[mesh.faces].mean(axis=1)
    assert (np.einsum("fc,fc->f", face_vectors(mesh.vertices, mesh.faces), centroid) > 0).all()
    assert (np.einsum("vc,vc->v", mesh.normals, mesh.vertices) > 0.9).all()
    assert summary["area"] == pytest.approx(4 * np.pi, rel=0.02)


def test_inward_normals_give_an_inward_mesh(rng):
    points = ball_cloud(rng, 20_000)
    room = Points(points.xyz, -points.normal, points.rgb, points.confidence, points.views, points.sigma)
    mesh, _ = build(room)
    assert (np.einsum("vc,vc->v", mesh.normals, mesh.vertices) < -0.9).all()


def test_colours_are_those_of_the_points(rng):
    mesh, _ = build(ball_cloud(rng, 30_000))
    error = np.abs(mesh.rgb - paint(mesh.vertices.astype(float)))
    assert 0.05 < error.mean() < 4


def test_half_a_ball_gets_no_balloon(rng):
    points = ball_cloud(rng, 20_000, 0.003, keep=lambda d: d[:, 2] > 0)
    mesh, summary = build(points)
    away = cKDTree(points.xyz).query(mesh.vertices)[0]
    assert 1e-4 < away.max() < 0.1
    assert mesh.vertices[:, 2].min() > -0.1
    assert summary["area"] == pytest.approx(2 * np.pi, rel=0.1)
    assert summary["unsupported_share"] > 0.1


def test_hills_get_no_skirt(rng):
    mesh, _ = build(hill_cloud(rng, 30_000, 0.003))
    assert np.abs(mesh.vertices[:, :2]).max() < 1.05
    error = mesh.vertices[:, 2] - hills(mesh.vertices[:, :2])
    assert 1e-4 < np.sqrt((error**2).mean()) < 4e-3
    assert np.abs(error).max() < 0.04
    covered = np.stack(np.meshgrid(np.linspace(-0.93, 0.93, 40), np.linspace(-0.93, 0.93, 40)), axis=-1).reshape(-1, 2)
    assert distances(mesh, np.column_stack([covered, hills(covered)])).max() < 0.02


def test_exactly_flat_ground_is_a_surface(rng):
    xy = rng.uniform(-1, 1, (10_000, 2))
    mesh, summary = build(cloud(np.column_stack([xy, np.zeros(10_000)]), np.tile([0.0, 0, 1], (10_000, 1))))
    assert np.abs(mesh.vertices[:, 2]).max() < 0.01
    assert 3.85 < summary["area"] < 4.3


@pytest.mark.parametrize(("cap", "closed"), [(0.995, True), (0.8, False)])
def test_small_holes_are_closed_and_large_ones_stay(rng, cap, closed):
    mesh, summary = build(ball_cloud(rng, 30_000, keep=lambda d: d[:, 2] < cap), Mesh(faces=4000, max_hole=0.1))
    open_edges = (Edges.of(mesh.faces).faces == 1).sum()
    assert (open_edges == 0) == closed
    assert summary["holes_closed"] > 0 or not closed


def test_islands_are_removed_and_separate_things_stay(rng):
    large, second = ball_cloud(rng, 20_000), ball_cloud(rng, 6_000)
    speck = rng.normal(size=(60, 3))
    speck /= np.linalg.norm(speck, axis=1, keepdims=True)
    moved = cloud(second.xyz * 0.5 + [2.5, 0, 0], second.normal)
    mesh, summary = build(Points.concatenate([large, moved, cloud(speck * 0.015 + [0, 2, 0], speck)]))
    piece = components(Edges.of(mesh.faces).face_pairs()[0], len(mesh.faces))
    assert piece.max() + 1 == 2
    assert np.abs(mesh.vertices[:, 1]).max() < 1.1
    assert summary["islands_removed"] >= 1


def wall_with_a_figure(rng, sigma):
    """A wall from -1 to 1 with a round hole, and before it a disc of 0.3 % of its area: points, place and area of the disc."""
    spacing = 0.008
    xy = rng.uniform(-1, 1, (int(4 / spacing**2), 2))
    wall = xy[np.linalg.norm(xy, axis=1) > 0.3]
    area = 0.003 * (4 - np.pi * 0.3**2)
    disc = wall[: round(area / spacing**2)]
    radius, angle = (area / np.pi * rng.uniform(0, 1, len(disc))) ** 0.5, rng.uniform(0, 2 * np.pi, len(disc))
    front = 5 * 2 * spacing  # a cell is two spacings wide
    xyz = np.concatenate(
        [
            np.column_stack([wall, np.zeros(len(wall))]),
            np.column_stack([radius * np.cos(angle), radius * np.sin(angle), np.full(len(disc), front)]),
        ]
    )
    points = cloud(xyz, np.tile([0.0, 0, 1], (len(xyz), 1)))
    points.sigma[:] = np.where(xyz[:, 2] > 0, sigma, 1e-3)
    return points, front, area


@pytest.mark.parametrize(("sigma", "stays"), [(1e-3, True), (2e-2, False)], ids=["sharp", "doubtful"])
def test_a_small_figure_before_a_hole_stays_if_it_is_well_measured(rng, sigma, stays):
    points, front, area = wall_with_a_figure(rng, sigma)
    mesh, _ = build(points, Mesh(faces=50_000))
    middle = mesh.vertices[mesh.faces].mean(axis=1)
    figure = (np.abs(middle[:, 2] - front) < 0.02) & (np.linalg.norm(middle[:, :2], axis=1) < 0.1)
    found = face_areas(mesh.vertices, mesh.faces)[figure].sum()
    assert (0.6 * area < found < 1.5 * area) if stays else found == 0


def test_a_few_points_far_away_coarsen_nothing(rng):
    near = hill_cloud(rng, 30_000, 0.003)
    far = cloud(np.array([[1e4, 0, 0], [0, -1e4, 3.0], [9e3, 9e3, 10]]), np.tile([0.0, 0, 1], (3, 1)))
    mesh, summary = build(Points.concatenate([near, far]))
    error = mesh.vertices[:, 2] - hills(mesh.vertices[:, :2])
    assert 1e-4 < np.sqrt((error**2).mean()) < 4e-3
    assert np.abs(mesh.vertices[:, :2]).max() < 1.05
    assert summary["points_far"] == 3
    assert "3 points lie far from all others" in summary["warnings"][0]


def test_uncertain_rims_are_cut_and_uncertain_patches_amid_the_surface_stay(rng):
    points = hill_cloud(rng, 30_000)
    right, middle = points.xyz[:, 0] > 0.6, np.linalg.norm(points.xyz[:, :2], axis=1) < 0.2
    points.sigma[:] = np.where(right | middle, 4e-3, 1e-4)

    def area(mesh):
        return face_areas(mesh.vertices, mesh.faces).sum()

    whole, _ = build(points, Mesh(faces=4000, max_uncertainty=0))
    cut, summary = build(points, Mesh(faces=4000, max_uncertainty=3))
    assert 0.75 < area(cut) / area(whole) < 0.85
    assert summary["uncertain_share"] == pytest.approx(0.2, abs=0.03)
    lost = distances(cut, whole.vertices) > 0.05
    assert whole.vertices[lost, 0].min() > 0.5


def test_an_uncertain_patch_stays_though_it_has_a_small_hole(rng):
    points = hill_cloud(rng, 30_000)
    from_middle = np.linalg.norm(points.xyz[:, :2], axis=1)
    points.sigma[:] = np.where(from_middle < 0.3, 4e-3, 1e-4)
    keep = from_middle > 0.08
    points = Points(**{name: value[keep] for name, value in vars(points).items()})
    mesh, summary = build(points, Mesh(faces=4000, max_uncertainty=3, max_hole=0.2))
    assert summary["uncertain_share"] < 0.02
    ring = 0.2 * np.stack([np.cos(np.arange(12)), np.sin(np.arange(12))], axis=1)
    assert distances(mesh, np.column_stack([ring, hills(ring)])).max() < 0.02


def test_what_is_far_in_a_scene_from_near_to_far_is_no_rim(rng):
    points = hill_cloud(rng, 30_000)
    far = points.xyz[:, 0] > -0.5
    points.sigma[:] = np.where(far, 4e-3, 1e-4)  # three quarters of the surface, but only a tenth of the points
    keep = ~far | (rng.random(len(far)) < 0.04)
    points = Points(**{name: value[keep] for name, value in vars(points).items()})
    _, summary = build(points, Mesh(faces=4000, max_uncertainty=5))
    assert summary["uncertain_share"] < 0.15


@pytest.mark.parametrize("faces", [200, 1000, 8000])
def test_face_budget_is_kept(rng, faces):
    mesh, summary = build(ball_cloud(rng, 20_000), Mesh(faces=faces))
    assert 0.7 * faces < len(mesh.faces) <= faces
    assert summary["faces_before_simplification"] > faces


def test_same_bytes_whatever_the_threads(rng):
    points = ball_cloud(rng, 20_000, 0.01)
    first, second = build(points, threads=1), build(points, threads=2)
    assert first[1] == second[1]
    for name in ("vertices", "faces", "normals", "rgb"):
        assert getattr(first[0], name).tobytes() == getattr(second[0], name).tobytes()
