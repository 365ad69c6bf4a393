"""Exposure gains, and things that are in one photo only."""

import numpy as np
import pytest
from painted import grid

from recon.surface.exposure import evened, exposure_gains, inconsistent
from recon.surface.labels import choose_photos
from recon.surface.linear import solve
from recon.surface.mesh import Edges
from recon.surface.visibility import Candidates

VERTICES, FACES = grid(30)
PAIRS, _ = Edges.of(FACES).face_pairs()
CENTROID = VERTICES[FACES].mean(axis=1)


def observed(rng, photos, noise=0.0, gains=None):
    """Every photo sees every face; colours times the photo's gain."""
    colour = 60 + 90 * rng.uniform(size=(len(FACES), 1, 3))
    factor = np.ones((photos, 3)) if gains is None else gains
    rgb = colour * factor * np.exp(noise * rng.normal(size=(len(FACES), photos, 3)))
    photo = np.tile(np.arange(photos, dtype=np.int32), (len(FACES), 1))
    return Candidates(photo, np.ones(photo.shape, np.float32), rgb.astype(np.float32))


@pytest.mark.parametrize(("noise", "low", "high"), [(0.0, 0.0, 2e-3), (0.1, 1e-5, 2e-2)])
def test_gains_undo_exposure(rng, noise, low, high):
    true = np.array([[1.0, 1, 1], [0.7, 0.7, 0.7], [1.2, 1.1, 0.9], [0.9, 1.0, 1.1]])
    gains = exposure_gains(observed(rng, 4, noise, true), 4)
    left = np.log(gains * true)
    spread = np.ptp(left, axis=0).max()
    assert low <= spread < high
    np.testing.assert_allclose(np.log(gains).mean(axis=0), 0, atol=1e-6)


def test_dark_colours_take_the_gain_and_white_stays_grey():
    gain = np.array([1.3, 1.2, 1.4])
    np.testing.assert_allclose(evened(np.array([[40, 80, 60.0]], np.float32), gain), [[52, 96, 84]], rtol=1e-6)
    np.testing.assert_allclose(evened(np.full((1, 3), 255, np.float32), gain), 255)
    white = evened(np.full((1, 3), 255, np.float32), np.array([0.8, 0.7, 0.75]))
    assert np.ptp(white) < 1e-3
    assert 180 < white[0, 0] < 200


@pytest.mark.parametrize("gain", [0.6, 1.0, 1.5])
def test_a_brighter_pixel_stays_brighter(gain):
    grey = np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, axis=1)
    shown = evened(grey, np.full(3, gain))
    assert (np.diff(shown, axis=0) >= 0).all()
    assert shown.max() <= 255.001


def test_a_passing_object_does_not_pull_the_gains(rng):
    seen = observed(rng, 4, 0.02)
    seen.rgb[CENTROID[:, 0] > 0.5, 2] = (220, 30, 30)
    assert np.abs(np.log(exposure_gains(seen, 4))).max() < 0.03


def test_photos_that_share_nothing_keep_their_exposure():
    photo = np.array([[0, -1], [1, -1]], np.int32)
    seen = Candidates(photo, np.ones(photo.shape, np.float32), np.full((2, 2, 3), 100, np.float32))
    np.testing.assert_array_equal(exposure_gains(seen, 3), np.ones((3, 3)))


def test_a_passer_by_is_found_where_he_stands_and_nowhere_else(rng):
    seen = observed(rng, 5, 0.05)
    stands = np.linalg.norm(CENTROID[:, :2] - (0.3, 0.2), axis=1) < 0.25
    seen.rgb[stands, 3] = (30, 200, 30)
    wrong = inconsistent(seen, np.ones((5, 3)), PAIRS)
    assert wrong[stands, 3].mean() > 0.97
    far = np.linalg.norm(CENTROID[:, :2] - (0.3, 0.2), axis=1) > 0.5
    assert wrong[far].mean() < 0.005
    assert wrong[:, [0, 1, 2, 4]].mean() < 0.005


def test_of_two_photos_neither_is_called_wrong(rng):
    seen = observed(rng, 2)
    seen.rgb[:200, 1] = 255
    assert not inconsistent(seen, np.ones((2, 3)), PAIRS).any()


def test_faces_take_the_best_photo_and_seams_are_few(rng):
    quality = np.stack([1 - 0.2 * CENTROID[:, 0], 1 + 0.2 * CENTROID[:, 0]], axis=1) * np.exp(0.1 * rng.normal(size=(len(FACES), 2)))
    seen = Candidates(
        np.tile(np.array([0, 1], np.int32), (len(FACES), 1)), quality.astype(np.float32), np.zeros((len(FACES), 2, 3), np.float32)
    )
    label = choose_photos(seen, np.zeros((len(FACES), 2), bool), PAIRS)
    greedy = quality.argmax(axis=1)

    def seams(chosen):
        return (chosen[PAIRS[:, 0]] != chosen[PAIRS[:, 1]]).sum()

    assert 0 < seams(label) < seams(greedy) / 5
    assert (label[CENTROID[:, 0] < -0.6] == 0).mean() > 0.9
    assert (label[CENTROID[:, 0] > 0.6] == 1).mean() > 0.9


def test_rejected_photos_are_not_chosen_unless_nothing_is_left(rng):
    seen = observed(rng, 2)
    rejected = np.zeros((len(FACES), 2), bool)
    rejected[:900, 0] = True
    rejected[0] = True
    seen.photo[1] = -1
    label = choose_photos(seen, rejected, PAIRS)
    assert (label[2:900] == 1).all()
    assert label[0] in (0, 1)
    assert label[1] == -1


@pytest.mark.parametrize("size", [1, 7, 60])
def test_solver_agrees_with_dense_elimination(rng, size):
    from scipy.sparse import csr_matrix

    half = rng.normal(size=(size, size))
    matrix = half @ half.T + np.eye(size)
    right = rng.normal(size=(size, 3))
    right[:, 1] = 0
    np.testing.assert_allclose(solve(csr_matrix(matrix), right, 1e-12), np.linalg.solve(matrix, right), atol=1e-7)


def test_solver_settles_what_is_the_same_far_and_wide_in_few_steps():
    """Along a chain: a step of the diagonal's preconditioning carries no further than one link."""
    from scipy.sparse import diags
    from scipy.sparse.linalg import spsolve

    links = 3000
    matrix = diags([np.full(links - 1, -1.0), np.full(links, 2 + 1e-5), np.full(links - 1, -1.0)], [-1, 0, 1], format="csr")
    right = np.zeros((links, 1))
    right[0], right[-1] = 1, -1
    exact = spsolve(matrix.tocsc(), right)
    np.testing.assert_allclose(solve(matrix, right, 1e-8, max_iterations=200)[:, 0], exact, atol=1e-3 * np.abs(exact).max())
