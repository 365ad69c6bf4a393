import json

import numpy as np
import pycolmap
import pytest
from scipy.spatial.transform import Rotation

from recon.errors import InputError
from recon.evaluate.poses import match_names, pose_errors
from recon.simulate.cameras import look_at, pose
from recon.simulate.sensors import make_camera
from recon.simulate.write import truth_model

CAMERA = make_camera((640, 480), 0.8)


def model(rng=None, sigma=0.0, turn_deg=0.0, names=None, line=False, count=40):
    """Cameras on an arc (or a line), their centres and rotations disturbed by the given deviations of each coordinate."""
    angle = np.linspace(0, np.pi, count)
    centers = np.stack([3 * np.cos(angle), 3 * np.sin(angle), 1 + 0.2 * np.sin(5 * angle)], 1)
    if line:
        centers = np.linspace(0, 1, count)[:, None] * [4.0, 1.0, 0.0] + [-2, 3, 1]
    rotations = np.array([look_at(c, np.zeros(3)) for c in centers])
    if rng is not None:
        centers = centers + sigma * rng.normal(size=centers.shape)
        rotations = rotations @ Rotation.from_rotvec(np.radians(turn_deg) * rng.normal(size=centers.shape)).as_matrix()
    names = names or [f"{n:04d}.jpg" for n in range(count)]
    return truth_model(CAMERA, names, [pose(r, c) for r, c in zip(rotations, centers, strict=True)])


def moved(reconstruction, scale=3.0):
    reconstruction.transform(pycolmap.Sim3d(scale, pycolmap.Rotation3d(Rotation.random(rng=5).as_matrix()), np.array([5.0, -1, 2])))
    return reconstruction


@pytest.mark.parametrize("line", [False, True])
def test_a_moved_truth_has_no_error(line):
    errors = pose_errors(moved(model(line=line)), model(line=line))
    assert len(errors.names) == errors.true_images == 40
    assert errors.position.max() < 1e-9
    assert errors.rotation_deg.max() < 1e-5
    assert errors.truth_from_model.scale == pytest.approx(1 / 3)


@pytest.mark.parametrize("line", [False, True])
@pytest.mark.parametrize(("sigma", "turn_deg"), [(0.001, 0.05), (0.02, 0.5)])
def test_noise_put_in_comes_out(sigma, turn_deg, line):
    noisy = moved(model(np.random.default_rng(1), sigma, turn_deg, line=line))
    errors = pose_errors(noisy, model(line=line))
    assert np.sqrt((errors.position**2).mean()) == pytest.approx(sigma * np.sqrt(3), rel=0.2)
    rotation_rms = np.sqrt((errors.rotation_deg**2).mean())
    assert 0.85 * turn_deg * np.sqrt(3) < rotation_rms < 1.3 * turn_deg * np.sqrt(3) + np.degrees(sigma)


def test_summary_is_json_and_consistent():
    errors = pose_errors(moved(model(np.random.default_rng(2), 0.01, 0.1)), model())
    summary = json.loads(json.dumps(errors.summary()))
    position = summary["position"]
    assert 0 < position["median"] <= position["rms"] <= position["max"]
    assert position["mean"] <= position["rms"]
    assert summary["position_share"]["mean"] == pytest.approx(position["mean"] / summary["path_length"])
    assert np.pi * 3 < summary["path_length"] < 1.2 * np.pi * 3
    assert max(row["position"] for row in summary["per_image"].values()) == position["max"]


def test_scale_and_frame_count_when_asked():
    rigid = pose_errors(moved(model(), scale=1.02), model(), align="rigid")
    assert rigid.truth_from_model.scale == 1.0
    assert 0.02 < rigid.position.max() < 0.1
    shifted = model()
    shifted.transform(pycolmap.Sim3d(1.0, pycolmap.Rotation3d(np.eye(3)), np.array([0.0, 0.3, 0.4])))
    np.testing.assert_allclose(pose_errors(shifted, model(), align="none").position, 0.5, atol=1e-12)


def test_names_are_matched_exactly_or_by_their_last_part():
    assert match_names({"a/1.jpg", "a/2.jpg"}, {"a/1.jpg", "b/2.jpg"}) == [("a/1.jpg", "a/1.jpg")]
    assert match_names({"images/1.png", "images/2.png"}, {"1.jpg", "2.jpg"}) == [("images/1.png", "1.jpg"), ("images/2.png", "2.jpg")]
    assert match_names({"a/1.png", "b/1.png", "b/2.png"}, {"1.jpg", "2.jpg"}) == [("b/2.png", "2.jpg")]
    part = pose_errors(model(names=[f"x/{n:04d}.png" for n in range(25, 65)]), model())
    assert part.names == tuple(f"{n:04d}.jpg" for n in range(25, 40))
    assert part.true_images == 40


def test_too_few_common_images_are_said_with_the_names():
    with pytest.raises(InputError, match=r"0 of the model's 40 images.*frame_0\.jpg.*0000\.jpg"):
        pose_errors(model(names=[f"frame_{n}.jpg" for n in range(40)]), model())
    with pytest.raises(InputError, match="2 of the model's 2"):
        pose_errors(model(count=2), model())
