"""Holes amid what is flat: closed by the sheet over them, unless one sees through."""

import numpy as np
import pytest
from painted import cloud
from whole import build_mesh

from recon.config import Mesh
from recon.dense.view import Points
from recon.stage import Work
from recon.surface import holes
from recon.surface.mesh import face_areas

HOLE = 0.12  # radius; the wall is 2 wide, so that it is some 0.11 of the root of its area across
OPTIONS = Mesh(faces=20_000)


def wall(rng, hole=0.0, z=0.0, facing=1.0, half=1.0):
    """Points of a square wall at height z with a round hole, facing up or down."""
    xy = rng.uniform(-half, half, (int(30_000 * half**2), 2))
    xy = xy[np.linalg.norm(xy, axis=1) > hole]
    return cloud(np.column_stack([xy, np.full(len(xy), z)]), np.tile([0.0, 0, facing], (len(xy), 1)))


def roof(rng):
    """Two walls that meet at a right angle, with a hole across the ridge."""
    along, down = rng.uniform(-1, 1, 30_000), rng.uniform(-1, 1, 30_000)
    xyz = np.column_stack([along, down * 0.5**0.5, -np.abs(down) * 0.5**0.5])
    normal = np.column_stack([np.zeros(30_000), np.sign(down), np.ones(30_000)]) * 0.5**0.5
    keep = np.hypot(along, down) > HOLE
    return cloud(xyz[keep], normal[keep])


def area_over_hole(mesh):
    """Of the faces within the hole, at the height of the wall."""
    middle = mesh.vertices[mesh.faces].mean(axis=1)
    inside = (np.linalg.norm(middle[:, :2], axis=1) < 0.8 * HOLE) & (np.abs(middle[:, 2]) < 0.03)
    return face_areas(mesh.vertices, mesh.faces)[inside].sum()


def build(parts, options=OPTIONS):
    return build_mesh([Points.concatenate(parts)], options, Work())


WHOLE = np.pi * (0.8 * HOLE) ** 2


def test_a_wide_hole_in_a_flat_wall_is_closed_and_told(rng):
    mesh, summary = build([wall(rng, HOLE)])
    assert area_over_hole(mesh) == pytest.approx(WHOLE, rel=0.15)
    assert 0.5 * np.pi * HOLE**2 / 4 < summary["closed_share"] < 1.3 * np.pi * HOLE**2 / 4
    assert summary["hole_width"] < 2 * HOLE < summary["flat_hole_width"]
    assert not summary["warnings"]


def test_much_that_was_closed_is_worth_a_warning(rng):
    _, summary = build([wall(rng, 3 * HOLE)], Mesh(faces=20_000, max_flat_hole=0.5))
    assert summary["closed_share"] > 0.08
    assert f"{100 * summary['closed_share']:.0f} % of the mesh lies in closed holes" in summary["warnings"][0]


@pytest.mark.parametrize("options", [Mesh(faces=20_000, max_flat_hole=0), Mesh(faces=20_000, max_flat_hole=0.08)], ids=["off", "narrower"])
def test_it_stays_where_it_is_wider_than_asked_for(rng, options):
    mesh, summary = build([wall(rng, HOLE)], options)
    assert area_over_hole(mesh) < 0.2 * WHOLE
    assert summary["closed_share"] < 0.002


def test_what_is_seen_through_it_keeps_it_open(rng):
    mesh, _ = build([wall(rng, HOLE), wall(rng, z=-0.5, half=0.6)])
    assert area_over_hole(mesh) < 0.2 * WHOLE


def test_the_other_side_of_the_wall_is_not_seen_through_it(rng):
    mesh, _ = build([wall(rng, HOLE), wall(rng, z=-0.5, facing=-1.0)])
    assert area_over_hole(mesh) == pytest.approx(WHOLE, rel=0.15)


def test_a_hole_across_an_edge_stays(rng, monkeypatch):
    monkeypatch.setattr(holes, "_seen_through", lambda *_: False)  # the walls fall away behind it: its shape alone is tried
    _, summary = build([roof(rng)])
    assert summary["closed_share"] < 0.002
