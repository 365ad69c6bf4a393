"""Edge collapse: shape, borders and connectivity stay, on any number of threads."""

import numpy as np
import open3d as o3d
import pytest
from painted import grid

from recon.surface.collapse import collapse_edges
from recon.surface.mesh import Edges, components, face_areas, face_vectors, split_bowties
from recon.surface.simplify import simplify

Mesh = tuple[np.ndarray, np.ndarray]


def hills(side: int = 120) -> Mesh:
    return grid(side, lambda xy: 0.2 * np.sin(5 * xy[:, 0]) * np.cos(4 * xy[:, 1]) + 0.02 * np.sin(40 * xy[:, 0]))


def ball(resolution: int = 60) -> Mesh:
    made = o3d.geometry.TriangleMesh.create_sphere(1.0, resolution)
    return np.asarray(made.vertices), np.asarray(made.triangles)


def ring() -> Mesh:
    made = o3d.geometry.TriangleMesh.create_torus(1.0, 0.4, 80, 50)
    return np.asarray(made.vertices), np.asarray(made.triangles)


def characteristic(faces: np.ndarray) -> int:
    return len(np.unique(faces)) - len(Edges.of(faces).vertices) + len(faces)


def fewer(mesh: Mesh, target: int, threads: int = 2) -> Mesh:
    return collapse_edges(mesh[0].astype(np.float64), mesh[1].astype(np.int32), target, threads)


def spread(mesh: Mesh, count: int = 50_000) -> np.ndarray:
    """(count, 3) places all over the mesh."""
    rng = np.random.default_rng(3)
    area = face_areas(*mesh)
    corners = mesh[0][mesh[1][rng.choice(len(area), count, p=area / area.sum())]]
    return np.einsum("nk,nkc->nc", rng.dirichlet((1, 1, 1), count), corners)


def apart(one: Mesh, other: Mesh) -> float:
    """Mean distance of either from the other."""

    def off(places: np.ndarray, mesh: Mesh) -> float:
        scene = o3d.t.geometry.RaycastingScene()
        scene.add_triangles(mesh[0].astype(np.float32), mesh[1].astype(np.uint32))
        return float(scene.compute_distance(places.astype(np.float32)).numpy().mean())

    return (off(spread(one), other) + off(spread(other), one)) / 2


@pytest.mark.parametrize("target", [2000, 301, 100])
def test_as_many_faces_stay_as_are_wanted(target: int):
    vertices, faces = fewer(hills(), target)
    assert target - 1 <= len(faces) <= target
    assert sorted(np.unique(faces)) == list(range(len(vertices)))


def test_threads_change_nothing():
    first = fewer(hills(), 1500, 1)
    for threads in (2, 5):
        for one, other in zip(first, fewer(hills(), 1500, threads), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("make", [ball, ring])
def test_closed_surfaces_stay_closed_and_keep_their_handles(make):
    mesh = make()
    _, faces = fewer(mesh, 500)
    assert len(faces) == 500
    assert (Edges.of(faces).faces == 2).all()
    assert characteristic(faces) == characteristic(mesh[1]) == (2 if make is ball else 0)


def test_it_is_as_close_as_the_sequential_collapse():
    mesh = hills()
    made = o3d.geometry.TriangleMesh(o3d.utility.Vector3dVector(mesh[0]), o3d.utility.Vector3iVector(mesh[1]))
    made = made.simplify_quadric_decimation(2000)
    theirs = apart(mesh, (np.asarray(made.vertices), np.asarray(made.triangles)))
    assert apart(mesh, mesh) < 0.01 * theirs
    assert apart(mesh, fewer(mesh, 2000)) < 1.02 * theirs


def test_a_crease_stays_sharp():
    vertices, faces = grid(80, lambda xy: 0.5 * np.abs(xy[:, 0]))
    at, few = fewer((vertices, faces), 60)
    np.testing.assert_allclose(at[:, 2], 0.5 * np.abs(at[:, 0]), atol=1e-3)
    assert np.ptp(at[np.abs(at[:, 0]) < 1e-3, 1]) == pytest.approx(2, rel=1e-3), "the ridge has vertices from end to end"
    assert face_areas(at, few).sum() == pytest.approx(4 * np.hypot(1, 0.5), rel=1e-3)


def test_borders_of_a_sheet_and_of_its_holes_stay():
    vertices, faces = grid(101, lambda xy: np.zeros(len(xy)))
    centre = vertices[faces].mean(axis=1)[:, :2]
    holed = faces[(np.abs(centre - [0.4, 0.4]).max(axis=1) > 0.2) & (np.abs(centre + 0.5).max(axis=1) > 0.1)]
    used = np.unique(holed)
    renumbered = np.searchsorted(used, holed)
    at, few = fewer((vertices[used], renumbered), 80)
    edges = Edges.of(few)
    rim = edges.vertices[edges.faces == 1]
    assert len(set(components(np.searchsorted(np.unique(rim), rim), len(np.unique(rim))))) == 3
    assert face_areas(at, few).sum() == pytest.approx(4 - 0.16 - 0.04, rel=5e-3)


def test_no_face_turns_over_or_becomes_a_sliver():
    vertices, faces = fewer(hills(), 1000)
    assert (face_vectors(vertices, faces)[:, 2] > 0).all()
    corners = vertices[faces]
    sides = ((corners - np.roll(corners, 1, axis=1)) ** 2).sum(axis=(1, 2))
    assert (4 * 3**0.5 * face_areas(vertices, faces) / sides).min() > 0.05


def test_far_from_the_origin_it_is_the_same():
    vertices, faces = hills(60)
    place = np.array([4e5, 5e6, 300])
    near, far = fewer((vertices, faces), 600), fewer((vertices + place, faces), 600)
    assert apart(near, (far[0] - place, far[1])) < 1e-5


def test_faces_without_area_are_no_obstacle():
    vertices, faces = hills(60)
    vertices[faces[1000:1200, 0]] = vertices[faces[1000:1200, 1]]
    assert (face_areas(vertices, faces) == 0).any()
    at, few = fewer((vertices, faces), 500)
    assert face_areas(at, few).min() > 0


def test_what_can_not_collapse_is_left_to_a_rougher_way():
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    many = np.concatenate([corners + np.array([3.0 * n, 0, 0]) for n in range(100)]), np.concatenate([faces + 4 * n for n in range(100)])
    assert len(fewer(many, 100)[1]) == 400
    _, few = simplify(many[0], many[1].astype(np.int32), 100, 2)
    assert len(few) <= 100
    assert Edges.of(few).faces.max(initial=0) <= 2


@pytest.mark.parametrize("seed", range(60))
def test_whatever_the_tangle_it_ends_and_stays_manifold(seed: int):
    """Random faces, cleaned: patches with all kinds of borders, some that no side can be told of, some with coincident vertices."""
    rng = np.random.default_rng(seed)
    vertices, faces = rng.normal(size=(rng.integers(4, 60), 3)), rng.integers(0, 1 << 20, (rng.integers(1, 200), 3))
    mesh = simplify(np.round(vertices) if seed % 5 == 0 else vertices, (faces % len(vertices)).astype(np.int32), 10**6)
    at, few = fewer(mesh, int(rng.integers(1, len(mesh[1]) + 1)), 3)
    assert len(few) <= len(mesh[1])
    assert Edges.of(few).faces.max(initial=0) <= 2
    assert len(split_bowties(at, few)[0]) == len(at)
    assert len(np.unique(np.sort(few, axis=1), axis=0)) == len(few)
    assert np.isfinite(at).all()
