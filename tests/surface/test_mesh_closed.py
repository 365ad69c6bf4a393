"""Watertight meshes: closed, of the right volume, no larger than the cube about the points."""

import numpy as np
import pytest
from painted import ball_cloud, hill_cloud, hills
from whole import build_mesh

from recon.config import Mesh, parse
from recon.errors import ConfigError
from recon.stage import Work
from recon.surface.mesh import Edges
from recon.surface.simplify import simplify


def build(points, **options):
    return build_mesh([points], Mesh(faces=4000, watertight=True, **options), Work())


def volume(mesh):
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(float) for k in range(3))
    return np.einsum("nk,nk->n", a, np.cross(b, c)).sum() / 6


def oriented_closed(mesh):
    """Every edge is run along once in each direction."""
    ends = np.stack([mesh.faces, np.roll(mesh.faces, -1, axis=1)], axis=2).reshape(-1, 2)
    forth, back = ({tuple(row) for row in rows} for rows in (ends.tolist(), ends[:, ::-1].tolist()))
    return forth == back and len(forth) == len(ends)


def test_half_a_ball_is_closed_without_a_balloon(rng):
    mesh, summary = build(ball_cloud(rng, 20_000, 0.003, keep=lambda d: d[:, 2] > 0))
    assert summary["watertight"] is True
    assert oriented_closed(mesh)
    # at least the half that was seen, at most the cube about it
    assert 2 / 3 * np.pi * 0.95 < volume(mesh) < 4 / 3 * np.pi * 1.05
    assert 0.2 < summary["unsupported_share"] < 0.6
    assert np.abs(mesh.vertices).max() < 1.4


def test_hills_become_a_solid_on_a_base(rng):
    mesh, summary = build(hill_cloud(rng, 20_000, 0.002))
    assert summary["watertight"] is True
    assert oriented_closed(mesh)
    assert volume(mesh) > 0
    # the hills themselves are as exact as ever
    top = (np.abs(mesh.vertices[:, :2]) < 0.9).all(axis=1) & (mesh.normals[:, 2] > 0.5)
    error = mesh.vertices[top, 2] - hills(mesh.vertices[top, :2])
    assert 1e-4 < np.sqrt((error**2).mean()) < 5e-3
    assert mesh.vertices[:, 2].min() > -0.6


def test_a_whole_ball_is_the_same_as_when_it_is_trimmed(rng):
    points = ball_cloud(rng, 20_000)
    mesh, summary = build(points)
    assert summary["watertight"] is True
    assert summary["unsupported_share"] == pytest.approx(0, abs=0.01)
    assert volume(mesh) == pytest.approx(4 / 3 * np.pi, rel=0.02)
    assert (Edges.of(mesh.faces).faces == 2).all()


def test_a_mesh_that_could_not_be_closed_says_so(rng, monkeypatch):
    def torn(*asked):
        vertices, faces = simplify(*asked)
        return vertices, faces[:-1]

    monkeypatch.setattr("recon.surface.build.simplify", torn)
    _, summary = build(ball_cloud(rng, 5_000))
    assert summary["watertight"] is False
    assert "3 of its edges are open" in summary["warnings"][0]


def test_a_height_field_cannot_be_watertight():
    with pytest.raises(ConfigError, match="open below"):
        parse({"mesh": {"mode": "2.5d", "watertight": True}})
