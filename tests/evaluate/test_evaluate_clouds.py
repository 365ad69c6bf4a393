import numpy as np
import pytest

from recon.errors import InputError, NotFound
from recon.evaluate.clouds import Surface, cloud_errors, sample_mesh, thin
from recon.evaluate.volumes import heap_volume
from recon.simulate.cameras import look_at, pose
from recon.simulate.sensors import make_camera
from recon.simulate.shapes import box, frustum, frustum_volume, heightfield
from recon.simulate.textures import Material
from recon.simulate.write import truth_model

PLAIN = Material((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 1.0)


def cameras(centers, target=(0, 0, 0.5)):
    poses = [pose(look_at(np.asarray(c, float), np.asarray(target, float)), np.asarray(c, float)) for c in centers]
    return truth_model(make_camera((320, 240), 0.6), [f"{n}.jpg" for n in range(len(poses))], poses)


@pytest.fixture(scope="module")
def cube():
    """A cube of 1 m, seen by five cameras in front of its side at y = -0.5, a little from above."""
    part = box((1, 1, 1), PLAIN)
    return part, Surface.build(part.vertices, part.faces, cameras([(x, -3, 2.0) for x in (-0.4, -0.2, 0, 0.2, 0.4)]))


def test_only_what_cameras_see_must_be_covered(cube):
    _, surface = cube
    assert len(surface.seen) > 10_000
    front = np.abs(surface.seen[:, 1] + 0.5) < 1e-9
    top = np.abs(surface.seen[:, 2] - 1) < 1e-9
    assert (front | top).mean() > 0.999  # but for a hair beside the edges
    assert front.any()
    assert top.any()
    assert surface.size == pytest.approx(np.sqrt(3), rel=0.01)
    half = surface.seen[front]
    errors = cloud_errors(half, surface, [0.01])
    assert errors.accuracy == (1.0,)
    assert errors.completeness[0] == pytest.approx(front.mean(), abs=0.02)
    assert errors.f_score[0] == pytest.approx(2 * front.mean() / (1 + front.mean()), abs=0.02)


def test_two_views_are_not_enough():
    part = box((1, 1, 1), PLAIN)
    with pytest.raises(InputError, match="seen by 3 cameras"):
        Surface.build(part.vertices, part.faces, cameras([(-0.2, -3, 2.0), (0.2, -3, 2.0)]))


def test_what_hides_behind_something_is_not_asked_for():
    ground = heightfield(np.linspace(-2, 2, 3), np.linspace(-2, 2, 3), np.zeros((3, 3)), PLAIN)
    block = box((1, 1, 1), PLAIN)
    vertices = np.concatenate([ground.vertices, block.vertices])
    faces = np.concatenate([ground.faces, block.faces + len(ground.vertices)])
    surface = Surface.build(vertices, faces, cameras([(x, -4, 1.2) for x in (-0.1, 0, 0.1)]))
    on_ground = surface.seen[surface.seen[:, 2] < 1e-9]
    assert len(on_ground) > 100
    inside_block = (np.abs(on_ground[:, :2]) < 0.49).all(1)
    shadow = (np.abs(on_ground[:, 0]) < 0.4) & (on_ground[:, 1] > 0.5) & (on_ground[:, 1] < 1.5)
    assert not inside_block.any()
    assert not shadow.any()


@pytest.mark.parametrize("sigma", [0.002, 0.01])
def test_noise_put_in_comes_out(cube, sigma):
    _, surface = cube
    rng = np.random.default_rng(0)
    normal = np.where(np.abs(surface.seen[:, 1:2] + 0.5) < 1e-9, [0, 1, 0], [0, 0, 1])
    noisy = surface.seen + normal * sigma * rng.normal(size=(len(surface.seen), 1))
    errors = cloud_errors(noisy, surface, [sigma, 2 * sigma])
    assert errors.accuracy[0] == pytest.approx(0.68, abs=0.04)
    assert errors.accuracy[1] == pytest.approx(0.95, abs=0.03)
    assert errors.accuracy_distance == pytest.approx(1.645 * sigma, rel=0.1)
    assert 0 < errors.completeness_distance < 2 * sigma + 0.02
    summary = errors.summary(surface.size)
    assert summary["accuracy_90"]["share"] == pytest.approx(errors.accuracy_distance / surface.size)
    assert [row["accuracy"] for row in summary["thresholds"]] == list(errors.accuracy)


def test_density_alone_earns_nothing(cube):
    _, surface = cube
    bad = surface.seen[:500] - [0, 0.2, -0.2]
    crowd = np.repeat(surface.seen[500:600], 400, axis=0)
    accuracy = cloud_errors(np.concatenate([bad, crowd]), surface, [0.02]).accuracy[0]
    assert 0.05 < accuracy < 0.5


def test_thinning_keeps_points_as_they_are():
    xyz = np.random.default_rng(0).random((5000, 3))
    kept = thin(xyz, 0.1)
    assert 900 < len(kept) <= 1000
    assert set(map(tuple, kept)) <= set(map(tuple, xyz))


def test_samples_spread_by_area():
    part = box((1, 1, 3), PLAIN)
    points, normals = sample_mesh(part.vertices, part.faces, 20_000)
    assert (points[:, 2] > 3 - 1e-9).mean() == pytest.approx(1 / 13, abs=0.01)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)


def test_empty_clouds_and_missing_meshes_are_refused(cube, tmp_path):
    with pytest.raises(InputError, match="no points"):
        cloud_errors(np.full((3, 3), np.nan), cube[1], [0.1])
    with pytest.raises(NotFound, match="mesh"):
        Surface.read(tmp_path / "mesh.ply", cameras([(0, -3, 2)]))


@pytest.mark.parametrize(("sigma", "low", "high"), [(0.0, 0.0, 0.005), (0.05, 1e-6, 0.01)])
def test_heap_volume_is_measured(sigma, low, high):
    heap = frustum(11.0, 3.0, 6.0, PLAIN).moved((14, -9, 1))
    points, _ = sample_mesh(heap.vertices, heap.faces, 60_000)
    points = points + sigma * np.random.default_rng(0).normal(size=points.shape)
    error = abs(heap_volume(points, (14, -9), 11.0, 1.0) / frustum_volume(11.0, 3.0, 6.0) - 1)
    assert low <= error < high
    with pytest.raises(InputError, match="0 points"):
        heap_volume(points, (100, 0), 11.0, 1.0)
