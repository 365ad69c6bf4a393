"""Simplification and the clean-up of connectivity."""

import numpy as np
import pytest
from painted import grid

from recon.surface.mesh import Edges, components, face_areas, split_bowties, used_only
from recon.surface.simplify import simplify


def test_flat_sheet_keeps_its_outline():
    vertices, faces = grid(60, lambda xy: np.zeros(len(xy)))
    fewer_vertices, fewer = simplify(vertices, faces.astype(np.int32), 300)
    assert len(fewer) <= 300
    assert face_areas(fewer_vertices, fewer).sum() == pytest.approx(4, rel=5e-3)


def test_a_mesh_within_the_budget_keeps_its_faces():
    vertices, faces = grid(8)
    same_vertices, same = simplify(vertices, faces.astype(np.int32), 1000)
    np.testing.assert_array_equal(same_vertices[same], vertices[faces])


def test_faces_of_a_shared_edge_are_at_most_two_after_cleaning():
    vertices, faces = grid(6)
    fin = np.concatenate([vertices, [[0, 0, 1.0]]])
    a, b = faces[20, 0], faces[20, 1]
    tangled = np.concatenate([faces, [[a, b, len(vertices)]]]).astype(np.int32)
    assert Edges.of(tangled).faces.max() == 3
    assert Edges.of(simplify(fin, tangled, 1000)[1]).faces.max() <= 2


def test_doubled_and_degenerate_faces_go_and_the_first_of_each_stays():
    vertices, faces = grid(6)
    again = np.concatenate([faces, faces[3:5, [1, 2, 0]], faces[7:8, [0, 2, 1]], [[4, 4, 5]]]).astype(np.int32)
    same_vertices, same = simplify(vertices, again, 1000)
    np.testing.assert_array_equal(same_vertices[same], vertices[faces])


def test_of_three_faces_at_an_edge_the_smallest_goes():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3], [0, -1, 0.0]])
    faces = np.array([[0, 1, 4], [0, 1, 2], [1, 0, 3]], np.int32)
    left_vertices, left = simplify(vertices, faces, 1000)
    np.testing.assert_array_equal(left_vertices[left], vertices[faces[1:]])


def test_a_bowtie_gets_two_vertices_and_a_fan_keeps_one():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [-1, 0, 0], [-1, -1, 0], [0, 1, 0.0]])
    faces = np.array([[0, 1, 2], [0, 2, 5], [0, 3, 4]])
    split_vertices, split = split_bowties(vertices, faces)
    assert len(split_vertices) == 7
    np.testing.assert_array_equal(split_vertices[split], vertices[faces])
    assert split[0, 0] == split[1, 0] != split[2, 0]


def test_splitting_a_clean_mesh_changes_nothing():
    vertices, faces = grid(5)
    split_vertices, split = split_bowties(vertices, faces)
    np.testing.assert_array_equal(split_vertices, vertices)
    np.testing.assert_array_equal(split, faces)


def test_unused_vertices_go():
    vertices, faces = used_only(np.arange(15.0).reshape(5, 3), np.array([[0, 2, 4]]))
    assert vertices.shape == (3, 3)
    np.testing.assert_array_equal(faces, [[0, 1, 2]])


def test_edges_of_two_triangles():
    edges = Edges.of(np.array([[0, 1, 2], [2, 1, 3]]))
    assert len(edges.vertices) == 5
    pairs, edge = edges.face_pairs()
    np.testing.assert_array_equal(pairs, [[0, 1]])
    np.testing.assert_array_equal(edges.vertices[edge], [[1, 2]])
    assert components(pairs, 3).tolist() == [0, 0, 1]
