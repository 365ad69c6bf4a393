"""The sample capture is what its script makes, and its truth is the truth."""

import json
from pathlib import Path

import av
import numpy as np
import pycolmap
import pytest

from recon.evaluate import evaluate
from recon.simulate import Truth
from recon.simulate.kinds import pictures, plan_capture

WALK = Path(__file__).parent.parent.parent / "sample_data" / "walk"
SHOWN = 83


@pytest.fixture(scope="module")
def truth():
    return Truth.read(WALK / "truth")


def test_it_is_small_and_whole(truth):
    assert (WALK / "walk.mp4").stat().st_size < 4e6
    assert (WALK / "truth" / "mesh.ply").stat().st_size < 2e6
    model = pycolmap.Reconstruction(WALK / "truth" / "cameras")
    with av.open(str(WALK / "walk.mp4")) as container:
        count = sum(1 for _ in container.decode(video=0))
    assert sorted(i.name for i in model.images.values()) == [f"walk.mp4/{n:06d}.jpg" for n in range(count)]
    assert truth.images == count


def test_a_frame_shows_the_scene_from_its_true_pose(truth):
    plan = plan_capture(truth.kind, truth.options)
    model = pycolmap.Reconstruction(WALK / "truth" / "cameras")
    image = next(i for i in model.images.values() if i.name == f"walk.mp4/{SHOWN:06d}.jpg")
    path_pose = plan.path.pose(plan.times_s[SHOWN])
    np.testing.assert_allclose(image.cam_from_world().matrix(), path_pose.matrix(), atol=1e-9)
    with av.open(str(WALK / "walk.mp4")) as container:
        shown = next(f for n, f in enumerate(container.decode(video=0)) if n == SHOWN).to_ndarray(format="rgb24").astype(float)

    def difference(shift):
        late = plan.path.pose(plan.times_s[SHOWN + shift])
        frozen = type(plan)(plan.scene, plan.camera, _Still(late), np.zeros(1), ["x"])
        again = next(pictures(frozen, truth.options.model_copy(update={"noise": 0.0, "exposure_ev": 0.0}))).astype(float)
        return np.abs(shown - again).mean()

    assert 0.5 < difference(0) < 8  # of 255, for the codec, the noise and the exposure
    assert difference(2) > 2 * difference(0)


class _Still:
    def __init__(self, cam_from_world):
        self.cam_from_world = cam_from_world

    def pose(self, _time_s):
        return self.cam_from_world


def test_expected_ranges_name_values_that_eval_gives():
    expected = json.loads((WALK / "expected.json").read_text())
    scores = evaluate(WALK / "truth" / "cameras", WALK / "truth")
    for name, (low, high) in expected.items():
        assert low < high
        section, _, rest = name.partition(".")
        assert section in ("poses", "cloud", "mesh")
        if section == "poses":
            value = scores[section]
            for key in rest.split("."):
                value = value[key]
            assert isinstance(value, int | float)
            assert value <= high
    assert expected["poses.position_share.mean"][1] <= 0.001
    assert expected["cloud.accuracy_90.share"][1] <= 0.002
    assert expected["cloud.completeness_90.share"][1] <= 0.002
