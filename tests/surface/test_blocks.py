"""A surface laid in blocks is the one that is laid as a whole, without slits where the blocks meet."""

import numpy as np
import pytest
from painted import ball_cloud, cloud, hill_cloud
from scipy.spatial import cKDTree

from recon.config import Mesh
from recon.stage import Work
from recon.surface import blocks
from recon.surface.blocks import block_surface, join, split
from recon.surface.build import finish, lay, plan
from recon.surface.mesh import Edges
from recon.surface.poisson import cube_about
from recon.surface.thin import thin

DEPTH = 8


def in_blocks(samples, most):
    cube = cube_about(samples, 10_000, DEPTH)
    parts = split(samples, cube, most)
    return cube, parts, join([block_surface(samples, cube, part) for part in parts], parts, cube)


@pytest.fixture
def hill(rng):
    return thin([hill_cloud(rng, 60_000, 0.002)], 10**6)


@pytest.fixture
def ball(rng):
    return thin([ball_cloud(rng, 60_000, 0.002)], 10**6)


def test_each_sample_lies_in_one_block_and_few_in_each(hill):
    cube = cube_about(hill, 10_000, DEPTH)
    parts = split(hill, cube, 5000)
    cells = cube.cells(hill.xyz)
    held = np.stack([part.holds(cells) for part in parts])
    assert (held.sum(axis=0) == 1).all()
    assert len(parts) == 4
    assert held.sum(axis=1).max() <= 5000
    assert split(hill, cube, 10**6) == [blocks.Block.whole(cube)]


def test_blocks_are_of_about_as_much_work(rng):
    """Five times as many samples on the left as on the right, in about as many cells: the cut is in the middle, not among the many."""
    x = np.concatenate([rng.uniform(-4, 0, 100_000), rng.uniform(0, 4, 20_000)])
    xyz = np.stack([x, rng.uniform(-1, 1, len(x)), np.zeros(len(x))], axis=1)
    samples = thin([cloud(xyz, np.tile([0.0, 0.0, 1.0], (len(x), 1)))], 10**6)
    cube = cube_about(samples, 10_000, DEPTH)
    first, second = split(samples, cube, len(samples.xyz) - 1)
    assert {first.low[0], first.high[0]} & {second.low[0], second.high[0]} == {128}


def test_thin_blocks_are_not_cut_further(hill):
    cube = cube_about(hill, 10_000, 5)  # 32 cells, margins of 16
    assert len(split(hill, cube, 1000)) == 1


def test_a_ball_in_blocks_is_closed_and_lies_where_the_whole_one_does(ball):
    cube, parts, joined = in_blocks(ball, 5000)
    _, _, whole = in_blocks(ball, 10**6)
    assert len(parts) == 16
    assert Edges.of(joined.faces).faces.tolist().count(2) == len(Edges.of(joined.faces).faces)
    radius = np.linalg.norm(joined.vertices, axis=1)
    assert np.abs(radius - 1).max() < 0.02
    away = cKDTree(whole.vertices).query(joined.vertices)[0] / cube.cell
    assert np.quantile(away, 0.99) < 0.35
    assert len(joined.faces) == pytest.approx(len(whole.faces), rel=0.01)


def test_faces_at_the_cuts_look_the_same_way_as_the_others(ball):
    _, _, joined = in_blocks(ball, 5000)
    a, b, c = (joined.vertices[joined.faces[:, k]] for k in range(3))
    outwards = np.einsum("fk,fk->f", np.cross(b - a, c - a), a + b + c)
    assert (outwards > 0).mean() > 0.999
    ends = np.stack([joined.faces, np.roll(joined.faces, -1, axis=1)], axis=2).reshape(-1, 2)
    assert {tuple(row) for row in ends.tolist()} == {tuple(row) for row in ends[:, ::-1].tolist()}


def test_a_hill_in_blocks_has_one_rim(hill, monkeypatch):
    options = Mesh(faces=20_000, depth=DEPTH)

    def rims(most):
        monkeypatch.setattr("recon.surface.build.split", lambda samples, cube: split(samples, cube, most))
        jobs = plan(hill, options)
        mesh, summary = finish(hill, [lay(hill, options, job) for job in jobs], options, Work())
        return summary["blocks"], int((Edges.of(mesh.faces).faces == 1).sum()), summary["area"]

    (one, rim, area), (four, rim_of_four, area_of_four) = rims(10**6), rims(5000)
    assert (one, four) == (1, 4)
    assert rim_of_four < 1.15 * rim
    assert area_of_four == pytest.approx(area, rel=0.01)


def test_blocks_do_not_depend_on_who_lays_them(hill):
    first, again = in_blocks(hill, 5000)[2], in_blocks(hill, 5000)[2]
    np.testing.assert_array_equal(first.vertices, again.vertices)
    np.testing.assert_array_equal(first.faces, again.faces)
