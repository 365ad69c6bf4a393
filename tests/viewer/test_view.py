"""What the viewer shows: points, mesh, cameras, previews, and words where there is nothing to show."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import trimesh
from fake_run import HOSTILE
from file_server import Answer
from playwright.sync_api import expect
from viewing import describe, ground_share, picture, put, until


def text_of(page) -> str:
    return page.inner_text("#root")


def test_cloud_is_drawn_in_every_colour(open_viewer, run_files):
    page = open_viewer(run_files)
    seen = {}
    for mode in ("photo", "height", "normal", "confidence", "views", "shape"):
        page.select_option("#v-mode", mode)
        seen[mode] = picture(page)
        assert 0.1 < ground_share(seen[mode]) < 0.95
    names = list(seen)
    for number, name in enumerate(names):
        for other in names[:number]:
            assert np.abs(seen[name] - seen[other]).sum(axis=2).max() > 60, (name, other)
    assert "4,000 points, 4,000 drawn" in text_of(page)
    colours = seen["photo"].reshape(-1, 3)
    assert (np.abs(colours - [210, 100, 40]).sum(axis=1) < 30).sum() > 200  # the ball, as it is coloured in the file
    assert (np.abs(colours - [90, 150, 80]).sum(axis=1) < 30).sum() > 2000


def test_the_view_begins_on_the_subject(open_viewer, run_files):
    """What lies far behind it makes it no smaller."""
    place = json.loads(run_files["products.json"])
    low, high = np.array(place["subject"])
    quarter = [(low + (high - low) * share).tolist() for share in (0.375, 0.625)]
    sizes = []
    for subject in (None, quarter):
        page = open_viewer({**run_files, "products.json": json.dumps({**place, "subject": subject}).encode()})
        shown = picture(page)
        sizes.append(int(((shown[..., 0] - shown[..., 1] > 60) & (shown[..., 0] > 150)).sum()))
    assert sizes[1] > 2 * sizes[0]


def test_cloud_lies_where_the_mesh_is(open_viewer, run_files):
    """One is in a projected CRS, the other y up: both lead to the same world."""
    page = open_viewer(run_files)
    points = picture(page)
    page.check("input[value=mesh]")
    page.wait_for_selector("#root[data-layer=mesh]")
    mesh = picture(page)
    red = [(shown[..., 0] - shown[..., 1] > 60) & (shown[..., 0] > 150) for shown in (points, mesh)]
    middles = [np.argwhere(ball).mean(axis=0) for ball in red]
    assert np.abs(middles[0] - middles[1]).max() < 6
    assert red[1].sum() > 1000


def test_mesh_without_texture_and_without_points(open_viewer, tmp_path):
    bare = trimesh.creation.box((2, 3, 1)).export(file_type="glb")
    page = open_viewer({"mesh.glb": bare})
    assert page.get_attribute("#root", "data-layer") == "mesh"
    assert 0.3 < ground_share(picture(page)) < 0.95
    assert "12 triangles, without texture" in text_of(page)
    assert page.is_disabled("input[value=points]")
    faces = picture(page).reshape(-1, 3)
    assert len({tuple(colour) for colour in faces[np.abs(faces - faces[0]).sum(axis=1) > 60] // 8}) >= 2  # its sides are told apart


def test_clipping_box_cuts_points_and_mesh(open_viewer, run_files):
    page = open_viewer(run_files)
    for layer in ("points", "mesh"):
        page.check(f"input[value={layer}]")
        page.wait_for_selector(f"#root[data-layer={layer}]")
        page.get_by_label("Clipping box").uncheck()
        whole = ground_share(picture(page))
        page.get_by_label("Clipping box").check()
        page.get_by_label("X to").fill("100")
        assert whole + 0.04 < ground_share(picture(page)) < 0.99
        page.get_by_text("Show all").click()
        assert ground_share(picture(page)) == pytest.approx(whole, abs=0.02)


def test_a_camera_is_looked_through(open_viewer, run_files):
    """A point of the model lies on the photo where the photo's camera sees it."""
    page = open_viewer(run_files)
    page.get_by_label("Cameras").check()
    page.get_by_label("Look through a/003.jpg").click()
    expect(page.locator(".v-over")).to_be_visible()
    row = next(row for row in json.loads(run_files["photos.json"])["photos"] if row["name"] == "a/003.jpg")
    point = np.array([0.7, -0.4, 1.1])
    cam = np.array(row["cam_from_world"]) @ np.append(point, 1)
    fx, fy, cx, cy = row["k"]
    box = page.locator(".v-over").bounding_box()
    scale = box["width"] / row["width"]
    expected = [box["x"] + (fx * cam[0] / cam[2] + cx) * scale, box["y"] + (fy * cam[1] / cam[2] + cy) * scale]
    assert page.evaluate("point => viewer.project(point)", point.tolist()) == pytest.approx(expected, abs=0.6)
    page.get_by_label("Photo over the model").fill("100")
    assert (picture(page)[250:300, 250:300] == 128).mean() > 0.9  # the photo, which is grey
    page.get_by_label("Photo over the model").fill("0")
    assert (picture(page)[250:300, 250:300] == 128).mean() < 0.1
    page.keyboard.press("Escape")
    expect(page.locator(".v-over")).to_be_hidden()


def test_a_camera_is_pressed_in_the_scene(open_viewer, run_files):
    page = open_viewer(run_files)
    page.get_by_label("Cameras").check()
    row = json.loads(run_files["photos.json"])["photos"][4]
    pose = np.array(row["cam_from_world"])
    x, y = page.evaluate("point => viewer.project(point)", (-pose[:, :3].T @ pose[:, 3]).tolist())
    page.mouse.move(x, y)
    expect(page.locator(".v-tip")).to_have_text(row["name"])
    page.mouse.click(x, y)
    expect(page.locator(".v-through-name")).to_have_text(row["name"])


def test_cameras_are_known_without_their_photos(open_viewer, run_files):
    """nerfstudio's file says the same as ours."""
    files = {name: run_files[name] for name in ("points.laz", "products.json", "transforms.json")}
    page = open_viewer(files)
    page.get_by_label("Cameras").check()
    row = next(row for row in json.loads(run_files["photos.json"])["photos"] if row["name"] == "a/004.jpg")
    pose = np.array(row["cam_from_world"])
    page.mouse.move(*page.evaluate("point => viewer.project(point)", (-pose[:, :3].T @ pose[:, 3]).tolist()))
    expect(page.locator(".v-tip")).to_have_text("004.jpg")
    page.get_by_label("Look through 004.jpg").click()
    expect(page.locator(".v-through-name")).to_have_text("004.jpg")
    assert page.locator(".v-over").is_hidden()


def test_names_are_text(open_viewer, run_files):
    evil = {
        "id": "m0",
        "kind": "distance",
        "name": HOSTILE,
        "points": [[0, 0, 0], [1, 0, 0]],
        "value": 1,
        "unit": "<b>m</b>",
        "metric": True,
    }
    page = open_viewer(run_files, measurements=[evil])
    page.get_by_label("Cameras").check()
    page.get_by_label("Look through b/").click()
    expect(page.locator(".v-through-name")).to_have_text(HOSTILE)
    page.click(".v-panels [aria-label=Measurements]")
    expect(page.locator(".v-name")).to_have_text(HOSTILE)
    assert "<b>m</b>" in text_of(page)
    assert page.locator("#root i, #root b, #root img[src=x]").count() == 0


def test_previews_give_way_to_results_and_the_view_stays(open_viewer, server, run_files, cloud_files, marks):
    preview = {"dense.ply": cloud_files(marks)["dense.ply"]}
    page = open_viewer({}, preview)
    assert page.get_attribute("#root", "data-source") == "dense.ply"
    assert "Early preview" in text_of(page)
    page.locator(".v-canvas").focus()
    page.keyboard.press("ArrowRight")
    before = page.evaluate("viewer.project([1, 2, 0])")
    put(server, run_files)
    page.evaluate("rows => arrive(rows)", describe(run_files, "result") + describe(preview, "preview"))
    page.wait_for_selector("#root[data-source='points.laz']")
    assert page.evaluate("viewer.project([1, 2, 0])") == pytest.approx(before, abs=0.01)
    assert "Early preview" not in text_of(page)
    assert page.is_enabled("input[value=mesh]")


def test_the_view_follows_the_model_until_somebody_takes_hold_of_it(open_viewer, server, run_files, cloud_files, marks):
    page = open_viewer({}, {"dense.ply": cloud_files(marks)["dense.ply"]})
    before = page.evaluate("viewer.project([0, 0, 0])")
    put(server, run_files)
    page.evaluate("rows => arrive(rows)", describe(run_files, "result"))
    page.wait_for_selector("#root[data-source='points.laz']")
    after = page.evaluate("viewer.project([0, 0, 0])")
    assert np.hypot(*np.subtract(before, (500, 350))) > 80  # the marks' corner
    assert np.hypot(*np.subtract(after, (500, 350))) < 40  # the run's middle


def test_nothing_yet_and_nothing_at_all(open_viewer, cloud_files, marks):
    page = open_viewer({}, wait="empty")
    assert "The first preview appears here" in text_of(page)
    page = open_viewer(cloud_files(marks.take(np.zeros(0, np.int64))), wait="empty")
    assert "no points and no mesh" in text_of(page)


def test_a_lost_file_is_told_and_the_rest_is_shown(open_viewer, server, run_files):
    page = open_viewer(run_files, wait=None, query="?wait")
    until(page, "Boolean(window.mount)")
    server.answers["/files/points.laz"] = Answer(status=404)
    page.evaluate("mount()")
    page.wait_for_selector("#root[data-state=ready][data-layer=mesh]")
    assert "points.laz is no longer there" in page.inner_text(".v-problem")


def test_a_url_that_ran_out_is_renewed_and_a_busy_server_asked_again(open_viewer, server, run_files):
    page = open_viewer(run_files, wait=None, query="?wait")
    until(page, "Boolean(window.mount)")
    server.answers["/files/points.laz"] = Answer(status=403)
    server.answers["/files/products.json"] = Answer(status=503, headers={"Retry-After": "1"})
    page.evaluate("mount()")
    page.wait_for_timeout(300)
    put(server, {"products.json": run_files["products.json"]})
    page.wait_for_selector("#root[data-state=ready]")
    assert page.get_attribute("#root", "data-source") == "points.laz"
    assert page.evaluate("asked.filter(([name, renew]) => renew).map(([name]) => name)") == ["points.laz"]
    assert page.locator(".v-problem").is_hidden()


def test_damaged_files_are_told(open_viewer, run_files):
    files = {"points.laz": run_files["points.laz"][:2000], "mesh.glb": b"glTF" + struct.pack("<II", 2, 12)}
    page = open_viewer(files, wait="error")
    assert len(page.inner_text(".v-problem")) > 10


def test_lost_graphics_come_back(open_viewer, run_files):
    page = open_viewer(run_files)
    before = ground_share(picture(page))
    page.evaluate(
        """window.gl = document.querySelector('.v-canvas').getContext('webgl2').getExtension('WEBGL_lose_context'); gl.loseContext()"""
    )
    expect(page.locator(".v-message")).to_contain_text("graphics card")
    page.evaluate("gl.restoreContext()")
    expect(page.locator(".v-message")).to_be_hidden()
    assert ground_share(picture(page)) == pytest.approx(before, abs=0.02)


def test_viewers_come_and_go_without_a_trace(open_viewer, run_files):
    page = open_viewer(run_files)
    page.evaluate("viewer.dispose(); mount()")
    page.wait_for_selector("#root[data-state=ready]")
    page.evaluate("viewer.dispose(); arrive([])")
    for _ in range(17):  # a browser holds sixteen contexts
        page.evaluate("mount().then(() => viewer.dispose())")
    assert page.evaluate("[document.getElementById('root').childElementCount, listeners.size]") == [0, 0]
    page.wait_for_timeout(200)
    assert len(page.workers) == 0
    assert not any("Too many active WebGL contexts" in text for text in open_viewer.complaints)


def test_keys_do_what_the_pointer_does(open_viewer, run_files):
    page = open_viewer(run_files)
    page.locator(".v-canvas").focus()
    before = page.evaluate("viewer.project([5, 5, 0])")
    for key in ("ArrowLeft", "ArrowUp", "+"):
        page.keyboard.press(key)
        after = page.evaluate("viewer.project([5, 5, 0])")
        assert np.hypot(*np.subtract(after, before)) > 4
        before = after
    page.keyboard.press("Tab")
    reached = set()
    for _ in range(24):
        reached.add(
            page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.id || document.activeElement.type")
        )
        page.keyboard.press("Tab")
    assert {"Walk", "Distance", "Area", "Whole model", "Display", "v-mode", "v-size", "checkbox"} <= reached
    page.get_by_label("Walk", exact=True).first.click()
    page.locator(".v-canvas").focus()
    page.keyboard.down("w")
    page.wait_for_timeout(300)
    page.keyboard.up("w")
    walked = page.evaluate("viewer.project([5, 5, 0])")
    assert walked is None or np.hypot(*np.subtract(walked, before)) > 4
    page.keyboard.press("Escape")
    assert page.get_by_label("Orbit").get_attribute("aria-pressed") == "true"


def test_ground_follows_the_theme(open_viewer, run_files):
    page = open_viewer(run_files, color_scheme="light")
    assert picture(page)[0, 0].mean() > 200
    page.emulate_media(color_scheme="dark")
    assert picture(page)[0, 0].mean() < 60
    page.evaluate("document.documentElement.dataset.theme = 'light'")  # as the page's own switch does
    assert picture(page)[0, 0].mean() > 200


def test_views_change_at_once_where_no_motion_is_wanted(open_viewer, run_files):
    page = open_viewer(run_files, reduced_motion="reduce")
    before, after = page.evaluate(
        """() => {
          const seen = [viewer.project([3, 3, 0])];
          document.querySelector('[aria-label="From above"]').click();
          return [...seen, viewer.project([3, 3, 0])];
        }"""
    )
    assert np.hypot(*np.subtract(after, before)) > 20
    page.wait_for_timeout(700)
    assert page.evaluate("viewer.project([3, 3, 0])") == pytest.approx(after, abs=0.01)


def test_without_webgl_there_is_a_picture(open_viewer, run_files):
    page = open_viewer(run_files, wait="still", init="HTMLCanvasElement.prototype.getContext = () => null")
    page.wait_for_selector(".v-still:not([hidden])")
    assert "cannot show the model in 3D" in text_of(page)
    assert page.evaluate("document.querySelector('.v-still').naturalWidth") == 1600
    page.evaluate("viewer.dispose()")
    assert page.evaluate("document.getElementById('root').childElementCount") == 0
