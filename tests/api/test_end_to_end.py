"""All real: a capture uploaded in parts becomes the files that ``recon process`` makes of it, on two worker processes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from api_fixtures import Api
from sqlalchemy import select

from api.client import Recon
from recon.config import PRESETS, Config, parse
from recon.process import process
from recon.simulate import simulate
from workers.models import ShardRow

CONFIG = {"products": {"turntable_s": 0}, "mesh": {"depth": 6, "faces": 2000}, "texture": {"page_px": 512}}
TIMED = {"report.html", "report.json"}
"""They say how long it took."""


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("capture")
    truth = simulate("object", folder, images=8, size=(320, 240), video=False)
    return folder / truth.capture


@pytest.fixture(scope="module")
def processed(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What ``recon process`` gives: name -> SHA-256."""
    out = tmp_path_factory.mktemp("processed")
    process(capture, out, _config())
    return _digests(out)


def _config() -> Config:
    merged = {name: dict(section) for name, section in PRESETS["fast"].items()}
    for name, section in CONFIG.items():
        merged.setdefault(name, {}).update(section)
    return parse(merged)


def test_uploads_become_the_files_of_recon_process(real_api: Api, capture: Path, processed: dict[str, str], tmp_path: Path) -> None:
    for _ in range(2):
        real_api.service.start_worker(real=True, processes=1)
    with Recon(real_api.url, real_api.client.headers["Authorization"].removeprefix("Bearer ")) as recon:
        uploaded = recon.upload(capture, "object")
        job = recon.submit(uploaded["id"], "fast", CONFIG)
        kinds = [event.kind for event in recon.events(job["id"])]
        done = recon.job(job["id"])
        assert done["state"] == "done", done["error"]
        previews = {row["name"] for row in recon.artifacts(job["id"]) if row["kind"] == "preview"}
        recon.download(job["id"], tmp_path / "out")
    made = _digests(tmp_path / "out")
    assert made.keys() == processed.keys()
    assert {name for name in made if made[name] != processed[name]} <= TIMED
    assert previews == {"preview/sparse.ply", "preview/points.ply"}
    assert {"job", "stage"} <= set(kinds)
    assert all(stage["state"] == "done" for stage in done["stages"])
    with real_api.service.node.database.reading() as session:
        assert len(set(session.scalars(select(ShardRow.worker).where(ShardRow.job_id == job["id"])))) == 2


def _digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and ".recon" not in path.parts]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
