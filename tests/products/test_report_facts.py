from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_run import HOSTILE, make_run

from recon.config import Config
from recon.products.report.timing import covered, peak, stage_row
from recon.products.report.verdict import judge, own_warnings
from recon.stage import Work
from recon.stages.products import stage as products
from recon.stages.report import stage as report


def test_covered_counts_overlap_once_and_pauses_not_at_all():
    assert covered([(0, 10), (5, 12), (20, 21)]) == 13
    assert covered([(3, 4), (0, 10)]) == 10
    assert covered([]) == 0


def test_peak_adds_up_what_ran_at_once():
    spans = [(0.0, 10.0), (5.0, 12.0), (12.0, 20.0)]
    assert peak(spans, [100, 200, 250]) == 300
    assert peak([(0.0, 1.0)], [7]) == 7


def test_stage_without_marks_has_no_times(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "DONE").write_text(json.dumps({"start_s": 1.0, "end_s": 3.5, "peak_mb": 10}))
    assert stage_row("x", [tmp_path / "a"]) == {"name": "x", "shards": 1, "seconds": 2.5, "busy_s": 2.5, "peak_mb": 10.0}
    (tmp_path / "b").mkdir()
    assert stage_row("x", [tmp_path / "a", tmp_path / "b"])["seconds"] is None


def facts(**changes: Any) -> dict[str, Any]:
    return {
        "images": {"used": 20, "registered": 20},
        "reprojection_error_px": 0.6,
        "mean_track_length": 5.0,
        "texture": {"coverage": 0.95},
        "points_by_views": {"2": 10, "3": 90},
        "skipped": [],
        "scale": {"metric": True, "source": "gps", "rms_m": 0.5},
    } | changes


def test_good_figures_are_green_and_warn_of_nothing():
    verdict = judge(facts())
    assert verdict["level"] == "green"
    assert {reason["level"] for reason in verdict["reasons"]} == {"green"}
    assert own_warnings(facts(), set()) == []


@pytest.mark.parametrize(
    ("change", "level", "code"),
    [
        ({"images": {"used": 20, "registered": 17}}, "amber", "images_left_out"),
        ({"images": {"used": 20, "registered": 5}}, "red", "images_left_out"),
        ({"reprojection_error_px": 1.5}, "amber", "high_reprojection_error"),
        ({"reprojection_error_px": 4.0}, "red", "high_reprojection_error"),
        ({"mean_track_length": 2.7}, "amber", "thin_overlap"),
        ({"points_by_views": {"2": 90, "3": 10}}, "red", "weak_dense_cloud"),
        ({"texture": {"coverage": 0.7}}, "amber", "low_texture_coverage"),
        ({"depth": {"unseen_share": 0.5}}, "amber", "much_unseen"),
        ({"depth": {"unseen_share": 0.9}}, "red", "much_unseen"),
    ],
)
def test_bad_figures_are_named_with_a_remedy(change, level, code):
    verdict = judge(facts(**change))
    assert verdict["level"] == level
    assert verdict["reasons"][0]["level"] == level  # the worst first
    (warning,) = own_warnings(facts(**change), set())
    assert warning["code"] == code
    assert warning["remedy"]
    assert own_warnings(facts(**change), {code}) == []  # said by a stage already


def test_arbitrary_scale_is_told_but_is_no_fault():
    verdict = judge(facts(scale={"metric": False}))
    assert verdict["level"] == "green"
    assert any("arbitrary" in reason["text"] for reason in verdict["reasons"])
    assert [row["code"] for row in own_warnings(facts(scale={"metric": False}), set())] == ["arbitrary_scale"]
    assert own_warnings(facts(scale={"metric": False}), {"georef"}) == []  # a sentence of that stage says it


def test_files_that_were_not_used_are_named_but_not_all_of_many():
    rows = [{"source": f"{n}.jpg", "reason": "damaged"} for n in range(7)]
    (warning,) = own_warnings(facts(skipped=rows), set())
    assert warning["message"] == "7 files were not used: 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 2 more"
    (warning,) = own_warnings(facts(skipped=rows[:1]), set())
    assert warning["message"] == "1 file was not used: 0.jpg"


def run_both(root: Path, metric: bool) -> dict[str, Any]:
    inputs = make_run(root, metric)
    config = Config.model_validate({"products": {"turntable_s": 0}, "mesh": {"faces": 12345}, "seed": 7})
    products.run(config, inputs, {}, inputs["products"][0], Work())
    out = root / "report"
    out.mkdir()
    report.run(config, inputs, {}, out, Work())
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_both(tmp_path_factory.mktemp("run"), metric=True)


def test_report_counts_images(told):
    images = told["images"]
    assert (images["used"], images["registered"], images["photos"], images["video_frames"]) == (13, 12, 13, 150)
    assert images["given"] == 13 + 150 + 1  # photos, frames, and the file that is no image
    assert told["skipped"] == [{"source": "<b>notes</b>.jpg", "reason": "not an image"}]
    assert (told["keyframes"]["candidates"], told["keyframes"]["kept"]) == (30, 10)


def test_report_says_scale_points_faces_and_camera(told):
    assert told["scale"]["metric"] is True
    assert (told["scale"]["source"], told["scale"]["rms_m"], told["scale"]["crs"]) == ("gps", 0.4, "EPSG:32630")
    assert (told["points"], told["faces"]) == (4000, 2176)
    assert sum(told["points_by_views"].values()) == 4000
    assert told["depth"] == {"unseen_share": 0.25}
    (camera,) = told["cameras"]
    assert (camera["model"], camera["images"], camera["focal_px"], camera["prior_focal_px"]) == ("SIMPLE_RADIAL", 12, 520.0, 500.0)
    assert told["reprojection_error_px"] == 0.424


def test_report_lists_every_image(told):
    rows = {row["name"]: row for row in told["per_image"]}
    assert len(rows) == 13
    assert rows["a/000.jpg"]["position"] == pytest.approx([9, 0, 4])
    assert (rows["a/left_out.jpg"]["registered"], rows["a/left_out.jpg"]["residual_px"]) == (False, None)
    assert rows[HOSTILE]["residual_px"] == pytest.approx(0.64)


def test_report_has_time_memory_versions_seed_and_config(told):
    assert [row["name"] for row in told["stages"]] == list(report.needs)
    assert {row["seconds"] for row in told["stages"]} == {7.5}
    assert told["seconds"] == pytest.approx(7.5 * len(report.needs))
    assert told["peak_mb"] == max(row["peak_mb"] for row in told["stages"])
    assert {"recon", "python", "pycolmap", "open3d", "opencv-python-headless", "numpy"} <= set(told["versions"])
    assert (told["seed"], told["config"]["mesh"]["faces"], told["config"]["seed"]) == (7, 12345, 7)
    assert "points.laz" in {row["name"] for row in told["files"]}


def test_report_collects_warnings_in_one_form(told):
    assert {frozenset(row) for row in told["warnings"]} == {frozenset({"code", "stage", "message", "remedy"})}
    assert {"weak_link", "files_skipped", "select"} == {row["code"] for row in told["warnings"]}


def test_report_without_gps_says_so(tmp_path):
    told = run_both(tmp_path, metric=False)
    assert (told["scale"]["metric"], told["scale"]["unit"]) == (False, "arbitrary")
    assert "arbitrary_scale" in {row["code"] for row in told["warnings"]}


def test_report_reads_every_section_so_that_config_is_whole():
    assert set(report.sections) == set(Config.model_fields) - {"seed"}
