import numpy as np
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from recon.errors import InputError
from recon.geometry.similarity import fit_similarity, spread_share


def similarity(rng, scale):
    rotation = pycolmap.Rotation3d(Rotation.random(rng=rng).as_matrix())
    return pycolmap.Sim3d(scale, rotation, rng.normal(size=3) * 10)


@given(seed=st.integers(0, 2**31), log_scale=st.floats(-6, 6), count=st.integers(4, 40))
@settings(max_examples=60, deadline=None)
def test_any_similarity_is_undone(seed, log_scale, count):
    rng = np.random.default_rng(seed)
    true = similarity(rng, np.exp(log_scale))
    source = rng.normal(size=(count, 3)) + rng.normal(size=3) * 5
    target = true * source
    found = fit_similarity(source, target)
    np.testing.assert_allclose(found * source, target, atol=1e-9 * np.exp(log_scale) + 1e-9)
    np.testing.assert_allclose((found.inverse() * target), source, atol=1e-8 * max(1.0, np.exp(-log_scale)))
    np.testing.assert_allclose(found.rotation.matrix(), true.rotation.matrix(), atol=1e-6)


def test_a_mirror_image_is_not_taken_for_a_rotation():
    source = np.random.default_rng(0).normal(size=(30, 3))
    found = fit_similarity(source, source * [1, 1, -1])
    assert np.linalg.det(found.rotation.matrix()) == pytest.approx(1)
    assert np.abs(found * source - source * [1, 1, -1]).max() > 0.5


def test_without_scale_it_is_rigid():
    rng = np.random.default_rng(1)
    source = rng.normal(size=(30, 3))
    found = fit_similarity(source, similarity(rng, 1.0) * source * 1.1, scale=False)
    assert found.scale == 1.0


@pytest.mark.parametrize("sigma", [1e-3, 1e-2])
def test_noise_comes_out_as_put_in(sigma):
    rng = np.random.default_rng(2)
    source = rng.normal(size=(500, 3))
    true = similarity(rng, 2.0)
    target = true * source + sigma * rng.normal(size=source.shape)
    found = fit_similarity(source, target)
    residual = found * source - target
    assert residual.std() == pytest.approx(sigma, rel=0.1)
    assert 0 < abs(found.scale - 2.0) < sigma
    assert (residual**2).sum() <= ((true * source - target) ** 2).sum()


def test_spread_tells_a_line():
    along = np.linspace(0, 1, 10)[:, None] * [1.0, 2.0, 3.0]
    assert spread_share(along) < 1e-12
    assert spread_share(np.random.default_rng(0).normal(size=(100, 3))) > 0.7
    assert spread_share(np.ones((4, 3))) == 0


@pytest.mark.parametrize("source", [np.zeros((2, 3)), np.full((5, 3), 7.0)])
def test_too_little_is_said_in_words(source):
    with pytest.raises(InputError, match=r"2 point pairs|5 points"):
        fit_similarity(source, source)
