"""compose.yaml, read by docker-compose itself: no daemon is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from servers import ACCESS_KEY, SECRET_KEY, SeaweedFS

from api.settings import ApiSettings
from workers.settings import Settings

INFRA = Path(__file__).parents[2] / "infra"


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What docker-compose makes of the file, with the GPU profile and secrets that the script made."""
    folder = tmp_path_factory.mktemp("project") / "infra"
    shutil.copytree(INFRA, folder, ignore=shutil.ignore_patterns("secrets", ".env"))
    subprocess.run([folder / "make-secrets"], check=True)
    program = shutil.which("docker-compose", path=str(Path(sys.executable).parent)) or "docker-compose"
    command = [program, "-f", str(folder / "compose.yaml"), "--profile", "gpu", "config"]
    subprocess.run([*command, "--quiet"], check=True, capture_output=True)
    done = subprocess.run([*command, "--format", "json"], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return {"folder": folder, **json.loads(done.stdout)}


def test_every_container_is_closed_bounded_and_looked_after(composed: dict[str, Any]) -> None:
    assert {"api", "worker-cpu", "worker-gpu", "valkey", "postgres", "seaweedfs", "prometheus", "grafana"} <= composed["services"].keys()
    users = {"api": "10001", "bucket": "10001", "worker-cpu": "10001", "worker-gpu": "10001"}  # of the Dockerfile
    for name, service in composed["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert int(service.get("user", users.get(name, "0")).split(":")[0]) > 0, name
        assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys(), name
        assert "healthcheck" in service or "build" in service, name
        assert not service["image"].endswith(":latest") or name in users, name


def test_nothing_but_what_clients_need_is_published(composed: dict[str, Any]) -> None:
    published = {(name, port["target"], port["host_ip"]) for name, row in composed["services"].items() for port in row.get("ports", ())}
    assert published == {("api", 8000, "127.0.0.1"), ("seaweedfs", 8333, "127.0.0.1"), ("grafana", 3000, "127.0.0.1")}
    assert composed["networks"]["inner"]["internal"]
    for inner in ("postgres", "valkey", "prometheus"):
        assert composed["services"][inner]["networks"].keys() == {"inner"}


def test_workers_may_end_their_shards_and_seaweedfs_its_own(composed: dict[str, Any]) -> None:
    for name in ("worker-cpu", "worker-gpu"):
        service = composed["services"][name]
        assert _seconds(service["stop_grace_period"]) >= float(service["environment"]["RECON_STOP_S"]) + 15
        assert int(service["environment"]["RECON_MEMORY_MB"]) * 2**20 < int(service["deploy"]["resources"]["limits"]["memory"]) * 0.9
    assert _seconds(composed["services"]["seaweedfs"]["stop_grace_period"]) >= 40
    command = composed["services"]["seaweedfs"]["command"]
    assert {"-master.telemetry=false", "-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false"} <= set(command)


def test_settings_are_ones_that_there_are(composed: dict[str, Any]) -> None:
    known = {f"RECON_{name.upper()}" for name in Settings.model_fields} | {f"RECON_API_{name.upper()}" for name in ApiSettings.model_fields}
    known |= {"RECON_SECRETS", "RECON_MODEL_DIR"}
    for name in ("api", "worker-cpu", "worker-gpu"):
        service = composed["services"][name]
        assert {key for key in service["environment"] if key.startswith("RECON_")} <= known
        assert {secret["source"].upper() for secret in service["secrets"] if secret["source"].startswith("recon_")} <= known
    used = set(re.findall(r"\$\{(\w+)", (INFRA / "compose.yaml").read_text()))
    told = set(re.findall(r"^# ([A-Z_]+0?9?)=", (INFRA / ".env.example").read_text(), re.MULTILINE))
    assert told <= used


def test_secrets_are_made_once_for_you_alone(composed: dict[str, Any]) -> None:
    folder = composed["folder"] / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    before = {path.name: path.read_text() for path in folder.iterdir()}
    subprocess.run([composed["folder"] / "make-secrets"], check=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert all((folder / Path(row["file"]).name).is_file() for row in composed["secrets"].values())
    assert len({before["postgres_password"], before["broker_password"], before["s3_secret_key"], before["grafana_password"]}) == 4
    (identity,) = json.loads(before["seaweed.json"])["identities"]
    assert identity["credentials"][0]["secretKey"] in before["aws_credentials"]


def test_what_is_mounted_is_there(composed: dict[str, Any]) -> None:
    mounts = [row for service in composed["services"].values() for row in service.get("volumes", ()) if row["type"] == "bind"]
    assert len(mounts) >= 4
    assert all(Path(row["source"]).exists() and row["read_only"] for row in mounts)
    rules = yaml.safe_load((INFRA / "prometheus" / "prometheus.yaml").read_text())["rule_files"]
    assert [(INFRA / "prometheus" / Path(rule).name).is_file() for rule in rules] == [True]


def test_the_bucket_is_made_where_there_is_none(seaweed: SeaweedFS, tmp_path: Path) -> None:
    environment = {
        "RECON_STORE": "s3://new-bucket/below", "RECON_S3_ENDPOINT": seaweed.endpoint, "RECON_S3_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }  # fmt: skip
    for _ in range(2):
        subprocess.run([sys.executable, INFRA / "seaweedfs" / "make-bucket.py"], check=True, env={**os.environ, **environment})
    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region_name": "us-east-1"}
    found = boto3.client("s3", endpoint_url=seaweed.endpoint, **keys).head_bucket(Bucket="new-bucket")
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 200


def _seconds(duration: str) -> float:
    return sum(float(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in re.findall(r"([\d.]+)([hms])", duration))
