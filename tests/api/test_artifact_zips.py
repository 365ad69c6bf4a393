"""One zip of chosen artifacts, made while it is sent."""

from __future__ import annotations

import io
import os
import tracemalloc
import zipfile

import pytest
from api_fixtures import Api
from finished_jobs import finished_job
from sqlalchemy import select

from api.artifacts.kept import Kept
from api.artifacts.zipped import inner_name, zipped
from workers.models import Artifact

PHOTO = os.urandom(300_000)
FILES = {"photo.jpg": PHOTO, "table.csv": b"1,2,3\n" * 100_000, "tiles/a.bin": b"a", "tiles/b.bin": b""}


def test_a_zip_of_all_results_or_of_those_chosen(api: Api) -> None:
    job = finished_job(api, FILES)
    answer = api.client.get(f"/v1/jobs/{job}/artifacts.zip")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert f'filename="{job}.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == FILES
        assert found.getinfo("table.csv").compress_size < 10_000
        assert len(PHOTO) <= found.getinfo("photo.jpg").compress_size < len(PHOTO) * 1.001  # stored
        assert found.getinfo("photo.jpg").external_attr >> 16 == 0o100644
    chosen = api.client.get(f"/v1/jobs/{job}/artifacts.zip", params={"name": ["tiles/a.bin", "photo.jpg"]})
    with zipfile.ZipFile(io.BytesIO(chosen.content)) as found:
        assert sorted(found.namelist()) == ["photo.jpg", "tiles/a.bin"]
    absent = api.client.get(f"/v1/jobs/{job}/artifacts.zip", params={"name": ["photo.jpg", "absent"]})
    assert (absent.status_code, absent.json()["code"]) == (404, "absent")
    previews = finished_job(api, {"sparse.ply": b"ply"}, kind="preview")
    assert api.client.get(f"/v1/jobs/{previews}/artifacts.zip").status_code == 409
    assert api.client.get(f"/v1/jobs/{previews}/artifacts.zip?name=sparse.ply").status_code == 200


def test_a_zip_is_never_in_memory_in_whole(api: Api) -> None:
    job = finished_job(api, {"big.laz": os.urandom(24 * 2**20)})
    with api.service.node.database.reading() as session:
        rows = list(session.scalars(select(Artifact).where(Artifact.job_id == job)))
    kept = Kept(api.service.node.place("owner"))
    b"".join(kept.stream(rows[0]))  # connections are made
    tracemalloc.start()
    try:
        total = sum(len(chunk) for chunk in zipped(kept, rows))
        assert total > 24 * 2**20
        assert tracemalloc.get_traced_memory()[1] < 6 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("a/b.ply", "a/b.ply"),
        ("/etc/passwd", "etc/passwd"),
        ("../../up.ply", "up.ply"),
        ("..", "file"),
        ("C:\\x\\..\\y.ply", "C__x_.._y.ply"),
        ("a\r\nb\0.ply", "a__b_.ply"),
        ("taken", "2-taken"),
        ("in/taken", "in/2-taken"),
    ],
)
def test_names_in_a_zip_stay_below_its_folder(name: str, inner: str) -> None:
    assert inner_name(name, {"taken", "in/taken"}) == inner
