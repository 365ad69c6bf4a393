"""A store on S3: parts of uploads go past the service to another origin; what is looked at comes through it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from api_fixtures import Api
from conftest import Open
from playwright.sync_api import expect

from recon.dense.view import Points
from recon.products.pointcloud import write_laz

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))
from finished_jobs import finished_job


def cloud(folder: Path) -> bytes:
    """A small COPC."""
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-1, 1, (3000, 3)).astype(np.float32)
    ones = np.ones(len(xyz), np.float32)
    write_laz(folder / "points.laz", Points(xyz, xyz, (127 + 90 * xyz).astype(np.uint8), ones, ones.astype(np.uint8), ones / 100), None)
    return (folder / "points.laz").read_bytes()


@pytest.mark.parametrize("api", ["fleet"], indirect=True)
def test_uploads_go_to_the_bucket_and_the_model_comes_from_it(api: Api, open_at: Open, tmp_path: Path) -> None:
    store = api.service.settings.s3_endpoint
    assert urlsplit(store).netloc != urlsplit(api.url).netloc
    job = finished_job(api, {"points.laz": cloud(tmp_path), "products.json": json.dumps({"metric": True}).encode(), "a.txt": b"words"})
    page = open_at(api.url, f"/jobs/{job}", api.client.headers["Authorization"].removeprefix("Bearer "), store=store)
    page.wait_for_selector(".model .viewer[data-state=ready]")
    assert page.get_attribute(".model .viewer", "data-source") == "points.laz"
    page.get_by_role("tab", name="Files").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="a.txt").click()
    assert Path(download.value.path()).read_bytes() == b"words"
    sent: list[str] = []
    page.on("request", lambda asked: sent.append(asked.url) if asked.method == "PUT" else None)
    page.goto(f"{api.url}/#/")
    photos = [{"name": f"{n}.jpg", "mimeType": "image/jpeg", "buffer": bytes([n]) * 5000} for n in range(3)]
    page.locator("[data-pick=files]").set_input_files(photos)  # type: ignore[arg-type]
    expect(page.get_by_role("heading", name="Looking at your images")).to_be_visible()
    assert len(sent) == 3
    assert all(url.startswith(f"{store}/") for url in sent)
    (capture,) = [row for row in api.client.get("/v1/captures").json()["items"] if row["files"] == 3]
    assert (capture["size"], capture["state"]) == (15_000, "ready")
