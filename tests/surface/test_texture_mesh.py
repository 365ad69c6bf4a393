"""Photos onto a mesh: the texture shows the paint, whatever happened to single photos."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pycolmap
import pytest
from painted import CAMERA, block_on_hills, grid, look_at, mesh_of, paint, shoot, stations, take_photos

from recon.capture.pixels import read_rgb, write_png
from recon.config import Texture
from recon.stage import Work
from recon.surface.mesh import Edges, TriMesh
from recon.surface.photos import Photo
from recon.surface.texture import Textured, texture_mesh

OPTIONS = Texture(page_px=2048)


@dataclass(frozen=True)
class Scene:
    mesh: TriMesh
    photos: list[Photo]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    mesh = block_on_hills(40)
    return Scene(mesh, take_photos(tmp_path_factory.mktemp("photos"), mesh, stations(6)))


def texture(mesh, photos, options=OPTIONS, threads=1):
    return texture_mesh(mesh, photos, options, Work(threads=threads))


def lookup(textured: Textured, face, weights, shift_texels=0.0):
    """(N, 3) colours that a viewer shows at points of faces."""
    uv = np.einsum("nk,nkc->nc", weights, textured.uv[face].astype(float))
    colours = np.zeros((len(face), 3), np.float32)
    for number, page in enumerate(textured.pages):
        mine = np.flatnonzero(textured.page[face] == number)
        if len(mine):
            x = (uv[mine, 0] * page.shape[1] - 0.5 + shift_texels).astype(np.float32)[None]
            y = ((1 - uv[mine, 1]) * page.shape[0] - 0.5).astype(np.float32)[None]
            rows = [cv2.remap(page, x[:, i : i + 30_000], y[:, i : i + 30_000], cv2.INTER_LINEAR)[0] for i in range(0, len(mine), 30_000)]
            colours[mine] = np.concatenate(rows)
    return colours


def seen_from(mesh, place, camera=CAMERA):
    shot = shoot(mesh, camera, *place, samples=1)
    hit = shot.hit & (np.linalg.norm(shot.xyz[..., :2], axis=-1) < 0.85)
    return shot.face[hit], shot.weights[hit], shot.xyz[hit]


def psnr(colours, truth):
    return 10 * np.log10(255**2 / ((colours - np.clip(truth, 0, 255)) ** 2).mean())


def test_texture_shows_the_paint_from_a_place_without_photo(scene):
    textured = texture(scene.mesh, scene.photos)
    eye = np.array([0.5, 0.9, 2.2])
    face, weights, xyz = seen_from(scene.mesh, (look_at(eye, np.zeros(3)), eye))
    quality = psnr(lookup(textured, face, weights), paint(xyz))
    assert 34 < quality < 60
    # by half a texel to either side it would be worse: it lies where it should
    assert quality > max(psnr(lookup(textured, face, weights, by), paint(xyz)) for by in (-0.5, 0.5)) + 0.9
    assert textured.summary["seen_share"] > 0.9
    assert textured.summary["warnings"] == []
    gains = np.array([entry["gain"] for entry in textured.summary["photos"].values()])
    np.testing.assert_allclose(gains, 1, atol=0.02)


def test_every_face_lies_on_a_page_and_no_texel_is_bare(scene):
    textured = texture(scene.mesh, scene.photos)
    assert textured.uv.shape == (len(scene.mesh.faces), 3, 2)
    assert textured.uv.min() >= 0
    assert textured.uv.max() <= 1
    assert textured.page.min() == 0
    assert textured.page.max() == len(textured.pages) - 1
    assert not any((page == 0).all(axis=2).any() for page in textured.pages)


def with_pixels(photo, folder, change):
    path = folder / photo.name
    write_png(path, change(read_rgb(photo.path)))
    return replace(photo, path=path)


def test_an_underexposed_photo_is_evened_out(scene, tmp_path):
    dark = with_pixels(scene.photos[2], tmp_path, lambda image: (image * 0.7 + 0.5).astype(np.uint8))
    photos = [*scene.photos[:2], dark, *scene.photos[3:]]
    textured = texture(scene.mesh, photos)
    face, weights, xyz = seen_from(scene.mesh, stations(6)[2])
    shown, true = lookup(textured, face, weights), np.clip(paint(xyz), 0, 255)
    # the scale of all is free: what counts is that the texture is even
    assert psnr(shown * (true.mean() / shown.mean()), true) > 28
    gain = {name: entry["gain"][0] for name, entry in textured.summary["photos"].items()}
    assert gain["02.png"] / gain["01.png"] == pytest.approx(1 / 0.7, rel=0.03)


def test_a_vignette_leaves_no_step_at_seams(scene, tmp_path):
    """Gains can't undo what changes within a photo; seam levelling must."""
    x = np.linspace(-1, 1, 640)[None, :, None]
    tilted = [with_pixels(photo, tmp_path, lambda image: (image * (1 + 0.15 * x)).clip(0, 255).astype(np.uint8)) for photo in scene.photos]
    textured = texture(scene.mesh, tilted)
    edges = Edges.of(scene.mesh.faces)
    pairs, edge = edges.face_pairs()
    ends = edges.vertices[edge]
    apart = np.abs(textured.uv[pairs[:, 0]].mean(axis=1) - textured.uv[pairs[:, 1]].mean(axis=1)).max(axis=1) > 0.05
    assert apart.sum() > 30

    def middle(side):
        corner = scene.mesh.faces[pairs[apart, side]]
        weights = ((corner == ends[apart, :1]) | (corner == ends[apart, 1:])) / 2.0
        return lookup(textured, pairs[apart, side], weights)

    step = np.abs(middle(0) - middle(1)).mean()
    assert 0.1 < step < 4


def test_a_passer_by_in_one_photo_is_not_in_the_texture(scene, tmp_path):
    def walk_in(image):
        image = image.copy()
        cv2.circle(image, (330, 330), 60, (250, 10, 240), -1)
        return image

    photos = [*scene.photos[:3], with_pixels(scene.photos[3], tmp_path, walk_in), *scene.photos[4:]]
    # to be the one that is chosen, his photo must be the best
    photos[3] = replace(photos[3], sharpness=1.4)
    textured = texture(scene.mesh, photos)
    assert textured.summary["rejected_share"] > 0.002
    assert textured.summary["photos"]["03.png"]["faces"] > 500
    face, weights, xyz = seen_from(scene.mesh, stations(6)[3])
    shown = lookup(textured, face, weights)
    pink = (shown[:, 0] > 200) & (shown[:, 1] < 60)
    assert pink.mean() < 0.002
    assert psnr(shown, paint(xyz)) > 25


def test_an_object_that_moves_between_two_photos_is_in_neither_place(scene, tmp_path):
    """He stands elsewhere in the second photo, and where the two photos show him he is the sharpest thing there is."""

    def walk_in(centre):
        def change(image):
            return cv2.circle(image.copy(), centre, 45, (250, 10, 240), -1)

        return change

    photos = list(scene.photos)
    for number, centre in ((2, (300, 320)), (3, (350, 330))):
        photos[number] = replace(with_pixels(photos[number], tmp_path, walk_in(centre)), sharpness=1.4)
    textured = texture(scene.mesh, photos)
    for number in (2, 3):
        face, weights, xyz = seen_from(scene.mesh, stations(6)[number])
        shown = lookup(textured, face, weights)
        pink = (shown[:, 0] > 200) & (shown[:, 1] < 60)
        assert pink.mean() < 0.003
        assert 25 < psnr(shown, paint(xyz)) < 60


def test_photos_fade_into_each_other_over_a_seam(scene, tmp_path):
    """Fine stripes that differ between two photos: no offset at vertices can level them, only a blend."""
    stripes = 14 * np.sign(np.sin(np.arange(640) * 0.9))[None, :, None]
    photos = [
        with_pixels(photo, tmp_path, lambda image, s=sign: (image + s * stripes).clip(0, 255).astype(np.uint8))
        for photo, sign in zip(scene.photos, (1, -1, 1, -1, 1, -1), strict=True)
    ]
    textured = texture(scene.mesh, photos)
    edges = Edges.of(scene.mesh.faces)
    pairs, edge = edges.face_pairs()
    ends = edges.vertices[edge]
    flat = np.abs(scene.mesh.vertices[scene.mesh.faces[pairs]].mean(axis=2)[..., :2]).max(axis=(1, 2)) < 0.8
    apart = flat & (np.abs(textured.uv[pairs[:, 0]].mean(axis=1) - textured.uv[pairs[:, 1]].mean(axis=1)).max(axis=1) > 0.05)
    assert apart.sum() > 30

    def along(side, share):
        corner = scene.mesh.faces[pairs[apart, side]]
        weights = (corner == ends[apart, :1]) * share + (corner == ends[apart, 1:]) * (1 - share)
        return lookup(textured, pairs[apart, side], weights)

    step = np.concatenate([np.abs(along(0, share) - along(1, share)).mean(axis=1) for share in (0.2, 0.4, 0.6, 0.8)])
    assert 0.1 < np.median(step) < 4  # without the blend it is the stripes


def test_what_no_photo_sees_has_the_colours_of_the_cloud(scene):
    under = (scene.mesh.vertices[scene.mesh.faces][..., 2] < -0.099).all(axis=1) & (np.arange(len(scene.mesh.faces)) >= 3200)
    assert under.sum() > 50  # the block's bottom, inside the hill
    textured = texture(scene.mesh, scene.photos)
    face = np.flatnonzero(under)
    shown = lookup(textured, face, np.full((len(face), 3), 1 / 3))
    cloud = scene.mesh.rgb[scene.mesh.faces[face]].mean(axis=1)
    assert np.abs(shown - cloud).mean() < 12


def test_without_a_single_photo_the_cloud_colours_everything():
    mesh = mesh_of(*grid(12))
    textured = texture(mesh, [])
    shown = lookup(textured, np.arange(len(mesh.faces)), np.full((len(mesh.faces), 3), 1 / 3))
    assert np.abs(shown - mesh.rgb[mesh.faces].mean(axis=1)).mean() < 6
    assert textured.summary["seen_share"] == 0
    assert "no photo sees 100%" in textured.summary["warnings"][0]


def test_large_faces_through_a_bent_lens_are_not_warped(tmp_path):
    """Two triangles, seen at a slant: affine cut-outs would be off by many pixels."""
    mesh = mesh_of(*grid(1, lambda xy: np.zeros(len(xy))))
    camera = pycolmap.Camera(model="OPENCV", width=640, height=480, params=[330, 330, 320, 240, -0.1, 0.01, 0, 0], camera_id=1)
    eye = np.array([0.1, -2.0, 1.0])
    photos = take_photos(tmp_path, mesh, [(look_at(eye, np.zeros(3)), eye)], camera)
    textured = texture(mesh, photos)
    face, weights, xyz = seen_from(mesh, (look_at(eye, np.zeros(3)), eye), camera)
    assert psnr(lookup(textured, face, weights), paint(xyz)) > 32


def test_pages_are_kept_to_their_number_by_a_smaller_image_size(scene):
    textured = texture(scene.mesh, scene.photos, Texture(page_px=256, max_pages=2))
    assert len(textured.pages) <= 2
    assert all(max(page.shape) <= 256 for page in textured.pages)
    assert textured.summary["image_size_px"] < 640
    assert "raise texture.max_pages" in textured.summary["warnings"][-1]


def test_same_bytes_whatever_the_threads(scene):
    first, second = texture(scene.mesh, scene.photos, threads=1), texture(scene.mesh, scene.photos, threads=2)
    assert first.uv.tobytes() == second.uv.tobytes()
    assert first.page.tobytes() == second.page.tobytes()
    assert [page.tobytes() for page in first.pages] == [page.tobytes() for page in second.pages]
    assert first.summary == second.summary
