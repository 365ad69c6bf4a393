"""What goes wrong, in words: keys, lost connections, refusals, what was deleted elsewhere; and markup in every name, shown as text."""

from __future__ import annotations

import io
import json
import re
import time

import httpx
import numpy as np
import pytest
from conftest import Open, Served
from PIL import Image
from playwright.sync_api import Page, Route, expect

MARKUP = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>'


def photo(seed: int, model: str = "") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (120, 160, 3), np.uint8)
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x010F], exif[0x0110] = "maker", model or "camera"
    Image.fromarray(pixels).save(out, "JPEG", exif=exif)
    return out.getvalue()


@pytest.fixture(scope="module")
def short_job(served: Served) -> str:
    """A job that stops after its first stage, of a capture whose name is markup."""
    with served.client() as client:
        capture = client.post("/v1/captures", json={"name": MARKUP}).json()["id"]
        content = photo(1)
        (file,) = client.post(f"/v1/captures/{capture}/files", json={"files": [{"name": "a.jpg", "size": len(content)}]}).json()["files"]
        (part,) = client.post(f"/v1/files/{file['id']}/parts", json={"numbers": [1]}).json()["parts"]
        httpx.put(part["url"], content=content).raise_for_status()
        client.post(f"/v1/files/{file['id']}/complete").raise_for_status()
        client.post(f"/v1/captures/{capture}/complete").raise_for_status()
        return str(client.post("/v1/jobs", json={"capture_id": capture, "until": "ingest"}).json()["id"])


def forget(open_page: Open, *words: str) -> None:
    """The browser's own lines about refusals that were meant to come."""
    complaints = open_page.complaints  # type: ignore[attr-defined]
    complaints[:] = [text for text in complaints if not any(word in text for word in words)]


def refuse(page: Page, url: str, status: int, times: int, retry_s: int | None = None) -> None:
    """The service's answers for a while."""
    left = [times]

    def answer(route: Route) -> None:
        left[0] -= 1
        if left[0] < 0:
            return route.continue_()
        headers = {"Content-Type": "application/problem+json"} | ({"Retry-After": str(retry_s)} if retry_s else {})
        body = {"status": status, "code": "x", "detail": "no room on the disk", "remedy": "Ask whoever runs it"}
        return route.fulfill(status=status, headers=headers, body=json.dumps(body))

    page.route(re.compile(url), answer)


def test_signing_in_by_key_and_by_link(open_page: Open, served: Served, look) -> None:
    page = open_page(key=None)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    look(page, "20-sign-in")
    page.get_by_label("API key").fill("rk_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="The API key is unknown")).to_be_visible()
    page.get_by_label("API key").fill(served.key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("searchbox")).to_be_visible()
    assert page.evaluate("localStorage.length") == 0  # for this tab only, unless it is to be kept
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    linked = open_page(f"key={served.key}", key=None)
    linked.goto(f"{served.url}/#key={served.key}")
    expect(linked.get_by_role("searchbox")).to_be_visible()
    assert served.key not in linked.url
    assert linked.evaluate("history.length") <= 3
    forget(open_page, "status of 401")


def test_a_key_that_ends_meanwhile(open_page: Open, served: Served) -> None:
    with served.client() as client:
        key = client.post("/v1/keys", json={"name": "short", "scopes": ["read", "write"]}).json()
        page = open_page(key=key["key"])
        expect(page.get_by_role("searchbox")).to_be_visible()
        client.delete(f"/v1/keys/{key['id']}")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=10_000)
    expect(page.get_by_text("You were signed out: The API key is revoked.")).to_be_visible()
    forget(open_page, "status of 401")


def test_offline_and_busy_are_told_and_pass(open_page: Open, short_job: str, look) -> None:
    page = open_page()
    expect(page.locator(".job")).not_to_have_count(0)
    page.context.set_offline(True)
    expect(page.locator(".trouble.offline")).to_contain_text("can't be reached")
    look(page, "21-offline")
    page.context.set_offline(False)
    expect(page.locator(".trouble.offline")).to_have_count(0, timeout=10_000)
    for status, words in ((503, "busy or starting"), (429, "more slowly")):
        refuse(page, "/v1/jobs\\?", status, 1, retry_s=2)
        expect(page.locator(".trouble.busy")).to_contain_text(words, timeout=10_000)
        expect(page.locator(".trouble.busy")).to_have_count(0, timeout=10_000)
        page.unroute_all()
    forget(open_page, "status of 503", "status of 429", "ERR_INTERNET_DISCONNECTED")


def test_a_refused_upload_says_why(open_page: Open, look) -> None:
    page = open_page()
    refuse(page, "/v1/parts/", 507, 99)
    page.locator("[data-pick=files]").set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": photo(2)})
    expect(page.get_by_role("heading", name="The upload stopped")).to_be_visible()
    expect(page.get_by_text("No room on the disk. Ask whoever runs it.")).to_be_visible()
    look(page, "22-upload-refused")
    page.unroute_all()
    refuse(page, "/v1/parts/", 503, 1, retry_s=1)
    page.get_by_role("button", name="Choose the files again").click()
    photos = [{"name": f"{name}.jpg", "mimeType": "image/jpeg", "buffer": photo(seed)} for seed, name in enumerate("abc", 2)]
    page.locator("[data-pick=files]").set_input_files(photos)  # type: ignore[arg-type]
    expect(page.get_by_role("heading", name="This will hardly make a model")).to_be_visible(timeout=120_000)
    look(page, "23-hopeless")
    page.get_by_role("button", name="Delete this capture").click()
    expect(page.get_by_text("is deleted.")).to_be_visible()
    forget(open_page, "status of 507", "status of 503")


def test_what_is_deleted_is_gone_when_the_page_is_closed(open_page: Open, served: Served, short_job: str) -> None:
    with served.client() as client:
        capture = client.get(f"/v1/jobs/{short_job}").json()["capture_id"]
        job = client.post("/v1/jobs", json={"capture_id": capture, "until": "ingest"}).json()["id"]
        page = open_page(f"/jobs/{job}")
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_role("button", name="Undo")).to_be_visible()
        assert client.get(f"/v1/jobs/{job}").status_code == 200
        page.close(run_before_unload=True)
        for _ in range(40):
            if client.get(f"/v1/jobs/{job}").status_code == 404:
                return
            time.sleep(0.05)
    raise AssertionError("it is still there")


def test_an_upload_pauses_goes_on_and_may_be_too_large(open_page: Open) -> None:
    page = open_page()
    photos = [{"name": f"{name}.jpg", "mimeType": "image/jpeg", "buffer": photo(seed)} for seed, name in enumerate("abcdefgh", 2)]
    held: list[Route] = []
    page.route(re.compile("/v1/parts/"), lambda route: held.append(route))
    page.locator("[data-pick=files]").set_input_files(photos)  # type: ignore[arg-type]
    page.get_by_role("button", name="Pause the upload").click()
    expect(page.get_by_role("heading", name="Paused")).to_be_visible()
    page.wait_for_timeout(200)
    under_way = len(held)
    for route in held:
        route.continue_()
    expect(page.locator(".facts")).to_contain_text(f"{under_way} of 8 files")
    page.wait_for_timeout(200)
    assert 0 < len(held) == under_way < 8  # what was under way has arrived, and nothing else was sent
    page.unroute_all()
    refuse(page, "/v1/parts/", 413, 99)
    page.get_by_role("button", name="Go on with the upload").click()
    expect(page.get_by_role("heading", name="The upload stopped")).to_be_visible()
    page.unroute_all()
    refuse(page, "/v1/parts/", 429, 1, retry_s=2)
    page.get_by_role("button", name="Choose the files again").click()
    page.locator("[data-pick=files]").set_input_files(photos)  # type: ignore[arg-type]
    expect(page.get_by_role("heading", name="Looking at your images")).to_be_visible()
    page.get_by_role("button", name="Delete this capture").click()
    forget(open_page, "status of 413", "status of 429")


def test_a_job_is_cancelled_and_tried_again(open_page: Open, served: Served, short_job: str) -> None:
    with served.client() as client:
        capture = client.get(f"/v1/jobs/{short_job}").json()["capture_id"]
        with served.work_stopped():  # else it may be done before the click
            job = client.post("/v1/jobs", json={"capture_id": capture, "until": "ingest"}).json()["id"]
            page = open_page(f"/jobs/{job}")
            page.get_by_role("button", name="Cancel").click()
            expect(page.locator(".progress-words")).to_contain_text("Cancelled")
            assert client.get(f"/v1/jobs/{job}").json()["state"] == "cancelled"
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".progress-words")).to_contain_text("Done in", timeout=120_000)
        expect(page.get_by_text("This job made no model: its options said to stop before.")).to_be_visible()


def test_a_job_that_was_deleted_in_another_tab(open_page: Open, served: Served, short_job: str, look) -> None:
    with served.client() as client:
        old = client.get(f"/v1/jobs/{short_job}").json()
        job = client.post("/v1/jobs", json={"capture_id": old["capture_id"], "until": "ingest"}).json()["id"]
        page = open_page(f"/jobs/{job}")
        expect(page.locator(".progress-words")).to_be_visible()
        client.delete(f"/v1/jobs/{job}")
        page.goto(f"{served.url}/#/")
        page.goto(f"{served.url}/#/jobs/{job}")
    expect(page.get_by_text("This job does not exist any more")).to_be_visible(timeout=20_000)
    look(page, "24-gone")
    forget(open_page, "status of 404")


def test_markup_is_shown_as_text(open_page: Open, served: Served, short_job: str) -> None:
    name = "<img src=x onerror=window.hit=1>.jpg"
    page = open_page()
    expect(page.get_by_role("heading", name=MARKUP)).not_to_have_count(0)
    files = [{"name": name, "mimeType": "image/jpeg", "buffer": photo(3, MARKUP)}]
    files += [{"name": "<b>bad</b>.jpg", "mimeType": "image/jpeg", "buffer": b"no image"}]
    page.locator("[data-pick=files]").set_input_files(files)
    expect(page.get_by_role("heading", name=re.compile("hardly make|Your capture|No model"))).to_be_visible(timeout=120_000)
    shown = page.locator("main").inner_text() + page.locator("main").text_content()  # type: ignore[operator]
    assert "onerror" in shown, "the camera's name is shown"
    assert "<b>bad</b>.jpg" in shown
    safe(page)

    def hostile(route: Route) -> None:
        job = route.fetch().json()
        error = {"code": MARKUP, "message": MARKUP, "remedy": MARKUP, "stage": MARKUP}
        stages = [{**stage, "message": MARKUP, "state": "running", "name": MARKUP} for stage in job["stages"]]
        route.fulfill(json={**job, "state": "failed", "error": error, "stages": stages, "preset": MARKUP})

    def files_too(route: Route) -> None:
        artifact = {
            "id": "a",
            "name": MARKUP,
            "kind": "result",
            "size": 1,
            "sha256": "0" * 64,
            "media_type": MARKUP,
            "url": "javascript:hit=1",
        }
        route.fulfill(json={"items": [artifact, {**artifact, "name": "b", "url": "/v1/x?token=1"}], "zip_url": None})

    page.route(re.compile(f"/v1/jobs/{short_job}$"), hostile)
    page.route(re.compile(f"/v1/jobs/{short_job}/artifacts$"), files_too)
    page.goto(f"{served.url}/#/jobs/{short_job}")
    expect(page.get_by_text("It failed")).to_be_visible()
    expect(page.locator(".verdict-card")).to_contain_text(MARKUP)
    safe(page)


def safe(page: Page) -> None:
    page.wait_for_timeout(200)
    assert page.evaluate("window.hit === undefined")
    assert page.locator("main img[src=x], main script, main b").count() == 0
    assert page.evaluate("[...document.links].every(link => /^https?:/.test(link.href))")


def test_options_are_few_then_all(open_page: Open, served: Served, short_job: str, look) -> None:
    page = open_page(f"/jobs/{short_job}")
    page.get_by_role("button", name="Run again with other options").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Options", exact=True).click()
    expect(dialog.get_by_label("Triangles of the mesh, at most")).to_have_value("200000")
    dialog.get_by_text("Fast", exact=True).click()
    expect(dialog.get_by_label("Triangles of the mesh, at most")).to_have_value("50000")
    dialog.get_by_label("Triangles of the mesh, at most").fill("12")
    dialog.get_by_role("button", name="Run again").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Mesh, Faces")
    dialog.get_by_label("Triangles of the mesh, at most").fill("5000")
    dialog.get_by_text("All options").click()
    look(page, "25-options")
    wanted: list[dict] = []
    page.route(re.compile("/rerun$"), lambda route: (wanted.append(route.request.post_data_json), route.continue_()))
    dialog.get_by_role("button", name="Run again").click()
    page.wait_for_url(lambda url: short_job not in url)
    assert wanted == [{"preset": "fast", "config": {"mesh": {"faces": 5000}}}]
    page.get_by_role("button", name="Delete").first.click()


def test_all_of_it_by_keyboard(open_page: Open, short_job: str) -> None:
    page = open_page()
    expect(page.locator(".job")).not_to_have_count(0)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    reached: set[str] = set()
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"))
    assert {"Choose files", "Choose a folder", "Search jobs by name", "Sign out"} <= reached
    page.locator(".job-link").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Model")).to_be_visible()
    page.get_by_role("tab", name="Model").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Report")).to_be_focused()
    page.keyboard.press("End")
    expect(page.get_by_label("Name of the link")).to_be_visible()
