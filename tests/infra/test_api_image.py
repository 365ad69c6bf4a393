"""The API's image has nothing that computes, and all that it serves with."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from api.client import ProblemError, Recon
from workers.broker import EmbeddedBroker
from workers.settings import Settings

ROOT = Path(__file__).parents[2]
COMPUTES = {"torch", "open3d", "pycolmap", "opencv-python-headless", "numba", "scipy", "kornia", "av", "trimesh"}


def requirements() -> list[str]:
    lines = (ROOT / "infra" / "requirements-api.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def resolved(lines: Iterable[str]) -> set[str]:
    """All distributions that these requirements bring, as they are installed here."""
    todo, found = [Requirement(line) for line in lines], dict[tuple[str, str], None]()
    while todo:
        wanted = todo.pop()
        name, extras = canonicalize_name(wanted.name), sorted(wanted.extras)
        if (name, ",".join(extras)) in found:
            continue
        found[name, ",".join(extras)] = None
        needs = map(Requirement, importlib.metadata.requires(name) or [])
        todo += [need for need in needs if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras or [""])]
    return {name for name, _ in found}


def test_every_requirement_stands_in_pyproject_too() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(requirements()) <= {*project["dependencies"], *project["optional-dependencies"]["service"]}


def test_nothing_that_computes_is_in_the_image() -> None:
    found = resolved(requirements())
    assert not found & COMPUTES
    assert {"fastapi", "starlette", "psycopg-binary", "botocore"} <= found  # what is not listed itself is found


@pytest.fixture
def light(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """URL and key of an API that can import nothing of other distributions; it has a broker, and no worker."""
    brought = resolved(requirements())
    owners = importlib.metadata.packages_distributions()
    absent = {module for module, found in owners.items() if not ({*brought, "recon"} & {canonicalize_name(name) for name in found})}
    assert {"torch", "open3d", "cv2", "scipy"} <= absent
    (tmp_path / "absent").write_text("\n".join(absent))
    home = tmp_path / "home"
    command = [sys.executable, str(Path(__file__).parent / "light_api.py"), str(tmp_path / "absent")]
    command += ["serve", "--api-only", "--port", "0", "--json"]
    with EmbeddedBroker(Settings(home=home)), (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "RECON_HOME": str(home)})
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (tmp_path / "log").read_text()
            yield json.loads(line)["url"], (home / "key").read_text().strip()
        finally:
            process.terminate()
            process.communicate(timeout=20)


def test_an_api_without_them_serves(light: tuple[str, str], tmp_path: Path) -> None:
    url, key = light
    (tmp_path / "photo.jpg").write_bytes(b"not looked at here")
    assert httpx.get(f"{url}/readyz").json()["status"] == "ready"
    with Recon(url, key) as recon:
        capture = recon.upload(tmp_path / "photo.jpg", "photo")
        job = recon.submit(capture["id"], "fast", {"mesh": {"faces": 5000}})
        assert recon.job(job["id"])["state"] == "queued"
        with pytest.raises(ProblemError, match="faces"):
            recon.submit(capture["id"], "fast", {"mesh": {"faces": -1}})
        assert recon.artifacts(job["id"]) == []
        recon.ask("POST", f"/v1/jobs/{job['id']}/cancel")
        kinds = [event.kind for event in recon.events(job["id"])]
    assert "job" in kinds
    assert 'recon_jobs{state="queued"}' in httpx.get(f"{url}/metrics").text
    assert "not in the image" not in (tmp_path / "log").read_text()
