"""From a dropped capture to a measured distance and a link that ends, as somebody would do it who has never seen the page."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import trimesh
from conftest import OPTIONS, Flight, Open, Served
from numpy.typing import NDArray
from playwright.sync_api import Page, Route, expect
from proxy import proxied
from scipy.spatial import cKDTree

HELD_FROM = 4
"""Parts that arrive before the page is loaded anew."""
REACH_M = 14.0
"""East and north of the middle: what several photos see."""
LEVEL_M = 0.5
"""A place is taken from ground that is level about so far around."""


def test_from_drop_to_revoke(open_page: Open, served: Served, flight: Flight, look) -> None:
    page = open_page()
    expect(page.get_by_text("No models yet")).to_be_visible()
    look(page, "1-empty")
    capture = upload_with_a_reload(page, flight.photos, look)
    with_quick_options(page, served)
    expect(page.get_by_role("heading", name="This will make one model")).to_be_visible(timeout=90_000)
    look(page, "4-ready")
    page.get_by_text("Fast", exact=True).click()
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile("#/jobs/"))
    job = page.url.rsplit("/", 1)[-1]
    watch(page, served, job, look)
    measure(page, served, job, flight, look)
    page.get_by_role("tab", name="Files").click()
    expect(page.get_by_role("link", name="mesh.glb")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="cameras.csv").click()
    assert Path(download.value.path()).read_text().startswith("name,x,y,z")
    look(page, "8-files")
    page.get_by_role("tab", name="Report").click()
    expect(page.frame_locator("iframe").locator("h1, h2").first).to_be_visible()
    share_and_revoke(page, open_page, look)
    with served.client() as client:
        assert client.get(f"/v1/captures/{capture}").json()["name"] == "Fields"
    page.goto(f"{served.url}/#/")
    expect(page.locator(".thumb img")).to_be_visible()
    look(page, "12-jobs")
    delete_and_undo(page, served, job)


def test_all_of_it_below_a_prefix(open_page: Open, served: Served) -> None:
    """The model that the walk has left, through a proxy that knows the page as one part of a larger site."""
    with served.client() as client, proxied(served.url, "/models/ours") as at:
        (job,) = client.get("/v1/jobs").json()["items"]
        page = open_page(at=at)
        expect(page.locator(".thumb img")).to_be_visible()
        page.locator(".job-link").click()
        page.wait_for_selector(".model .viewer[data-state=ready]", timeout=60_000)
        assert page.get_attribute(".model .viewer", "data-source") == "points.laz"
        page.get_by_role("tab", name="Report").click()
        expect(page.frame_locator("iframe").locator("h1, h2").first).to_be_visible()
        page.get_by_role("tab", name="Files").click()
        with page.expect_download() as download:
            page.get_by_role("link", name="cameras.csv").click()
        assert Path(download.value.path()).read_text().startswith("name,x,y,z")
        assert page.url == f"{at}/#/jobs/{job['id']}"


def upload_with_a_reload(page: Page, photos: list[Path], look) -> str:
    sent: list[str] = []
    held: list[Route] = []

    def hold(route: Route) -> None:
        sent.append(route.request.url)
        if len(sent) <= HELD_FROM:
            route.continue_()
        else:
            held.append(route)  # on the way for ever: the connection is lost

    page.route("**/v1/parts/*", hold)
    page.locator("[data-pick=files]").set_input_files(photos)
    page.wait_for_url(re.compile("#/captures/"))
    expect(page.locator(".facts")).to_contain_text(f"{HELD_FROM} of {len(photos)} files")
    look(page, "2-uploading")
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    page.unroute("**/v1/parts/*", hold)
    expect(page.get_by_role("heading", name="The upload was interrupted")).to_be_visible()
    expect(page.get_by_text(f"{HELD_FROM} files of {len(photos)} arrived whole")).to_be_visible()
    look(page, "3-interrupted")
    page.get_by_role("button", name="Rename").click()
    page.get_by_role("textbox", name="Name").fill("Fields")
    page.get_by_role("button", name="Save").click()
    again: list[str] = []
    page.on("request", lambda asked: again.append(asked.url) if asked.method == "PUT" else None)
    page.locator("[data-pick=files]").set_input_files(photos)
    page.wait_for_selector("text=Looking at your images", timeout=30_000)
    assert len(again) == len(photos) - HELD_FROM  # what had arrived is not sent again
    return page.url.rsplit("/", 1)[-1]


def with_quick_options(page: Page, served: Served) -> None:
    """The job that is started has options that make it quick, besides those that are chosen on the page."""

    def quick(route: Route) -> None:
        wanted = route.request.post_data_json
        assert wanted["config"] == {}
        route.continue_(post_data={**wanted, "config": OPTIONS})

    page.route(re.compile("/v1/jobs$"), quick)


def watch(page: Page, served: Served, job: str, look) -> None:
    stages = page.get_by_text("Stages", exact=True)
    stages.click()
    expect(page.locator(".stages .running, .stages .done").first).to_be_visible()
    page.wait_for_selector(".model .viewer[data-state]", timeout=120_000)
    with served.client() as client:
        state = client.get(f"/v1/jobs/{job}").json()["state"]
    assert state == "running", "an early preview is there before the end"
    expect(page.locator(".progress-words")).to_contain_text("left")
    look(page, "5-running")
    stages.click()
    expect(page.locator(".verdict-card")).to_be_visible(timeout=240_000)
    expect(page.locator(".progress-words")).to_contain_text("Done in")


def measure(page: Page, served: Served, job: str, flight: Flight, look) -> None:
    """A distance between two places of the scene, which is known, and not only between two points of the model."""
    page.wait_for_selector(".model .viewer[data-state=ready]", timeout=60_000)
    look(page, "6-model")
    with served.client() as client:

        def file(name: str) -> bytes:
            return client.get(f"/v1/jobs/{job}/artifacts/{name}?stream=1").content

        true, seen = two_places(flight, file("cameras.csv"), points_of(file("points.ply")))
        saved = measured_on(page, client, job, seen)
    assert saved["value"] == pytest.approx(float(np.linalg.norm(true[0] - true[1])), rel=0.005)
    assert (saved["kind"], saved["unit"], saved["metric"]) == ("distance", "m", True)
    page.reload()
    page.wait_for_selector(".model .viewer[data-state=ready]", timeout=60_000)
    page.get_by_role("button", name="Measurements").first.click()
    expect(page.get_by_text("Distance 1").first).to_be_visible()
    look(page, "7-measured")


def points_of(ply: bytes) -> NDArray[np.float64]:
    """x, y, z of our own binary clouds."""
    header, _, body = ply.partition(b"end_header\n")
    count = int(re.search(rb"element vertex (\d+)", header)[1])  # type: ignore[index]
    rows = np.frombuffer(body, np.uint8).reshape(count, -1)
    return np.ascontiguousarray(rows[:, :12]).view("<f4").astype(float)


def two_places(flight: Flight, cameras: bytes, cloud: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two far corners of the true surface that were reconstructed, (2, 3) in the scene, and (2, 3) where the model shows them.

    The model's frame is found from the cameras, with a scale of its own: were the model too large, so would be what is measured.
    """
    truth = pycolmap.Reconstruction(flight.truth / "cameras")
    true_centers = {image.name: image.projection_center() for image in truth.images.values()}
    rows = [line.split(",") for line in cameras.decode().splitlines()[1:]]
    model_centers = np.array([[float(value) for value in row[1:4]] for row in rows])
    model_from_scene = pycolmap.estimate_sim3d(np.array([true_centers[Path(row[0]).name] for row in rows]), model_centers)
    corners = np.asarray(trimesh.load_mesh(flight.truth / "mesh.ply").vertices)
    seen = corners @ model_from_scene.matrix()[:, :3].T + model_from_scene.translation
    # a flight that looks straight down knows plan better than height: where in plan, and as high as the model is there
    near = cKDTree(cloud[:, :2]).query_ball_point(seen[:, :2], LEVEL_M)
    seen[:, 2] = [np.median(cloud[rows, 2]) if rows else np.nan for rows in near]
    is_level = np.array([len(rows) > 5 and np.ptp(cloud[rows, 2]) < LEVEL_M for rows in near])
    is_inside = np.abs(seen[:, :2] - np.median(cloud[:, :2], axis=0)).max(axis=1) < REACH_M
    found = np.flatnonzero(is_level & is_inside)
    across = seen[found, :2].sum(axis=1)
    ends = found[[across.argmin(), across.argmax()]]
    return corners[ends], seen[ends]


def measured_on(page: Page, client, job: str, places: NDArray[np.float64]) -> dict:
    page.get_by_label("From above").click()
    page.get_by_label("Distance", exact=True).first.click()
    for place in places:
        x, y = page.evaluate("point => document.querySelector('.model .viewer').viewer.project(point)", place.tolist())
        page.mouse.click(x, y)
    for _ in range(50):
        items = client.get(f"/v1/jobs/{job}/measurements").json()["items"]
        if items:
            return dict(items[0])
        time.sleep(0.1)
    raise AssertionError("nothing was saved")


def share_and_revoke(page: Page, open_page: Open, look) -> None:
    page.get_by_role("tab", name="Share").click()
    page.get_by_label("Name of the link").fill("for the client")
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("The link", exact=True).input_value()
    look(page, "9-share")
    guest = open_page(link.partition("#")[2], key=None)
    expect(guest.get_by_role("heading", name="Fields")).to_be_visible()
    guest.wait_for_selector(".model .viewer[data-state=ready]", timeout=60_000)
    expect(guest.get_by_role("button", name="Delete")).to_have_count(0)
    look(guest, "10-shared")
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Revoked ·")).to_be_visible()
    guest.reload()
    expect(guest.get_by_role("heading", name="This link shows nothing any more")).to_be_visible()
    forget(open_page, "401")
    forget(open_page, "403")  # the cloud was still being streamed by the link that had just ended
    look(guest, "11-revoked")


def delete_and_undo(page: Page, served: Served, job: str) -> None:
    page.get_by_role("button", name="Delete Fields").click()
    expect(page.locator(".job")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".job")).to_have_count(1)
    with served.client() as client:
        assert client.get(f"/v1/jobs/{job}").status_code == 200


def forget(open_page: Open, status: str) -> None:
    """The browser's own line about a refusal that was meant to come."""
    open_page.complaints[:] = [text for text in open_page.complaints if f"status of {status}" not in text]  # type: ignore[attr-defined]
