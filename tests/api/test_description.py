"""The OpenAPI document against the API itself: schemathesis on all of it, with nothing that fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from api_fixtures import Api

EXCLUDED = {
    "positive_data_acceptance": "rules that no JSON schema can state refuse some bodies that fit it: a cursor that no page named, a part "
    "number beyond a file's last, a host without a public address, a time that has passed",
}
"""Checks that are left out, and why."""


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
@pytest.mark.api_settings(rate_unknown="10000/minute")  # it tries many wrong keys
def test_the_api_keeps_to_its_description(api: Api, tmp_path: Path) -> None:
    capture = api.add_capture({"n.jpg": b'{"n": 1}'})
    (file,) = api.client.get(f"/v1/captures/{capture}/files").json()["items"]
    job = api.client.post("/v1/jobs", json={"capture_id": capture}).json()["id"]
    hook = api.client.post("/v1/webhooks", json={"url": "https://93.184.215.14/hook"}).json()["id"]
    share = api.client.post(f"/v1/jobs/{job}/shares", json={}).json()
    line = {"kind": "distance", "name": "a", "points": [[0, 0, 0], [1, 0, 0]], "value": 1, "unit": "m", "metric": True}
    measured = api.client.post(f"/v1/jobs/{job}/measurements", json=line).json()["id"]
    ids = {"capture_id": capture, "file_id": file["id"], "webhook_id": hook, "share_id": share["id"], "measurement_id": measured}
    keys = (api.client.headers["Authorization"], f"Bearer {share['token']}")
    write_config(tmp_path / "schemathesis.toml", keys, job_id=job, **ids)
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "run", f"{api.url}/v1/openapi.json",
        "--max-examples", "5", "--seed", "1", "--phases", "examples,coverage,fuzzing", "--checks", "all",
        "--exclude-checks", ",".join(EXCLUDED), "--suppress-health-check", "all", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"Selected: {_operations(api)}/{_operations(api)}" in done.stdout  # it looked at all of them


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
@pytest.mark.api_settings(max_body_bytes=2000)
def test_a_body_that_is_too_large_is_refused_stated_or_not(api: Api) -> None:
    text = b'{"name": "' + b"a" * 3000 + b'"}'
    headers = {"Content-Type": "application/json"}
    for body in (text, iter([text[:1500], text[1500:]])):  # with its length, and in chunks without
        answer = api.client.post("/v1/captures", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert answer.headers["content-type"] == "application/problem+json"
    assert api.client.post("/v1/captures", json={"name": "a" * 100}).status_code == 201


def write_config(path: Path, keys: tuple[str, str], job_id: str, **ids: str) -> None:
    """Ids of rows that are there, for half of what is asked; for what deletes them, ids of none. A key, and a share's token."""
    key, token = (f'headers = {{ Authorization = "{text}" }}' for text in keys)
    shared = f'[[operations]]\ninclude-path-regex = "^/v1/shared"\n{token}\n'
    given = "".join(f'"path.{name}" = "{id}"\n' for name, id in ids.items())
    zeros = ", ".join(f'"path.{name}" = "0"' for name in ("id", "capture_id", "file_id", "share_id", "measurement_id"))
    spared = f'[[operations]]\ninclude-method = "DELETE"\nparameters = {{ {zeros} }}\n'
    jobs = f'[[operations]]\ninclude-path-regex = "^/v1/jobs/"\nexclude-method = "DELETE"\nparameters = {{ "path.id" = "{job_id}" }}\n'
    path.write_text(f"{key}\n[parameters]\n{given}\n{jobs}\n{spared}\n{shared}")


def test_every_operation_is_described(api: Api) -> None:
    document = api.client.get("/v1/openapi.json").json()
    names = []
    for path, operations in document["paths"].items():
        for operation in operations.values():
            names.append(operation["operationId"])
            assert operation["summary"], path
            assert operation["description"], path
            problems = [told for status, told in operation["responses"].items() if status[0] == "4"]
            assert all("application/problem+json" in told["content"] for told in problems), path
    assert len(names) == len(set(names)) > 30


def _operations(api: Api) -> int:
    return sum(len(operations) for operations in api.client.get("/v1/openapi.json").json()["paths"].values())
