from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import open3d as o3d
import pytest
import trimesh
from fake_run import grid_mesh, write_texture
from gltf_rules import broken_rules

from recon.geometry.frames import world_from_gltf
from recon.products.gltf import write_glb
from recon.products.obj import write_obj
from recon.products.report.lighten import lighten
from recon.products.textured import TexturedMesh, split_at_seams


@pytest.fixture
def mesh(tmp_path: Path) -> TexturedMesh:
    write_texture(tmp_path / "texture")
    return TexturedMesh.load(tmp_path / "texture")


def chunks(path: Path) -> tuple[dict, bytes]:
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size = struct.unpack_from("<I", content, 12)[0]
    return json.loads(content[20 : 20 + size]), content[20 + size + 8 :]


def test_split_keeps_every_corner_and_doubles_only_seams(mesh):
    split = split_at_seams(mesh)
    np.testing.assert_array_equal(split.vertex[split.faces], mesh.faces[split.order])
    np.testing.assert_array_equal(split.uv[split.faces], mesh.uv[split.order])
    assert (np.diff(split.page) >= 0).all()
    used = len(np.unique(mesh.faces))
    assert used < len(split.vertex) < used + 100  # the ball's last meridian and its poles


def test_glb_is_y_up_with_its_pages_inside(mesh, tmp_path):
    write_glb(tmp_path / "m.glb", mesh, {"unit": "m"})
    document, binary = chunks(tmp_path / "m.glb")
    assert document["asset"]["extras"] == {"unit": "m"}
    for image, page in zip(document["images"], mesh.pages, strict=True):
        view = document["bufferViews"][image["bufferView"]]
        assert binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]] == page.read_bytes()
    scene = trimesh.load(tmp_path / "m.glb")
    low, high = scene.bounds
    least, most = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    np.testing.assert_allclose(low, [least[0], least[2], -most[1]], atol=1e-6)
    np.testing.assert_allclose(high, [most[0], most[2], -least[1]], atol=1e-6)


def test_glb_has_the_right_colour_at_the_right_place(mesh, tmp_path):
    """The ball's north is red, its south yellow, whatever reader looks."""
    write_glb(tmp_path / "m.glb", mesh, {})
    parts = list(trimesh.load(tmp_path / "m.glb").geometry.values())
    assert len(parts) == 2
    ball = max(parts, key=lambda part: part.bounds[1][1])
    colours = ball.visual.to_color().vertex_colors[:, :3].astype(int)
    north, south = ball.vertices[:, 1] > 0.5, ball.vertices[:, 1] < -0.5
    assert colours[north, 1].mean() < 80
    assert colours[south, 1].mean() > 120
    np.testing.assert_allclose(np.linalg.norm(ball.vertex_normals, axis=1), 1, atol=1e-5)
    outwards = np.einsum("vc,vc->v", ball.vertices, ball.vertex_normals)
    assert (outwards > 0).all()


def as_png(mesh: TexturedMesh, folder: Path) -> TexturedMesh:
    pages = tuple(folder / f"{page.stem}.png" for page in mesh.pages)
    for source, target in zip(mesh.pages, pages, strict=True):
        cv2.imwrite(str(target), cv2.imread(str(source)))
    return replace(mesh, pages=pages)


@pytest.mark.parametrize("png", [False, True])
def test_glb_keeps_the_rules_of_gltf(mesh, tmp_path, png):
    write_glb(tmp_path / "m.glb", as_png(mesh, tmp_path) if png else mesh, {"unit": "m"})
    assert broken_rules(tmp_path / "m.glb") == []


def test_rules_of_gltf_find_what_is_broken(mesh, tmp_path):
    write_glb(tmp_path / "m.glb", mesh, {})
    content = (tmp_path / "m.glb").read_bytes()
    for old, new in ((b"image/jpeg", b"image/png "), (b"34963", b"34962"), (b'"2.0"', b'"1.0"'), (b"9987", b"9999"), (b"BIN\0", b"BINX")):
        (tmp_path / "broken.glb").write_bytes(content.replace(old, new, 1))
        assert broken_rules(tmp_path / "broken.glb")


def test_another_reader_finds_the_same_mesh(mesh, tmp_path):
    """Assimp, through Open3D: shape, texture coordinates and pages."""
    write_glb(tmp_path / "m.glb", mesh, {})
    model = o3d.io.read_triangle_model(str(tmp_path / "m.glb"))
    parts = [part.mesh for part in model.meshes]
    assert sum(len(part.triangles) for part in parts) == len(mesh.faces)
    corners = np.concatenate([np.asarray(part.vertices)[np.asarray(part.triangles)] for part in parts])
    whole = world_from_gltf(corners.reshape(-1, 3)).reshape(-1, 3, 3)
    np.testing.assert_allclose(whole.mean(axis=(0, 1)), mesh.vertices[mesh.faces].astype(float).mean(axis=(0, 1)), atol=1e-5)
    images = [np.asarray(model.materials[part.material_idx].albedo_img) for part in model.meshes]
    assert sorted(image.mean() for image in images) == pytest.approx(sorted(cv2.imread(str(page)).mean() for page in mesh.pages), abs=2)


def test_png_pages_go_into_obj_too(mesh, tmp_path):
    (tmp_path / "out").mkdir()
    files = write_obj(tmp_path / "out", as_png(mesh, tmp_path), "unit: m")
    assert [path.name for path in files[2:]] == ["mesh_0.png", "mesh_1.png"]
    assert "map_Kd mesh_1.png" in files[1].read_text()


def test_glb_has_wide_indices_only_where_needed(mesh, tmp_path):
    write_glb(tmp_path / "small.glb", mesh, {})
    vertices, faces = grid_mesh(260)  # 68,121 vertices
    uv = ((vertices[:, :2] + 6) / 12)[faces].astype(np.float32)
    normals = np.tile(np.array([0, 0, 1], np.float32), (len(vertices), 1))
    page = np.zeros(len(faces), np.int32)
    large = TexturedMesh(vertices.astype(np.float32), normals, faces.astype(np.int32), uv, page, mesh.pages[:1])
    write_glb(tmp_path / "large.glb", large, {})
    kinds = []
    for name in ("small.glb", "large.glb"):
        document, _ = chunks(tmp_path / name)
        indices = document["meshes"][0]["primitives"][0]["indices"]
        kinds.append(document["accessors"][indices]["componentType"])
    assert kinds == [5123, 5125]
    (read,) = trimesh.load(tmp_path / "large.glb").geometry.values()
    assert read.area == pytest.approx(trimesh.Trimesh(vertices, faces).area, rel=1e-5)


def test_obj_is_z_up_with_its_material(mesh, tmp_path):
    files = write_obj(tmp_path, mesh, "unit: m")
    assert [path.name for path in files] == ["mesh.obj", "mesh.mtl", "mesh_0.jpg", "mesh_1.jpg"]
    read = trimesh.load(tmp_path / "mesh.obj", process=False)
    parts = list(read.geometry.values()) if isinstance(read, trimesh.Scene) else [read]
    assert sum(len(part.faces) for part in parts) == len(mesh.faces)
    low, high = np.min([part.bounds[0] for part in parts], axis=0), np.max([part.bounds[1] for part in parts], axis=0)
    np.testing.assert_allclose([low, high], [mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)], rtol=1e-6, atol=1e-6)
    ball = max(parts, key=lambda part: part.bounds[1][2])
    colours = ball.visual.to_color().vertex_colors[:, :3].astype(int)
    assert colours[ball.vertices[:, 2] > 0.5, 1].mean() < 80
    assert colours[ball.vertices[:, 2] < -0.5, 1].mean() > 120


def test_same_mesh_gives_same_bytes(mesh, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        write_glb(tmp_path / name / "mesh.glb", mesh, {"unit": "m"})
        write_obj(tmp_path / name, mesh, "unit: m")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def edge_counts(faces: np.ndarray) -> np.ndarray:
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return np.unique(edges, axis=0, return_counts=True)[1]


def test_lighten_reaches_its_number_and_keeps_shape_texture_and_closedness(mesh):
    light = lighten(mesh, 900)
    assert 850 <= len(light.faces) <= 900
    whole, less = (trimesh.Trimesh(m.vertices, m.faces, process=False) for m in (mesh, light))
    assert less.area == pytest.approx(whole.area, rel=0.02)
    assert less.area != whole.area
    assert (edge_counts(light.faces) == 1).sum() == (edge_counts(mesh.faces) == 1).sum()  # the ground's rim, no crack
    assert edge_counts(light.faces).max() == 2
    ground = light.page == 0
    where = light.vertices[light.faces[ground]][:, :, :2] / 12 + 0.5
    np.testing.assert_allclose(light.uv[ground], where, atol=1e-5)


def test_lighten_leaves_a_light_mesh_alone_and_stops_at_seams(mesh):
    assert lighten(mesh, len(mesh.faces)) is mesh
    least = lighten(mesh, 1)
    assert 50 < len(least.faces) < len(mesh.faces) / 2
    split = split_at_seams(mesh)
    edge, count = np.unique(np.sort(split.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0, return_counts=True)
    border = np.unique(split.vertex[edge[count == 1]])
    assert np.isin(border, least.faces).all()
