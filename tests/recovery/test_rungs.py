"""Each rung of the ladder on a capture that it alone can help."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
from worlds import World, all_pairs, orbit, place

from recon.capture.records import ImageRecord, write_json
from recon.config import Config, Georef, Recover, Sfm
from recon.features.sift import extract
from recon.features.store import Features
from recon.recovery.keyframes import broken_gaps, denser_keyframes
from recon.recovery.ladder import climb, mapped
from recon.recovery.learned import appended, learned_matching
from recon.recovery.material import Material, Place, in_order, match_pairs, ordered
from recon.recovery.merging import merging
from recon.recovery.pairs import more_pairs
from recon.recovery.settings import LOOSER, other_settings
from recon.recovery.standing import standing
from recon.recovery.tried import Settings
from recon.sfm.mapping import Candidate, Outcome
from recon.sfm.result import adjustment_of

WALK = Path(__file__).parents[2] / "sample_data" / "walk" / "walk.mp4"


@pytest.fixture
def halves() -> tuple[World, list[str], list[str]]:
    """Ten photos around one thing."""
    world = World()
    names = [f"{n:02d}.jpg" for n in range(10)]
    for name, at in zip(names, orbit(10), strict=True):
        world.see(name, at)
    return world, names[:5], names[5:]


def test_more_pairs_connect_halves_that_were_not_matched(halves: tuple[World, list[str], list[str]], tmp_path: Path) -> None:
    world, first, second = halves
    here = place(tmp_path)
    material = world.material(here, all_pairs(first) + all_pairs(second))
    before = standing(material, mapped(material, Settings(), here))
    assert (before.registered, before.others) == (5, 1)
    (tried,) = more_pairs(material, before, here)
    assert tried.words.startswith("matched 25 more pairs across the parts (all that were left)")
    assert tried.material is not None
    after = standing(tried.material, mapped(tried.material, Settings(), here))
    assert (after.registered, after.others, after.is_good) == (10, 0, True)
    assert set(material.tried) < set(tried.material.tried)


def test_of_too_many_pairs_the_likeliest_are_matched(halves: tuple[World, list[str], list[str]], tmp_path: Path) -> None:
    world, first, second = halves
    here = place(tmp_path, Config(recover=Recover(max_pairs=6)))
    material = world.material(here, all_pairs(first) + all_pairs(second))
    (tried,) = more_pairs(material, standing(material, mapped(material, Settings(), here)), here)
    assert tried.material is not None
    new = set(tried.material.tried) - set(material.tried)
    assert len(new) == 6
    assert ordered(first[-1], second[0]) in new, "they were taken one after the other"


def test_looser_settings_place_an_image_that_sees_few_points(tmp_path: Path) -> None:
    world, here = World(), place(tmp_path, Config(sfm=Sfm(mapper="incremental")))
    names = [f"{n:02d}.jpg" for n in range(7)]
    for name, at in zip(names[:6], orbit(6, 60.0), strict=True):
        world.see(name, at)
    world.see(names[6], orbit(7, 72.0)[6], only=range(23))
    material = world.material(here, all_pairs(names))
    before = standing(material, mapped(material, Settings(), here))
    assert before.registered == 6
    tried = list(other_settings(material, before))
    assert tried[0].settings.limits == LOOSER
    after = standing(material, mapped(material, tried[0].settings, here))
    assert after.registered == 7


def test_settings_are_not_tried_where_no_match_leads_on(halves: tuple[World, list[str], list[str]], tmp_path: Path) -> None:
    world, first, second = halves
    here = place(tmp_path)
    material = world.material(here, all_pairs(first) + all_pairs(second))
    (tried,) = other_settings(material, standing(material, mapped(material, Settings(), here)))
    assert tried.material is None
    assert "share no matches" in tried.words


def _two_models(world: World, here, first: list[str], second: list[str]) -> tuple[Material, Outcome]:  # type: ignore[no-untyped-def]
    material = world.material(here, all_pairs(first) + all_pairs(second))
    outcome = mapped(material, Settings(), here)
    assert outcome is not None
    assert len(outcome.others) == 1
    return material, outcome


def test_models_are_joined_by_a_few_common_points(halves: tuple[World, list[str], list[str]], tmp_path: Path) -> None:
    world, first, second = halves
    here = place(tmp_path)
    material, outcome = _two_models(world, here, first, second)
    one, two = ordered(first[-1], second[0])
    bridge = match_pairs(material, [(one, two)], here)[one, two]
    assert bridge is not None
    few = type(bridge)(**{**bridge.__dict__, "matches": bridge.matches[:11]})
    material = material.with_matches({(one, two): few})
    tried = list(merging(material, outcome, adjustment_of(material.records, here.config, 0, 1), here))
    assert tried[0].words == "joined 1 of 1 other models to the largest by common points"
    assert standing(material, tried[0].outcome).registered == 10


def test_models_are_joined_by_gps(tmp_path: Path) -> None:
    world, here = World(), place(tmp_path)
    names = [f"{n:02d}.jpg" for n in range(12)]
    poses = orbit(12, 150.0)
    for name, at in zip(names, poses, strict=True):
        world.see(name, at, gps=True)
    material, outcome = _two_models(world, here, names[:6], names[6:])
    adjustment = adjustment_of(material.records, here.config, 0, 1)
    tried = list(merging(material, outcome, adjustment, here))
    assert [row.words for row in tried] == [
        "the models share fewer than 8 points that fall together",
        "joined 1 of 1 other models to the largest by GPS",
    ]
    joined = tried[1].outcome
    assert joined is not None
    assert standing(material, joined).registered == 12
    model = joined.best.model
    centers = {image.name: image.projection_center() for image in model.images.values() if image.has_pose}
    true = {name: at.inverse().translation for name, at in zip(names, poses, strict=True)}
    ratio = [
        np.linalg.norm(centers[one] - centers[two]) / np.linalg.norm(true[one] - true[two])
        for one, two in ((names[0], names[5]), (names[6], names[11]), (names[0], names[11]))
    ]
    np.testing.assert_allclose(ratio, ratio[0], rtol=0.02)
    off = place(tmp_path, Config(georef=Georef(use_gps=False)))
    assert "switched off" in list(merging(material, outcome, adjustment, off))[1].words


def _frame(number: int) -> ImageRecord:
    name = f"walk/{number:06d}.jpg"
    return ImageRecord(
        name=name, file=f"select/0/images/{name}", source="walk.mp4", sha256="", width=640, height=480, camera="video walk 640x480",
        sequence="walk", frame=number, timestamp_s=number / 25,
    )  # fmt: skip


@pytest.fixture
def video(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Two stretches of the sample video, four keyframes each, of which only those within a stretch were matched."""
    from recon.capture.pixels import write_jpeg
    from recon.capture.video import Frames

    ingest, select = tmp_path / "ingest", tmp_path / "select"
    (ingest / "videos").mkdir(parents=True)
    shutil.copyfile(WALK, ingest / "videos/walk.mp4")
    write_json(ingest / "videos.json", {"videos": [{"name": "walk", "source": "walk.mp4", "file": "videos/walk.mp4", "camera": ""}]})

    def make(wanted: tuple[int, ...], config: dict) -> tuple[Place, Material]:  # type: ignore[type-arg]
        records = [_frame(number) for number in wanted]
        for frame in Frames(WALK):
            if frame.index in wanted:
                write_jpeg(select / "images" / _frame(frame.index).name, frame.rgb())
            if frame.index == wanted[-1]:
                break
        here = place(tmp_path / "out", Config.model_validate(config), ingest=ingest, select=select)
        features = {record.name: extract(select / "images" / record.name, None, (640, 480), 640, 1500, 0.0066) for record in records}
        names = [record.name for record in records]
        bare = Material(tuple(records), features, {}, {}, frozenset(names))
        return here, bare.with_matches(match_pairs(bare, all_pairs(names[:4]) + all_pairs(names[4:]), here))

    return make


def test_more_frames_close_the_gap_in_a_video(video) -> None:  # type: ignore[no-untyped-def]
    wanted = (0, 4, 8, 12, 92, 96, 100, 104)
    here, material = video(wanted, {"features": {"max_keypoints": 1500}})
    names = material.names
    before = standing(material, mapped(material, Settings(), here))
    assert before.registered == 4
    assert (names[3], names[4]) in [(gap.before.name, gap.after.name) for gap in broken_gaps(material, before)]
    (tried,) = denser_keyframes(material, before, here)
    assert "more frames of walk.mp4 between 00:00" in tried.words
    assert tried.material is not None
    added = tried.material.records[len(wanted) :]
    assert len([record for record in added if 12 < (record.frame or 0) < 92]) == 8
    assert not {record.frame for record in added} & set(wanted)
    assert all((here.out / record.file.split("/", 2)[2]).is_file() for record in added)
    frames = [record.frame or 0 for record in tried.material.in_sequence]
    assert frames == sorted(frames)
    after = standing(tried.material, mapped(tried.material, Settings(), here))
    assert (after.registered, after.images, after.is_good) == (8, 8, True)


def test_the_learned_matcher_ties_two_stretches_together(video) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("torch")
    here, material = video((0, 4, 8, 12, 36, 40, 44, 48), {"recover": {"learned_size_px": 400, "max_learned_pairs": 10}})
    before = standing(material, mapped(material, Settings(), here))
    assert before.registered == 4
    (tried,) = learned_matching(material, before, here)
    if "is not there" in tried.words or "weights" in tried.words:
        pytest.skip(tried.words)
    assert tried.material is not None
    one = material.names[3]
    assert len(tried.material.features[one]) > len(material.features[one])
    np.testing.assert_array_equal(tried.material.features[one].keypoints[: len(material.features[one])], material.features[one].keypoints)
    outcome = mapped(tried.material, Settings(), here)
    after = standing(tried.material, outcome)
    assert (after.registered, after.is_whole) == (8, True)
    as_found = replace(here, config=here.config.model_copy(update={"sfm": Sfm(align_keypoints=False)}))
    (raw,) = learned_matching(material, before, as_found)
    assert raw.material is not None
    assert outcome is not None
    without = mapped(raw.material, Settings(), here)
    assert without is not None
    errors = [_learned_errors(found.best.model, material.features) for found in (outcome, without)]
    assert np.median(errors[0]) < 0.5 * np.median(errors[1])


def _learned_errors(model: pycolmap.Reconstruction, own: Mapping[str, Features]) -> NDArray[np.float64]:
    """Reprojection errors in px of the keypoints that came after an image's own."""
    errors = []
    for image in model.images.values():
        for point in image.points2D[len(own[image.name]) :]:
            if point.has_point3D():
                seen = image.project_point(model.points3D[point.point3D_id].xyz)
                errors.append(np.inf if seen is None else np.linalg.norm(seen - point.xy))
    return np.array(errors)


def test_without_video_there_are_no_frames_to_take(halves: tuple[World, list[str], list[str]], tmp_path: Path) -> None:
    world, first, second = halves
    here = place(tmp_path)
    material = world.material(here, all_pairs(first) + all_pairs(second))
    (tried,) = denser_keyframes(material, standing(material, None), here)
    assert (tried.material, tried.words) == (None, "there is no video to take more frames from")


def test_without_the_learned_matcher_the_rung_says_what_to_install(
    halves: tuple[World, list[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, first, second = halves
    here = place(tmp_path)
    material = world.material(here, all_pairs(first) + all_pairs(second))
    monkeypatch.setitem(sys.modules, "recon.matchers.learned", None)  # as where torch is not installed
    (tried,) = learned_matching(material, standing(material, None), here)
    assert tried.material is None
    assert "learned matching is not there" in tried.words
    assert "pip install" in tried.words
    off = place(tmp_path, Config(recover=Recover(max_learned_pairs=0)))
    (tried,) = learned_matching(material, standing(material, None), off)
    assert "switched off" in tried.words


def test_learned_keypoints_come_after_those_of_the_image() -> None:
    own = Features(np.ones((3, 4), np.float32), np.full((3, 128), 9, np.uint8), np.ones((3, 3), np.uint8))
    learned = Features(np.full((2, 4), 5, np.float32), np.zeros((2, 0), np.uint8), np.full((2, 3), 7, np.uint8))
    both = appended(own, learned)
    assert both.keypoints[:, 0].tolist() == [1, 1, 1, 5, 5]
    assert both.descriptors.shape == (5, 128)
    assert both.rgb[:, 0].tolist() == [1, 1, 1, 7, 7]


def test_a_pair_turned_round_says_the_same(halves: tuple[World, list[str], list[str]], tmp_path: Path) -> None:
    world, first, _ = halves
    one, two = first[0], first[2]
    pair = match_pairs(world.material(place(tmp_path), []), [(one, two)], place(tmp_path))[one, two]
    assert pair is not None
    backwards = type(pair)(**{**in_order(pair).__dict__, "name1": two, "name2": one})
    there = in_order(in_order(backwards))
    assert (there.name1, there.name2) == (one, two)
    turned = pycolmap.Rigid3d(in_order(backwards).cam2_from_cam1)
    straight = pycolmap.Rigid3d(pair.cam2_from_cam1)
    np.testing.assert_allclose((turned * straight).matrix(), np.eye(3, 4), atol=1e-9)


def test_the_ladder_never_takes_fewer_images(halves: tuple[World, list[str], list[str]], tmp_path: Path) -> None:
    """A good model of nine images out of ten is kept, though nothing leads to the tenth."""
    world, first, second = halves
    here = place(tmp_path, Config(recover=Recover(max_learned_pairs=0)))
    names = first + second[:-1]
    material = world.material(here, all_pairs(names))
    outcome = mapped(material, Settings(), here)
    assert outcome is not None
    hurt = Outcome(Candidate("auto", outcome.best.model, outcome.best.explained), [], [])
    world.features[second[-1]] = Features.none()
    climbed = climb(material, hurt, here)
    assert (climbed.now.registered, climbed.improved) == (9, False)
    assert climbed.outcome is hurt
    assert [step.rung for step in climbed.steps][:3] == ["denser keyframes", "more pairs", "learned matcher"]
