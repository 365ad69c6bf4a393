"""The stage ``recover``: a good model passes through, a poor one goes up the ladder, and what fails says what was tried."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pycolmap
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from exact_flight import make_flight
from test_sparse_stages import photos, run, texture

from recon.capture.records import ImageSet, read_records, write_json, write_records
from recon.config import Config, Recover
from recon.errors import NoOverlap
from recon.matchers.store import read_matches, write_matches
from recon.stage import Inputs
from recon.stages.features import stage as features
from recon.stages.georef import stage as georef
from recon.stages.matches import stage as matches
from recon.stages.pairs import stage as pairs
from recon.stages.recover import stage as recover
from recon.stages.sfm import stage as sfm

QUICK = Config(recover=Recover(max_learned_pairs=0))


@pytest.fixture(scope="module")
def matched(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Nine photos of a flight, matched."""
    flight = make_flight(tmp_path_factory.mktemp("flight"), 9, (480, 360))
    return run((features, pairs, matches), {**flight.inputs}, tmp_path_factory.mktemp("matched"))


def torn(inputs: Inputs, folder: Path, sides: tuple[int, int]) -> Inputs:
    """As if no pair between the first images and the others had been planned."""
    names = sorted(record.name for record in read_records(inputs["select"][0]))
    first = set(names[: sides[0]])
    lost = set(names[sum(sides) :])
    folders = []
    for number, old in enumerate(inputs["matches"]):
        new = folder / "matches" / str(number)
        new.mkdir(parents=True)
        within = [p for p in read_matches([old]) if (p.name1 in first) == (p.name2 in first) and not lost & {p.name1, p.name2}]
        write_matches(new, within)
        rows = json.loads((old / "matches.json").read_text())["pairs"]
        write_json(new / "matches.json", {"pairs": [row for row in rows if (row["name1"] in first) == (row["name2"] in first)]})
        folders.append(new)
    return {**inputs, "matches": tuple(folders)}


def told(inputs: Inputs, file: str = "recovery.json") -> dict:  # type: ignore[type-arg]
    return dict(json.loads((inputs["recover"][0] / file).read_text()))


def hashes(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_good_model_passes_through_as_it_is(matched: Inputs, tmp_path: Path) -> None:
    done = run((sfm, recover), matched, tmp_path)
    assert told(done) == {"needed": False, "enabled": True, "steps": [], "warnings": []}
    for file in sorted((done["sfm"][0]).rglob("*")):
        there = done["recover"][0] / file.relative_to(done["sfm"][0])
        assert there.is_dir() if file.is_dir() else os.path.samefile(file, there)
    assert read_records(done["recover"][0]) == read_records(done["select"][0])


def test_a_capture_in_two_parts_is_brought_together_twice_to_the_same_byte(matched: Inputs, tmp_path: Path) -> None:
    halves = torn(matched, tmp_path, (5, 4))
    done = run((sfm, recover, georef), halves, tmp_path / "one", config=QUICK)
    facts = told(done)
    assert (facts["registered_before"], facts["registered_after"], facts["images"], facts["helped"]) == (5, 9, 9, True)
    assert facts["why"] == "5 of 9 images found their place, in 2 models that do not connect"
    assert facts["outcome"] == "9 of 9 images found their place"
    assert [step["rung"] for step in facts["steps"]] == ["denser keyframes", "more pairs"]
    assert facts["steps"][1]["result"].endswith("(+4)")
    assert facts["apart"] == facts["warnings"] == []
    assert pycolmap.Reconstruction(done["georef"][0] / "model").num_reg_images() == 9
    assert told(done, "sfm.json")["registered"] == 9
    assert len(told(done, "matches.json")["pairs"]) == 36
    again = run((sfm, recover), halves, tmp_path / "two", threads=2, config=QUICK)
    assert hashes(again["recover"][0]) == hashes(done["recover"][0])


def test_switched_off_it_hands_on_what_there_is(matched: Inputs, tmp_path: Path) -> None:
    done = run((sfm, recover), torn(matched, tmp_path, (5, 4)), tmp_path, config=Config(recover=Recover(enabled=False)))
    assert told(done) == {"needed": True, "enabled": False, "steps": [], "warnings": []}
    assert told(done, "sfm.json")["registered"] == 5


def test_what_finds_no_place_is_named_with_a_remedy(matched: Inputs, tmp_path: Path) -> None:
    """A photo of something else joins nothing."""
    inputs = photos(tmp_path / "other", [texture(9)])
    ingest = tmp_path / "ingest"
    shutil.copytree(matched["ingest"][0], ingest)
    shutil.copyfile(inputs["ingest"][0] / "images/0.png", ingest / "images/stray.png")
    stray = read_records(inputs["select"][0])[0].model_copy(
        update={"name": "stray.png", "file": "ingest/0/images/stray.png", "source": "stray.png"}
    )
    write_records(tmp_path, [*read_records(matched["select"][0]), stray])
    both = {"ingest": (ingest,), "select": (tmp_path,)}
    done = run((features, pairs, matches, sfm, recover), both, tmp_path / "run", config=QUICK)
    facts = told(done)
    assert (facts["registered_before"], facts["registered_after"], facts["helped"]) == (9, 9, False)
    (warning,) = facts["warnings"]
    assert warning["code"] == "stays_apart"
    assert warning["message"] == "1 image finds no place in the model: stray.png"
    assert "step apart" in warning["remedy"]
    assert len(ImageSet.read(done)) == 10


def test_where_nothing_helps_the_error_says_what_was_tried(tmp_path: Path) -> None:
    inputs = photos(tmp_path, [texture(seed) for seed in (1, 2, 3)])
    with pytest.raises(NoOverlap) as raised:
        run((features, pairs, matches, sfm, recover), inputs, tmp_path / "run", config=QUICK)
    assert "no two of the 3 images share enough of the scene" in raised.value.message
    for rung in ("denser keyframes", "more pairs", "learned matcher", "other settings"):
        assert f"{rung}: " in raised.value.message
    assert "overlap by two thirds" in raised.value.remedy
    facts = json.loads((tmp_path / "run/sfm/0/sfm.json").read_text())
    assert (facts["registered"], facts["error"]["code"]) == (0, "no_overlap")
    assert not (tmp_path / "run/sfm/0/model").exists()
    assert np.all([not row["registered"] for row in facts["per_image"].values()])
