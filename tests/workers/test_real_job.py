"""The real pipeline on two real workers gives what ``recon process`` gives, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from service_fixtures import Service
from sqlalchemy import select

from recon.config import load
from recon.pipeline import stages_until
from recon.simulate import simulate
from workers.models import Artifact, ShardRow

OVERRIDES = ("products.turntable_s=0", "mesh.depth=6", "mesh.faces=2000", "texture.page_px=512")
TIMED = {"report.html", "report.json"}
"""They say how long it took."""


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("capture")
    truth = simulate("object", folder, images=8, size=(320, 240), video=False)
    return folder / truth.capture


@pytest.fixture(scope="module")
def processed(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from recon.process import process

    out = tmp_path_factory.mktemp("processed")
    process(capture, out, load("fast", overrides=OVERRIDES))
    return out


@pytest.mark.parametrize(("real_service", "until"), [("embedded", "georef"), ("fleet", None)], indirect=["real_service"])
def test_a_job_gives_the_files_of_recon_process(real_service: Service, until: str | None, capture: Path, processed: Path) -> None:
    for _ in range(2):
        real_service.start_worker(real=True, processes=1)
    files: dict[str, Path | bytes] = {path.name: path for path in sorted(capture.iterdir())}
    submitted = real_service.submit(real_service.add_capture(files), load("fast", overrides=OVERRIDES), until=until)
    job = real_service.wait(submitted, 120)
    assert job.state == "done", job.error
    store = real_service.node.place("owner").store
    for name in (stage.name for stage in stages_until(until)):
        for folder in sorted(processed.glob(f".recon/{name}-*/*")):
            expected = contents(folder)
            made = contents(store.pull(f"{folder.parent.name}/{folder.name}"))
            assert made.keys() == expected.keys(), name
            assert [file for file in expected if file not in TIMED and made[file] != expected[file]] == [], name
    with real_service.node.database.reading() as session:
        artifacts = set(session.scalars(select(Artifact.name).where(Artifact.job_id == job.id)))
        workers = set(session.scalars(select(ShardRow.worker).where(ShardRow.job_id == job.id)))
    published = {path.relative_to(processed).as_posix() for path in processed.rglob("*") if path.is_file()}
    assert artifacts == (set() if until else {name for name in published if not name.startswith(".recon")})
    assert len(workers) == 2


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "DONE"}
