"""features, pairs, matches and sfm with learned keypoints, and that nothing of it needs torch where SIFT is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pycolmap
import pytest

pytest.importorskip("kornia", reason="learned matching is not installed: pip install -e '.[dev]'")

sys.path.insert(0, str(Path(__file__).parent))
from chain import run
from exact_flight import Flight, make_flight

from recon.capture.pixels import read_rgb, write_png
from recon.capture.records import read_records, write_records
from recon.config import Config, Features, Matches
from recon.errors import ConfigError
from recon.evaluate.poses import pose_errors
from recon.features.store import FeatureStore
from recon.matchers.store import read_matches
from recon.stage import Inputs
from recon.stages.features import stage as features
from recon.stages.matches import stage as matches
from recon.stages.pairs import stage as pairs
from recon.stages.sfm import stage as sfm

SIZE = (400, 300)
COUNT = 8
LEARNED = Config(features=Features(kind="aliked", learned_keypoints=500))


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Flight:
    """Photos of which every other one is upside down, as no record says."""
    made = make_flight(tmp_path_factory.mktemp("flight"), COUNT, SIZE)
    for record in read_records(made.inputs["select"][0])[1::2]:
        path = made.inputs["ingest"][0] / "images" / record.name
        write_png(path, np.ascontiguousarray(np.rot90(read_rgb(path), 2)))
    return made


@pytest.fixture(scope="module")
def learned(flight: Flight, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return run((features, pairs, matches, sfm), flight.inputs, tmp_path_factory.mktemp("learned"), threads=2, config=LEARNED)


def test_images_flown_to_and_fro_are_turned_and_come_together(flight: Flight, learned: Inputs) -> None:
    facts = json.loads((learned["sfm"][0] / "sfm.json").read_text())
    assert facts["registered"] == COUNT
    assert 0.02 < facts["reprojection_error_px"] < 0.6
    store = FeatureStore(learned["features"])
    assert store.kind == "aliked"
    turned = np.array([round(float(store[name].keypoints[0, 3]) / np.pi) % 2 for name in sorted(store)])
    images = sorted(flight.model.images.values(), key=lambda image: image.name)
    right = np.array([image.cam_from_world().rotation.matrix()[0] for image in images])
    upside_down = (right @ right[0] < 0) ^ (np.arange(COUNT) % 2 == 1)  # by the strip that it was flown in, and by the file
    assert len(set((turned == 1) ^ upside_down)) == 1


def test_the_cameras_are_where_they_were(flight: Flight, learned: Inputs) -> None:
    model, truth = pycolmap.Reconstruction(learned["sfm"][0] / "model"), flight.model
    errors = pose_errors(model, truth)
    assert len(errors.names) == COUNT
    assert 0 < errors.summary()["position_share"]["mean"] < 0.01


def test_aligned_keypoints_fit_better(learned: Inputs, tmp_path: Path) -> None:
    plain = LEARNED.model_copy(update={"sfm": LEARNED.sfm.model_copy(update={"align_keypoints": False})})
    beside = run((sfm,), {name: folders for name, folders in learned.items() if name != "sfm"}, tmp_path, config=plain)
    errors = [json.loads((inputs["sfm"][0] / "sfm.json").read_text())["reprojection_error_px"] for inputs in (learned, beside)]
    assert errors[0] < errors[1]


def test_nearest_neighbours_do_for_learned_descriptors_too(learned: Inputs, tmp_path: Path) -> None:
    nearest = LEARNED.model_copy(update={"matches": Matches(kind="nearest")})
    found = run((matches,), learned, tmp_path, config=nearest)
    assert len(read_matches(found["matches"])) >= 5


def test_lightglue_for_sift_is_refused(flight: Flight, tmp_path: Path) -> None:
    asked = Config(features=Features(kind="sift", max_size_px=160, max_keypoints=100), matches=Matches(kind="lightglue"))
    with pytest.raises(ConfigError, match=r"matches\.kind is lightglue"):
        run((features, pairs, matches), flight.inputs, tmp_path, config=asked)


def test_shards_of_several_kinds_are_told_apart(flight: Flight, learned: Inputs, tmp_path: Path) -> None:
    sift = run((features,), flight.inputs, tmp_path, config=Config(features=Features(kind="sift", max_size_px=160)))
    with pytest.raises(ConfigError, match="aliked, sift"):
        FeatureStore([learned["features"][0], sift["features"][0]])


def test_sift_needs_no_torch(flight: Flight, tmp_path: Path) -> None:
    write_records(tmp_path, read_records(flight.inputs["select"][0]))
    code = f"""
import sys
sys.modules["torch"] = sys.modules["kornia"] = None
from pathlib import Path
from recon.config import Config
from recon.stage import Work
from recon.stages.features import stage
inputs = {{"ingest": (Path({str(flight.inputs["ingest"][0])!r}),), "select": (Path({str(tmp_path)!r}),)}}
out = Path({str(tmp_path / "out")!r})
out.mkdir()
stage.run(Config(), inputs, stage.split(Config(), inputs)[0], out, Work())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert FeatureStore([tmp_path / "out"]).kind == "sift"
