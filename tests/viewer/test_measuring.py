"""Measuring with the pointer, on points and on a mesh whose sizes are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import trimesh
from playwright.sync_api import expect
from viewing import until

CENTERS = [[0, 0, 0], [5, 0, 0], [5, 5, 1], [0, 5, 1]]


def press(page, *points, button: str = "left") -> None:
    for point in points:
        x, y = page.evaluate("point => viewer.project(point)", list(point))
        page.mouse.click(x, y)


def kept(page) -> list[dict]:
    return page.evaluate("kept")


@pytest.fixture
def page(open_viewer, cloud_files, marks):
    place = {"products.json": json.dumps({"metric": True, "unit": "m", "frame": "enu"}).encode()}
    return open_viewer({**cloud_files(marks), **place})


@pytest.mark.parametrize(
    ("tool", "corners", "expected", "unit"),
    [
        ("Distance", [0, 1], 5.0, "m"),
        ("Distance", [0, 2], np.sqrt(51), "m"),
        ("Height difference", [2, 0], -1.0, "m"),
        ("Profile", [0, 3], 5.0, "m"),
    ],
)
def test_known_lengths(page, tool, corners, expected, unit):
    page.get_by_label(tool, exact=True).first.click()
    press(page, *(CENTERS[corner] for corner in corners))
    until(page, "kept.length === 1")
    row = kept(page)[0]
    assert row["value"] == pytest.approx(expected, rel=0.005)
    assert row["value"] != expected  # it was measured
    assert (row["unit"], row["metric"], len(row["points"])) == (unit, True, 2)
    expect(page.locator(".v-value")).to_contain_text(f"{expected:.3f}"[:3])


def test_area_ends_on_its_first_corner(page):
    page.get_by_label("Area", exact=True).click()
    press(page, *CENTERS, CENTERS[0])
    until(page, "kept.length === 1")
    row = kept(page)[0]
    assert row["value"] == pytest.approx(5 * np.sqrt(26), rel=0.005)
    assert (row["unit"], len(row["points"])) == ("m²", 4)


def test_mesh_is_measured_and_cut(open_viewer):
    box = trimesh.creation.box((4, 2, 3))  # 4 x 3 x 2 in the world
    page = open_viewer({"mesh.glb": box.export(file_type="glb"), "products.json": b'{"metric": false}'})
    page.get_by_label("From above").click()
    page.wait_for_timeout(700)
    page.get_by_label("Distance", exact=True).click()
    press(page, [-1.9, 1, 1], [0.6, 1, 1])
    until(page, "kept.length === 1")
    assert kept(page)[0]["value"] == pytest.approx(2.5, rel=0.005)
    assert (kept(page)[0]["unit"], kept(page)[0]["metric"]) == ("units", False)
    expect(page.locator(".v-warn")).to_be_visible()
    expect(page.locator(".v-not-metric")).to_be_visible()
    page.get_by_label("Profile", exact=True).click()
    press(page, [-1.9, 0.4, 1], [0.6, 0.4, 1])
    expect(page.locator(".v-plot")).to_have_attribute("aria-label", "Profile over 2.500 units, heights from -1.000 to 1.000 units")


def test_profile_of_points_is_plotted(open_viewer, run_files):
    page = open_viewer(run_files)
    page.get_by_label("From above").click()
    page.wait_for_timeout(700)
    page.get_by_label("Profile", exact=True).click()
    press(page, [-4, 0.5, -1], [4, 0.5, -1])
    page.wait_for_selector(".v-plot")
    told = page.locator(".v-plot").get_attribute("aria-label")
    low, high = (float(part.split(" ")[0]) for part in told.split("from ")[1].split(" to "))
    assert low == pytest.approx(-1.41, abs=0.1)  # the ball, of radius 1.5, half a unit beside its middle
    assert high == pytest.approx(1.41, abs=0.1)
    assert page.locator(".v-dots").get_attribute("d").count("M") > 20


def test_list_renames_deletes_and_exports(page):
    page.get_by_label("Distance", exact=True).click()
    press(page, CENTERS[0], CENTERS[1])
    page.wait_for_timeout(400)  # else it is a double click
    press(page, CENTERS[1], CENTERS[2])
    until(page, "kept.length === 2")
    assert [row["name"] for row in kept(page)] == ["Distance 1", "Distance 2"]
    page.keyboard.press("Escape")
    page.get_by_label("Rename Distance 1").click()
    page.keyboard.type("Ridge <b>")
    page.keyboard.press("Enter")
    until(page, "kept[0].name === 'Ridge <b>'")
    expect(page.locator(".v-name").first).to_have_text("Ridge <b>")
    page.get_by_label("Delete Distance 2").click()
    until(page, "kept.length === 1")
    page.get_by_text("GeoJSON").click()
    page.get_by_text("CSV").click()
    assert page.evaluate("downloads") == ["geojson", "csv"]


def test_a_click_beside_the_model_is_told_and_escape_ends(page):
    page.get_by_label("Distance", exact=True).click()
    press(page, CENTERS[0])
    page.mouse.click(90, 600)
    expect(page.locator(".v-hint")).to_contain_text("no point of the model there")
    page.keyboard.press("Escape")
    press(page, CENTERS[1], CENTERS[2])
    assert kept(page) == []
    expect(page.locator(".v-hint")).to_be_hidden()


def test_on_a_shared_link_nothing_is_kept(open_viewer, cloud_files, marks):
    page = open_viewer(cloud_files(marks), writable=False)
    page.get_by_label("Distance", exact=True).click()
    press(page, CENTERS[0], CENTERS[1])
    expect(page.locator(".v-value")).to_contain_text("5.0")
    assert kept(page) == []


def test_fingers_measure_too(open_viewer, cloud_files, marks):
    page = open_viewer(cloud_files(marks), has_touch=True, viewport={"width": 420, "height": 860})
    page.get_by_label("Distance", exact=True).tap()
    page.wait_for_timeout(300)  # the panel takes its place
    for center in CENTERS[:2]:
        page.touchscreen.tap(*page.evaluate("point => viewer.project(point)", center))
    until(page, "kept.length === 1")
    assert kept(page)[0]["value"] == pytest.approx(5, rel=0.005)


def test_keys_measure_what_lies_in_the_middle(open_viewer):
    page = open_viewer({"mesh.glb": trimesh.creation.box((4, 2, 3)).export(file_type="glb")})
    page.get_by_label("From above").click()
    page.wait_for_timeout(700)
    page.get_by_label("Height difference").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Height difference")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Enter")  # the middle of the top
    page.keyboard.press("Escape")
    assert kept(page) == []
    page.get_by_label("Height difference").press("Enter")
    page.keyboard.press("Enter")
    for _ in range(22):
        page.keyboard.press("ArrowDown")  # to 110 degrees
    page.keyboard.press("Enter")
    until(page, "kept.length === 1")
    assert abs(kept(page)[0]["value"]) == pytest.approx(1 + 1.5 * np.tan(np.radians(20)), rel=0.01)  # of the side that then faces us


def test_a_room_is_looked_into_through_its_ceiling(open_viewer):
    room = trimesh.creation.box((4, 2, 3))
    room.invert()
    page = open_viewer({"mesh.glb": room.export(file_type="glb")})
    page.get_by_label("From above").click()
    page.wait_for_timeout(700)
    page.get_by_label("Distance", exact=True).click()
    press(page, [-1, 1, -1], [0.5, 1, -1])
    until(page, "kept.length === 1")
    row = kept(page)[0]
    assert row["value"] == pytest.approx(1.5, rel=0.005)
    assert [point[2] for point in row["points"]] == pytest.approx([-1, -1], abs=0.01)  # on the floor
