import numpy as np
import pytest

from recon.errors import ConfigError
from recon.simulate import scenes
from recon.simulate.kinds import plan_capture
from recon.simulate.options import Options
from recon.simulate.scenes import Stockpile, object_scene, room_scene, terrain_scene, wall_scene
from recon.simulate.shapes import box, frustum, frustum_volume, gable_roof, rock
from recon.simulate.textures import Material, fractal_noise

PLAIN = Material((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 1.0)


def volume_above_zero(part):
    """Divergence theorem; faces on z = 0 would add nothing."""
    a, b, c = (part.vertices[part.faces[:, k]] for k in range(3))
    return float((np.cross(b - a, c - a)[:, 2] * (a + b + c)[:, 2] / 6).sum())


def test_frustum_volume_is_exact():
    part = frustum(11.0, 3.0, 6.0, PLAIN)
    assert volume_above_zero(part) == pytest.approx(frustum_volume(11.0, 3.0, 6.0), rel=1e-12)
    cone = np.pi * 6 / 3 * (121 + 33 + 9)
    assert frustum_volume(11.0, 3.0, 6.0) == pytest.approx(cone, rel=1e-4)
    assert frustum_volume(11.0, 3.0, 6.0) < cone


def test_parts_face_outwards():
    assert volume_above_zero(box((2, 3, 4), PLAIN)) == pytest.approx(24)
    assert volume_above_zero(gable_roof((2, 3, 4), PLAIN)) == pytest.approx(12)
    ball = rock((1, 1, 1), 0.0, PLAIN, 0).moved((0, 0, 5))
    a, b, c = (ball.vertices[ball.faces[:, k]] for k in range(3))
    assert np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6 == pytest.approx(4 / 3 * np.pi, rel=2e-3)


def test_stockpile_of_the_terrain_has_its_volume():
    scene, pile = terrain_scene((50.0, 40.0), 2)
    assert isinstance(pile, Stockpile)
    heap = scene.faces[scene.material_of_face == 1]
    a, b, c = (scene.vertices[heap[:, k]].astype(np.float64) - [0, 0, pile.base_m] for k in range(3))
    measured = (np.cross(b - a, c - a)[:, 2] * (a + b + c)[:, 2] / 6).sum()
    assert measured == pytest.approx(pile.volume_m3, rel=1e-5)
    ground = scene.vertices[np.unique(scene.faces[scene.material_of_face == 0])]
    under = np.linalg.norm(ground[:, :2] - pile.center, axis=1) < pile.bottom_m + 2
    assert under.sum() > 50
    assert np.abs(ground[under, 2] - pile.base_m).max() < 1e-5
    assert np.ptp(ground[:, 2]) > 2


@pytest.mark.parametrize("make", [object_scene, room_scene, wall_scene, lambda seed: terrain_scene((40, 40), seed)[0]])
def test_scenes_are_sound(make):
    scene = make(1)
    a, b, c = (scene.vertices[scene.faces[:, k]].astype(np.float64) for k in range(3))
    assert np.linalg.norm(np.cross(b - a, c - a), axis=1).min() > 1e-9
    assert scene.faces.max() < len(scene.vertices)
    assert len(scene.material_of_face) == len(scene.faces)
    assert scene.material_of_face.max() == len(scene.materials) - 1


def test_seeds_change_the_scene():
    assert np.array_equal(object_scene(1).vertices, object_scene(1).vertices)
    assert not np.array_equal(object_scene(1).vertices, object_scene(2).vertices)


def test_noise_is_smooth_and_has_its_wavelength():
    x = np.stack([np.linspace(0, 50, 5001), np.full(5001, 0.3), np.full(5001, 0.7)], 1)
    values = fractal_noise(x, 1.0, 0, 1)
    assert np.abs(np.diff(values)).max() < 0.05
    assert values.std() > 0.1
    crossings = (np.diff(np.sign(values)) != 0).sum()
    assert 25 < crossings < 110


def test_a_plain_wall_is_the_same_wall_without_texture():
    papered, plain = room_scene(0), room_scene(0, plain_wall=True)
    flat = (np.abs(plain.vertices[plain.faces][..., 1] - 2) < 1e-6).all(1)
    assert flat.sum() == 2
    assert {plain.materials[k] for k in plain.material_of_face[flat]} == {scenes.PLAIN}
    assert not {plain.materials[k] for k in plain.material_of_face[~flat]} & {scenes.PLAIN}
    ways = [{tuple(sorted(map(tuple, triangle))) for triangle in scene.vertices[scene.faces].tolist()} for scene in (papered, plain)]
    assert ways[0] == ways[1]
    with pytest.raises(ConfigError, match="a plain wall is one of the room's"):
        plan_capture("object", Options(plain_wall=True))
