"""Measurements that are saved with a job: kept, renamed, deleted, exported, and seen through a share."""

from __future__ import annotations

import csv
import io
import json

import httpx
import pytest
from api_fixtures import Api
from finished_jobs import finished_job

LINE = {"kind": "distance", "name": "Ridge", "points": [[0, 0, 0], [3, 4, 0]], "value": 5.0, "unit": "m", "metric": True}
AREA = {**LINE, "kind": "area", "name": "=1+1", "points": [[0, 0, 0], [10, 0, 0], [10, 10, 0]], "value": 50.0, "unit": "m²"}
ORIGIN = {"lat_deg": 50.0, "lon_deg": 8.0, "alt_m": 100.0, "alt_datum": "ellipsoid"}
PLACE = {"frame": "enu", "unit": "m", "metric": True, "crs": "EPSG:32632", "origin": ORIGIN}


def save(api: Api, job: str, wanted: dict[str, object]) -> dict[str, object]:
    made = api.client.post(f"/v1/jobs/{job}/measurements", json=wanted)
    assert made.status_code == 201, made.text
    return dict(made.json())


def test_they_are_kept_renamed_exported_and_deleted(api: Api) -> None:
    job = finished_job(api, {"products.json": json.dumps(PLACE).encode()})
    path = f"/v1/jobs/{job}/measurements"
    line, area = save(api, job, LINE), save(api, job, AREA)
    assert {name: line[name] for name in LINE} == LINE
    renamed = api.client.patch(f"{path}/{line['id']}", json={"name": "<b>Eaves</b>"})
    assert renamed.json() == {**line, "name": "<b>Eaves</b>"}
    assert api.client.get(path).json()["items"] == [renamed.json(), area]

    token = api.client.post(f"/v1/jobs/{job}/shares", json={}).json()["token"]
    shared = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{api.url}/v1/shared", headers=shared).json()["measurements"] == [renamed.json(), area]
    for url, headers in ((f"{api.url}{path}", dict(api.client.headers)), (f"{api.url}/v1/shared/measurements", shared)):
        table = httpx.get(f"{url}.csv", headers=headers)
        assert table.headers["content-type"] == "text/csv; charset=utf-8"
        first, second = csv.DictReader(io.StringIO(table.text))
        assert (first["name"], first["value"], first["unit"], first["points"]) == ("<b>Eaves</b>", "5.0", "m", "0.0 0.0 0.0; 3.0 4.0 0.0")
        assert second["name"] == "'=1+1"
        document = httpx.get(f"{url}.geojson", headers=headers).json()
        one, two = document["features"]
        (lon0, lat0, alt0), (lon1, lat1, _) = one["geometry"]["coordinates"]
        assert (lon0, lat0, alt0) == pytest.approx((8.0, 50.0, 100.0), abs=1e-6)
        assert (lat1 - lat0) * 111_229 == pytest.approx(4.0, abs=0.01)
        assert (lon1 - lon0) * 71_696 == pytest.approx(3.0, abs=0.01)
        assert two["geometry"]["type"] == "Polygon"
        assert two["geometry"]["coordinates"][0][0] == two["geometry"]["coordinates"][0][-1]
        assert two["properties"]["value"] == 50.0

    assert api.client.delete(f"{path}/{line['id']}").status_code == 204
    assert api.client.delete(f"{path}/{line['id']}").status_code == 404
    assert api.client.get(path).json()["items"] == [area]


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_a_model_without_a_place_says_so(api: Api) -> None:
    place = {**PLACE, "origin": None, "crs": None, "metric": False, "unit": "arbitrary"}
    job = finished_job(api, {"products.json": json.dumps(place).encode()})
    save(api, job, {**LINE, "metric": False, "unit": "arbitrary"})
    document = api.client.get(f"/v1/jobs/{job}/measurements.geojson").json()
    assert "not a place on the globe" in document["recon"]["coordinates"]
    assert document["features"][0]["geometry"]["coordinates"] == [[0, 0, 0], [3, 4, 0]]


@pytest.mark.parametrize("api", ["embedded"], indirect=True)
def test_what_is_refused(api: Api) -> None:
    job, other = finished_job(api, {"a": b"a"}), finished_job(api, {"a": b"a"})
    path = f"/v1/jobs/{job}/measurements"
    for change in (
        {"kind": "volume"}, {"points": [[0, 0, 0]]}, {"points": [[0, 0], [1, 1]]}, {"value": 1e300}, {"name": ""}, {"name": "a\u0000"},
        {"kind": "area"}, {"unit": "m" * 30}, {"points": [[0, 0, 0]] * 2001},
    ):  # fmt: skip
        assert api.client.post(path, json={**LINE, **change}).status_code == 422, change
    for text in ('{"value": NaN', '{"value": Infinity'):
        body = json.dumps(LINE).replace('{"kind"', f'{text}, "kind"', 1).replace(', "value": 5.0', "")
        refused = api.client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert refused.status_code in (400, 422), body
    made = save(api, job, LINE)
    stranger, reader = api.client_of("stranger"), api.client_of("owner", ("read",))
    assert stranger.get(path).status_code == 404
    assert stranger.delete(f"{path}/{made['id']}").status_code == 404
    assert api.client.delete(f"/v1/jobs/{other}/measurements/{made['id']}").status_code == 404
    assert reader.post(path, json=LINE).status_code == 403
    assert reader.get(f"{path}.csv").status_code == 200
    assert api.client.get(f"{path}.kml").status_code == 422
