"""Backed up, wiped, restored: jobs are there, and their results have the bytes they had."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from api_fixtures import Api
from filelock import FileLock
from servers import Postgres

from recon.errors import Busy, ConfigError, InputError, NotFound
from workers.backup import back_up, backups, restore
from workers.errors import StoreDamaged
from workers.places import shared_bucket
from workers.settings import Settings

ROOT = Path(__file__).parents[2]


def finished(api: Api, owner: str, n: int) -> str:
    """A job of that owner that a worker has done."""
    client = api.client_of(owner)
    capture = api.add_capture({"n.jpg": json.dumps({"n": n}).encode()}, client)
    job = client.post("/v1/jobs", json={"capture_id": capture})
    assert job.is_success, job.text
    assert api.service.wait(job.json()["id"]).state == "done"
    return str(job.json()["id"])


def results(api: Api, owner: str, job: str) -> dict[str, str]:
    client = api.client_of(owner)
    names = [row["name"] for row in client.get(f"/v1/jobs/{job}/artifacts").json()["items"]]
    answers = {name: client.get(f"/v1/jobs/{job}/artifacts/{name}", follow_redirects=True) for name in names}
    return {name: hashlib.sha256(answer.raise_for_status().content).hexdigest() for name, answer in answers.items()}


def environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, **{f"RECON_{name.upper()}": str(value) for name, value in settings.model_dump(exclude_defaults=True).items()}}


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files(folder)}


@pytest.mark.parametrize("api", ["fleet"], indirect=True)
def test_dump_wipe_restore(api: Api, postgres: Postgres, tmp_path: Path) -> None:
    settings, backup = api.service.settings, tmp_path / "backup"
    api.service.start_worker(processes=1)
    jobs = {owner: finished(api, owner, n) for owner, n in (("owner", 3), ("neighbour", 4))}
    before = {job: results(api, owner, job) for owner, job in jobs.items()}
    half = api.client.post("/v1/captures", json={"name": "half"}).json()["id"]
    api.client.post(f"/v1/captures/{half}/files", json={"files": [{"name": "a.mp4", "size": 10**7}]})

    command = [sys.executable, "-m", "recon", "backup", str(backup), "--json"]  # while the service runs
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment(settings)).stdout)
    assert told["rows"]["jobs"] == 2
    assert told["objects"] > 4

    api.service.stop_workers()
    api.stop()
    bucket = shared_bucket(settings)
    bucket.delete([found.key for found in bucket.listed()])
    assert list(bucket.listed()) == []
    api.service.node.database.close()
    name = api.service.node.database.url.database
    postgres._run("dropdb", "--force", "-h", str(postgres.folder), "-U", "postgres", str(name))

    empty = settings.model_copy(update={"database": postgres.new_database()})
    drill = [sys.executable, str(ROOT / "infra" / "restore_drill.py"), str(backup), str(tmp_path / "out")]
    done = subprocess.run(drill, capture_output=True, text=True, env={**environment(empty), "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["owners"], found["jobs_done"]) == (2, 2)
    assert {job: digests(tmp_path / "out" / job) for job in jobs.values()} == before

    # what was whole goes on, on the restored service itself
    api.service.settings = empty
    api.service.node.settings = empty
    api.service.node.__dict__.pop("database", None)
    api.start()
    assert {owner: results(api, owner, job) for owner, job in jobs.items()} == {owner: before[job] for owner, job in jobs.items()}
    assert api.client.get(f"/v1/captures/{half}/files").json()["items"] == []  # half an upload is declared anew
    again = api.client.post(f"/v1/jobs/{jobs['owner']}/rerun", json={"config": {"seed": 7}})
    assert again.is_success, again.text  # numbers of new rows go on where those restored end
    with pytest.raises(InputError, match="is in use"):
        restore(empty, backup)


@pytest.mark.parametrize("api", ["fleet"], indirect=True)
def test_a_second_backup_fetches_what_is_new_and_a_damaged_one_is_refused(api: Api, postgres: Postgres, tmp_path: Path) -> None:
    settings, folder = api.service.settings, tmp_path / "backup"
    capture = api.add_capture({"a.jpg": b"first"})
    first = back_up(settings, folder)
    with FileLock(folder / "backup.lock"), pytest.raises(Busy, match="another backup writes"):
        back_up(settings, folder)
    (stored,) = files(folder / "objects")
    inode = stored.stat().st_ino
    api.add_capture({"b.jpg": b"second"})
    time.sleep(1.0)  # backups are named by the second
    second = back_up(settings, folder)
    assert (first.objects, second.objects) == (1, 2)
    assert stored.stat().st_ino == inode  # not written again
    assert api.client.delete(f"/v1/captures/{capture}").is_success
    bucket = shared_bucket(settings)
    bucket.delete([found.key for found in bucket.listed() if found.size == len(b"first")])
    time.sleep(1.0)  # backups are named by the second
    third = back_up(settings, folder, keep=1)
    assert backups(folder) == [third.folder]
    assert not stored.exists()
    (kept,) = files(folder / "objects")
    kept.write_bytes(b"secind")
    bucket.delete([found.key for found in bucket.listed()])
    with pytest.raises(StoreDamaged, match="is not what was backed up"):
        restore(settings.model_copy(update={"database": postgres.new_database()}), folder)
    (third.folder / "backup.json").unlink()
    with pytest.raises(NotFound, match="no whole backup"):
        restore(settings, folder)


def test_a_laptops_service_is_copied_as_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"copy {tmp_path} as a whole"):
        back_up(Settings(home=tmp_path), tmp_path / "backup")
