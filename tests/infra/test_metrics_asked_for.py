"""Dashboards and alerts ask for metrics that there are, by labels that they have."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from api_fixtures import Api
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from api.metrics import _cards
from recon.config import Config
from workers.models import Job, StageRow

INFRA = Path(__file__).parents[2] / "infra"
DASHBOARD = json.loads((INFRA / "grafana" / "dashboards" / "recon.json").read_text())
ALERTS = [rule for group in yaml.safe_load((INFRA / "prometheus" / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
SCRAPED = {"job", "instance"}
"""Labels that Prometheus gives to all that it scrapes, and ``up``."""


def expressions() -> dict[str, str]:
    found = {f"alert {rule['alert']}": rule["expr"] for rule in ALERTS}
    for panel in DASHBOARD["panels"]:
        found |= {f"panel {panel['title']}, {target['refId']}": target["expr"] for target in panel["targets"]}
    return found


def selectors(node: Any) -> Iterator[Any]:
    """All vector selectors of a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if (child := getattr(node, name, None)) is not None:
            yield from selectors(child)
    for child in getattr(node, "args", None) or []:
        yield from selectors(child)


@pytest.fixture
def exported(api: Api) -> dict[str, set[str]]:
    """Name of each sample that a service with some history tells -> its labels."""
    service = api.service
    done, failed = (service.submit(service.add_toy_capture(2), Config()) for _ in range(2))
    with service.node.database.writing() as session:
        for stage in session.scalars(select(StageRow).where(StageRow.job_id == done)):
            stage.state, stage.started_s, stage.ended_s = "done", time.time() - 5, time.time()
        job = session.get_one(Job, failed)
        job.state, job.ended_s, job.error = "failed", time.time(), {"code": "crashed"}
    api.client.get("/v1/owner")
    text = httpx.get(f"{api.url}/metrics").text
    families = [*text_string_to_metric_families(text), *_cards("0, 50, 1000, 8000")]
    found: dict[str, set[str]] = {"up": set()}
    for sample in (sample for family in families for sample in family.samples):
        found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_every_metric_and_label_exists(exported: dict[str, set[str]]) -> None:
    assert len(expressions()) > 25
    for where, text in expressions().items():
        asked = list(selectors(promql_parser.parse(text)))
        assert {selector.name for selector in asked} <= exported.keys(), where
        labels = SCRAPED.union(*(exported[selector.name] for selector in asked))
        wanted = {matcher.name for selector in asked for matcher in selector.matchers.matchers}
        wanted |= {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", text) for label in group.split(",")}
        assert wanted <= labels, where


def test_legends_and_words_name_labels_that_the_expression_keeps() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                kept = re.findall(r"\bby \(([^)]*)\)", target["expr"])
                assert not kept or label in re.split(r",\s*", ",".join(kept)), panel["title"]
    for rule in ALERTS:
        for label in re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])):
            assert re.search(rf"\bby \({label}\)", rule["expr"]), rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["remedy"]


def test_panels_do_not_overlap_and_have_a_source() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])):
            assert taken.setdefault(cell, panel["title"]) == panel["title"]
    (source,) = yaml.safe_load((INFRA / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_alert_is_explained() -> None:
    text = (INFRA.parent / "docs" / "operations.md").read_text()
    assert [rule["alert"] for rule in ALERTS if f"`{rule['alert']}`" not in text] == []
