"""The Helm chart: linted, rendered, and held against Kubernetes' own schemas, by Helm's library and without a cluster."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_python import Chart, HelmError
from helm_python.chart import lint
from servers import Postgres
from sqlalchemy import text

from recon.config import Config
from workers.database import Database
from workers.jobs import create_job
from workers.models import Capture, Chore, Job, Owner, ShardRow, StageRow

CHART = Path(__file__).parents[2] / "infra" / "chart"
ALL = {
    "workerGpu": {"enabled": True, "modelsClaim": "weights"},
    "ingress": {"enabled": True, "tlsSecret": "certificate", "className": "nginx", "annotations": {"a": "b"}},
    "monitoring": {"serviceMonitor": True, "labels": {"release": "prometheus"}},
    "store": {"url": "s3://recon/below", "endpoint": "http://store:8333", "publicEndpoint": "https://s3.recon.example", "region": "x"},
    "api": {"publicUrl": "https://recon.example/photos", "keepResultsS": 31536000, "trustedProxies": "10.0.0.0/8"},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/recon"}},
    "image": {"pullSecrets": [{"name": "registry"}]},
}
PLAIN = {"autoscaling": {"enabled": False}, "networkPolicy": {"enabled": False}, "api": {"replicas": 1}}
Values = dict[str, Any]


def rendered(values: Values) -> list[dict[str, Any]]:
    with Chart.load(CHART) as chart:
        files = chart.render(values, name="recon", namespace="prod")
    return [found for name, told in files.items() if name.endswith(".yaml") for found in yaml.safe_load_all(told) if found]


def of_kind(values: Values, kind: str) -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found for found in rendered(values) if found["kind"] == kind}


def pods(values: Values) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, pod and container of each deployment."""
    for name, found in of_kind(values, "Deployment").items():
        pod = found["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        yield name, pod, container


def test_helm_finds_nothing_to_say() -> None:
    told = lint(CHART, ALL)
    assert told["errors"] == []
    assert [row["error"] for row in told["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("values", [{}, ALL, PLAIN], ids=["as it comes", "everything", "little"])
def test_kubernetes_knows_every_field(values: Values) -> None:
    found = rendered(values)
    own = [resource for resource in found if "." not in resource["apiVersion"].split("/")[0] or "k8s.io" in resource["apiVersion"]]
    assert {resource["kind"] for resource in found} - {resource["kind"] for resource in own} <= {
        "ScaledObject", "TriggerAuthentication", "ServiceMonitor",
    }  # fmt: skip
    assert len(own) >= 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for resource in own:
            kubernetes_validate.validate(resource, "1.37", strict=True)
    names = [(resource["kind"], resource["metadata"]["name"]) for resource in found]
    assert len(set(names)) == len(names)


def test_an_unknown_field_would_be_found() -> None:
    broken = next(iter(of_kind({}, "Deployment").values()))
    broken["spec"]["template"]["spec"]["terminationGracePeriod"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.37", strict=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"workerCpu": {"minReplicas": 0}},
        {"image": {"tag": "latest"}},
        {"store": {"url": "gs://recon"}},
        {"apii": {}},
        {"api": {"replica": 3}},
    ],
)
def test_wrong_values_are_refused(wrong: Values) -> None:
    with pytest.raises(HelmError):
        rendered(wrong)


def test_pods_are_closed_bounded_and_drained() -> None:
    for name, pod, container in pods(ALL):
        assert pod["securityContext"]["runAsNonRoot"], name
        assert not pod["automountServiceAccountToken"], name
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"], name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys() & container["resources"]["requests"].keys(), name
        assert {"livenessProbe", "startupProbe"} <= container.keys(), name
        assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/tmp", "/var/lib/recon"}, name
        stop_s = next((float(row["value"]) for row in container["env"] if row["name"] == "RECON_STOP_S"), 5.0)
        assert pod["terminationGracePeriodSeconds"] >= stop_s + 15, name
        secret = {row["name"] for row in container["env"] if "secretKeyRef" in row.get("valueFrom", {})}
        assert {"RECON_DATABASE", "RECON_BROKER", "AWS_SECRET_ACCESS_KEY"} <= secret, name


def test_every_queue_is_served_by_one_kind_of_worker() -> None:
    def served(values: Values) -> dict[str, str]:
        return {name: container["command"][-1] for name, _, container in pods(values) if "worker" in name}

    assert served({}) == {"recon-worker-cpu": "cpu,gpu"}
    assert served(ALL) == {"recon-worker-cpu": "cpu", "recon-worker-gpu": "gpu"}
    _, pod, container = next(row for row in pods(ALL) if row[0] == "recon-worker-gpu")
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["tolerations"]
    assert pod["nodeSelector"]


def test_workers_are_scaled_by_what_waits_or_runs(postgres: Postgres) -> None:
    scaled = of_kind(ALL, "ScaledObject")
    assert scaled.keys() == {"recon-worker-cpu", "recon-worker-gpu"}
    assert of_kind(PLAIN, "ScaledObject") == {}
    queries = {}
    for name, found in scaled.items():
        assert found["spec"]["scaleTargetRef"]["name"] in of_kind(ALL, "Deployment")
        (trigger,) = found["spec"]["triggers"]
        assert trigger["authenticationRef"]["name"] in of_kind(ALL, "TriggerAuthentication")
        queries[name.removeprefix("recon-worker-")] = trigger["metadata"]["query"]
    database = Database(postgres.new_database())
    try:
        database.upgrade()
        with database.writing() as session:
            session.add(Owner(id="owner", name="owner"))
            session.flush()
            session.add(Capture(id="capture", owner_id="owner", name="capture", state="ready"))
            session.flush()
            live, ended = (create_job(session, "owner", "capture", Config()) for _ in range(2))
            session.flush()
            for job, rows in ((live, ["pending", "running", "running", "done"]), (ended, ["pending"])):
                stage = session.query(StageRow).filter_by(job_id=job.id).first()
                assert stage is not None
                for number, state in enumerate(rows):
                    common = {"owner_id": "owner", "job_id": job.id, "stage_id": stage.id, "state": state}
                    session.add(ShardRow(number=number, queue="gpu" if number == 2 else "cpu", **common))
            session.get_one(Job, ended.id).state = "cancelled"
            session.add(Chore(owner_id="owner", capture_id="capture", kind="inspect"))
        with database.reading() as session:
            counts = {kind: session.scalar(text(query)) for kind, query in queries.items()}
    finally:
        database.close()
    assert counts == {"cpu": 3, "gpu": 1}  # a shard that waits, one that runs, a chore; on the card one that runs


def test_policies_select_pods_that_there_are() -> None:
    labels = [found["spec"]["template"]["metadata"]["labels"] for found in of_kind(ALL, "Deployment").values()]

    def selected(selector: dict[str, Any]) -> int:
        wanted = [(row["key"], row["values"]) for row in selector.get("matchExpressions", ())]
        return sum(
            all(found.get(key) == value for key, value in selector["matchLabels"].items())
            and all(found[key] in values for key, values in wanted)
            for found in labels
        )

    policies = {name: found["spec"] for name, found in of_kind(ALL, "NetworkPolicy").items()}
    assert {name: selected(spec["podSelector"]) for name, spec in policies.items()} == {"recon-api": 1, "recon-workers": 2, "recon-out": 3}
    assert policies["recon-workers"]["ingress"] == []
    budgets = {name: selected(found["spec"]["selector"]) for name, found in of_kind(ALL, "PodDisruptionBudget").items()}
    assert budgets == {"recon-api": 1, "recon-workers": 2}
    assert of_kind(PLAIN, "PodDisruptionBudget").keys() == {"recon-workers"}  # one API could never be moved
