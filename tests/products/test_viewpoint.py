from __future__ import annotations

import numpy as np
import pytest

from recon.products.render import Viewpoint
from recon.products.textured import TexturedMesh
from recon.products.viewpoint import choose_orbit, orbit_of


def box(rng: np.random.Generator, size: tuple[float, float, float], count: int = 3000) -> np.ndarray:
    return (rng.uniform(-0.5, 0.5, (count, 3)) * size).astype(np.float32)


def ring(count: int, radius: float, height: float, start_deg: float = 0, end_deg: float = 360) -> np.ndarray:
    angle = np.radians(np.linspace(start_deg, end_deg, count, endpoint=False))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(count, height)], axis=1)


def project(view: Viewpoint, xyz: np.ndarray) -> np.ndarray:
    cam = (xyz - view.eye) @ view.R.T
    assert (cam[:, 2] > 0).all()
    return cam[:, :2] / cam[:, 2:] * view.focal_px + np.array([view.width, view.height]) / 2


def views_of(xyz: np.ndarray, count: int = 4) -> np.ndarray:
    return np.full(len(xyz), count, np.uint8)


@pytest.mark.parametrize("size", [(2, 2, 2), (10, 3, 1), (1, 1, 8), (100, 80, 0.5), (1e-3, 2e-3, 1e-3)])
def test_subject_fills_the_picture_and_stays_inside(rng, size):
    xyz = box(rng, size)
    orbit = choose_orbit(xyz, views_of(xyz), ring(12, 3 * max(size), max(size)))
    pixel = project(orbit.best(1600, 900), orbit.subject)
    assert pixel.min() > 0
    assert (pixel < [1600, 900]).all()
    share = np.ptp(pixel, axis=0) / [1600, 900]
    assert 0.7 < share.max() <= 0.9
    assert np.abs((pixel.max(axis=0) + pixel.min(axis=0)) / 2 - [800, 450]).max() < 40


def test_turn_keeps_the_subject_in_every_picture(rng):
    xyz = box(rng, (6, 2, 3))
    orbit = choose_orbit(xyz, views_of(xyz), ring(12, 9, 4))
    assert not orbit.one_sided
    turn = orbit.turn(24, 960, 540)
    for view in turn:
        pixel = project(view, orbit.subject)
        assert pixel.min() > 0
        assert (pixel < [960, 540]).all()
    azimuths = np.unwrap([np.arctan2(-view.R[2, 1], -view.R[2, 0]) for view in turn])
    np.testing.assert_allclose(np.diff(azimuths), 2 * np.pi / 24, atol=1e-9)


def test_strays_do_not_push_the_subject_away(rng):
    xyz = box(rng, (2, 2, 2))
    strays = (rng.normal(size=(15, 3)) * 500).astype(np.float32)
    both = np.concatenate([xyz, strays])
    cameras = ring(12, 6, 3)
    alone, together = (choose_orbit(points, views_of(points), cameras).best(1600, 900) for points in (xyz, both))
    assert np.linalg.norm(together.eye) < 1.1 * np.linalg.norm(alone.eye)


def test_a_house_across_the_street_does_not_push_the_subject_away(rng):
    fountain, house = box(rng, (4, 1, 3), 4000), box(rng, (6, 0.2, 6), 150) + np.array([40, 10, 3], np.float32)
    both = np.concatenate([fountain, house])
    cameras = ring(9, 8, 0, 240, 300)
    alone, together = (choose_orbit(points, views_of(points), cameras).best(1600, 900) for points in (fountain, both))
    assert np.linalg.norm(together.eye - alone.eye) < 0.15 * np.linalg.norm(alone.eye)


def test_what_many_images_saw_is_the_subject(rng):
    thing, ground = box(rng, (1, 1, 1), 4000), box(rng, (40, 40, 0.1), 4000)
    views = np.concatenate([np.full(4000, 200), np.full(4000, 2)]).astype(np.uint8)
    orbit = choose_orbit(np.concatenate([thing, ground]), views, ring(12, 4, 2))
    assert np.ptp(orbit.subject, axis=0).max() < 2


def test_one_sided_capture_is_shown_from_its_side_and_swings(rng):
    facade = box(rng, (10, 0.5, 6))
    cameras = ring(9, 12, 0, 240, 300)  # from the south
    orbit = choose_orbit(facade, views_of(facade), cameras)
    assert orbit.one_sided
    assert orbit.best(1600, 900).eye[1] < -5
    assert all(view.eye[1] < 0 for view in orbit.turn(30, 960, 540))


def test_nadir_flight_is_shown_obliquely_and_turns(rng):
    ground = box(rng, (80, 60, 4))
    x, y = np.meshgrid(np.linspace(-30, 30, 5), np.linspace(-20, 20, 4))
    cameras = np.stack([x.ravel(), y.ravel(), np.full(20, 60.0)], axis=1)
    orbit = choose_orbit(ground, views_of(ground), cameras)
    assert not orbit.one_sided
    assert 35 < orbit.elevation_deg < 50


@pytest.mark.parametrize("count", [8, 12, 96])
def test_a_swing_passes_each_viewpoint_twice_and_says_when(rng, count):
    points = rng.normal(size=(500, 3)).astype(np.float32)
    orbit = choose_orbit(points, np.full(500, 3, np.uint8), np.array([[10.0, y, 1] for y in range(-3, 4)]))
    assert orbit.one_sided
    views = orbit.turn(count, 160, 90)
    for number, view in enumerate(views):
        twin = orbit.returns_at(number, count)
        assert orbit.returns_at(twin, count) == number
        np.testing.assert_allclose(views[twin].eye, view.eye, atol=1e-9)
    assert sum(orbit.returns_at(number, count) == number for number in range(count)) == (2 if count % 4 == 0 else 0)


def test_a_mesh_is_framed_on_what_the_cameras_show_large(rng):
    def panel(middle: np.ndarray, half: float) -> np.ndarray:
        corners = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]]) * half
        return middle + corners

    # a wall of many small triangles, and a house far behind it, three times as wide, of two
    x, z = np.meshgrid(np.linspace(-2, 2, 21), np.linspace(-1, 1, 11))
    wall = np.column_stack([x.ravel(), np.zeros(x.size), z.ravel()])
    corner = (np.arange(10)[:, None] * 21 + np.arange(20)).ravel()
    faces = np.concatenate([np.stack([corner, corner + 1, corner + 22], 1), np.stack([corner, corner + 22, corner + 21], 1)])
    vertices = np.concatenate([wall, panel(np.array([0, 60, 0]), 6.0)]).astype(np.float32)
    faces = np.concatenate([faces, np.array([[0, 1, 2], [0, 2, 3]]) + len(wall)]).astype(np.int32)
    none = np.zeros((len(faces), 3, 2), np.float32)
    mesh = TexturedMesh(vertices, np.zeros_like(vertices), faces, none, np.zeros(len(faces), np.int32), ())
    view = orbit_of(mesh, ring(9, 5, 0, 240, 300)).best(1600, 900)
    pixel = project(view, wall)
    assert (pixel > 0).all()
    assert (pixel < [1600, 900]).all()
    assert (np.ptp(pixel, axis=0) / [1600, 900]).max() > 0.7
