"""Which photo sees which face."""

import numpy as np
from painted import block_on_hills, grid, look_at, masked, mesh_of, paint, stations, take_photos

from recon.surface.visibility import _SAMPLES, Candidates, Visibility, _mean_colours, find_candidates, sample


def quiet(fraction):
    pass


def test_faces_behind_a_block_are_not_seen(tmp_path):
    mesh = block_on_hills(20)
    eye = np.array([0.0, -2.5, 0.8])
    one = take_photos(tmp_path, mesh, [(look_at(eye, np.zeros(3)), eye)], samples=1)[0]
    sight = Visibility(mesh).seen_by(one, 640)
    seen, corners = sight.faces, sight.corners
    assert 0.8 < sight.whole.mean() < 1
    centroid = mesh.vertices[mesh.faces].mean(axis=1)
    flags = np.zeros(len(mesh.faces), bool)
    flags[seen] = True
    ground = np.arange(len(mesh.faces)) < 800
    shadow = ground & (np.abs(centroid[:, 0]) < 0.1) & (centroid[:, 1] > 0.3) & (centroid[:, 1] < 0.7)
    front = ground & (np.abs(centroid[:, 0]) < 0.1) & (centroid[:, 1] < -0.4)
    back = ~ground & (centroid[:, 1] > 0.199)
    assert shadow.any()
    assert not flags[shadow].any()
    assert flags[front].all()
    assert not flags[back].any()
    np.testing.assert_allclose(corners, one.project(mesh.vertices, 640)[mesh.faces[seen]])


def test_a_face_turned_away_is_not_seen(tmp_path):
    vertices, faces = grid(6)
    eye = np.array([0.0, -1.0, 2.5])
    one = take_photos(tmp_path, mesh_of(vertices, faces), [(look_at(eye, np.zeros(3)), eye)], samples=1)[0]
    assert len(Visibility(mesh_of(vertices, faces)).seen_by(one, 640).faces) > 50
    assert len(Visibility(mesh_of(vertices, faces[:, ::-1])).seen_by(one, 640).faces) == 0


def test_nearer_photos_rank_higher_and_colours_are_the_paint(tmp_path):
    mesh = mesh_of(*grid(24))
    eyes = [np.array([0.1, 0.1, 2.2]), np.array([0.1, 0.12, 4.0])]
    photos = take_photos(tmp_path, mesh, [(look_at(eye, np.zeros(3)), eye) for eye in eyes], samples=1)
    found = find_candidates(mesh, photos, 640, 1, quiet)
    both = (found.photo >= 0).all(axis=1)
    assert both.sum() > 200
    best = np.take_along_axis(found.photo, found.quality.argmax(axis=1)[:, None], axis=1)[both, 0]
    assert (best == 0).mean() > 0.9
    error = found.rgb[both, 0] - paint(mesh.vertices[mesh.faces[both]].astype(float).mean(axis=1))
    assert 0.05 < np.abs(error).mean() < 6


def test_masked_pixels_lend_nothing(tmp_path):
    mesh = mesh_of(*grid(24))
    eye = np.array([0.1, 0.1, 2.5])
    plain = take_photos(tmp_path, mesh, [(look_at(eye, np.zeros(3)), eye)], samples=1)[0]
    mask = np.full((480, 640), 255, np.uint8)
    mask[:, :320] = 0
    found = find_candidates(mesh, [masked(plain, mask)], 640, 1, quiet)
    at = plain.project(mesh.vertices, 640)[mesh.faces].mean(axis=1)
    seen = (found.photo >= 0).any(axis=1)
    assert not seen[at[:, 0] < 318].any()
    assert seen[at[:, 0] > 325].mean() > 0.9


def test_a_thin_mask_across_large_faces_hides_them(tmp_path):
    mesh = mesh_of(*grid(4))
    eye = np.array([0.1, 0.1, 2.5])
    plain = take_photos(tmp_path, mesh, [(look_at(eye, np.zeros(3)), eye)], samples=1)[0]
    corners = plain.project(mesh.vertices, 640)[mesh.faces]
    whole = np.flatnonzero(np.isfinite(corners).all(axis=(1, 2)))
    line = int(corners[whole[len(whole) // 2], :, 0].mean())
    mask = np.full((480, 640), 255, np.uint8)
    mask[:, line - 1 : line + 2] = 0
    seen = (find_candidates(mesh, [masked(plain, mask)], 640, 1, quiet).photo >= 0).any(axis=1)
    crossed = (corners[:, :, 0].min(axis=1) < line - 2) & (corners[:, :, 0].max(axis=1) > line + 2)
    assert crossed.sum() > 4
    assert not seen[crossed].any()
    assert seen.any()


def test_a_better_offer_takes_the_worst_slot():
    candidates = Candidates.empty(1, 2)
    face = np.array([0])
    for photo, quality in enumerate((5.0, 3.0, 4.0, 1.0)):
        candidates.offer(photo, face, np.array([quality], np.float32), np.full((1, 3), photo, np.float32))
    assert sorted(candidates.photo[0].tolist()) == [0, 2]
    np.testing.assert_array_equal(candidates.rgb[0, :, 0], candidates.photo[0])


def test_sampling_is_exact_at_pixel_centres_and_linear_between():
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    y, x = np.mgrid[:5, :7]
    np.testing.assert_array_equal(sample(image, np.stack([x + 0.5, y + 0.5], axis=-1)), image)
    np.testing.assert_allclose(sample(image, np.array([[3.0, 2.5]]))[0], image[2, 2:4].mean(axis=0), atol=0.51)
    assert sample(image, np.zeros((0, 2))).shape == (0, 3)


def test_mean_colours_are_those_of_samples_also_beyond_the_border(rng):
    image = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    corners = rng.uniform(-6, 46, (200, 1, 2)) + rng.uniform(-4, 4, (200, 3, 2))
    out = np.full((200, 3), np.nan, np.float32)
    _mean_colours(image, corners, out)
    expected = sample(image, np.einsum("sk,fkc->fsc", _SAMPLES, corners)).mean(axis=1)
    np.testing.assert_allclose(out, expected, atol=2.5)  # the library's places are multiples of 1/32 pixel, its colours whole
    assert np.abs(out - expected).mean() < 0.4
    inside = np.array([[[3.5, 4.5]] * 3])
    _mean_colours(image, inside, out[:1])
    np.testing.assert_allclose(out[0], image[4, 3], atol=1e-4)


def test_all_stations_see_the_middle(tmp_path):
    mesh = mesh_of(*grid(16))
    photos = take_photos(tmp_path, mesh, stations(5), samples=1)
    found = find_candidates(mesh, photos, 640, 2, quiet)
    middle = np.linalg.norm(mesh.vertices[mesh.faces].mean(axis=1)[:, :2], axis=1) < 0.4
    assert ((found.photo[middle] >= 0).sum(axis=1) == 5).all()
