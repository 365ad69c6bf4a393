"""The page in Firefox: sign in, find a job, see its model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from api_fixtures import Api
from firefox import firefox
from test_store import cloud

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))
from finished_jobs import finished_job


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_firefox_signs_in_and_shows_a_job(api: Api, tmp_path: Path) -> None:
    job = finished_job(api, {"points.laz": cloud(tmp_path), "products.json": json.dumps({"metric": True}).encode()})
    key = api.client.headers["Authorization"].removeprefix("Bearer ")
    (tmp_path / "firefox").mkdir()
    with firefox(tmp_path / "firefox") as browser:
        browser.open(f"{api.url}/")
        browser.until("document.getElementById('key')")
        browser.run(f"const field = document.getElementById('key'); field.value = {json.dumps(key)}; field.form.requestSubmit();")
        browser.until(f"document.querySelector('a[href*={json.dumps(job)}]')")
        browser.run(f"document.querySelector('a[href*={json.dumps(job)}]').click()")
        browser.until("document.querySelector('.model .viewer[data-state=ready]')")
        browser.until("Number(document.querySelector('.model .viewer').dataset.points) === 3000")
        assert browser.run("return document.querySelector('.model .viewer').dataset.source") == "points.laz"
        assert len(np.unique(browser.picture().reshape(-1, 3) // 16, axis=0)) > 300  # points of every colour
