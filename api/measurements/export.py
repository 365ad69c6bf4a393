"""Measurements as CSV and as GeoJSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from api.measurements.schemas import rounded
from workers.models import Measurement

COLUMNS = ("name", "kind", "value", "unit", "metric", "created_s", "points")
_FORMULA = ("=", "+", "-", "@", "\t")


def as_csv(rows: Sequence[Measurement]) -> str:
    """A row a measurement; points as ``x y z; x y z``, in the world frame."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for row in rows:
        points = "; ".join(" ".join(repr(rounded(x)) for x in point) for point in row.points)
        table.writerow([_plain(row.name), row.kind, repr(rounded(row.value)), _plain(row.unit), row.metric, row.created_s, points])
    return text.getvalue()


def as_geojson(rows: Sequence[Measurement], place: Mapping[str, Any]) -> str:
    """Longitude, latitude, height where the model's ``place`` (of ``products.json``) has an origin; else world coordinates, said so.

    Properties hold the world's points too: a globe's degrees are no place to measure in.
    """
    from recon.geometry.geodesy import LocalFrame

    frame = LocalFrame.from_georef(place)
    features = []
    for row in rows:
        world = np.array(row.points, dtype=float).reshape(-1, 3)
        where = world if frame is None else frame.to_geodetic(world)[:, [1, 0, 2]]
        line = [[round(float(x), 9) for x in point] for point in where]
        is_area = row.kind == "area"
        geometry = {"type": "Polygon", "coordinates": [[*line, line[0]]]} if is_area else {"type": "LineString", "coordinates": line}
        told = {name: getattr(row, name) for name in ("name", "kind", "value", "unit", "metric", "created_s")}
        features.append({"type": "Feature", "id": row.id, "geometry": geometry, "properties": {**told, "points_in_world": row.points}})
    coordinates = "longitude, latitude, height" if frame else "world frame of the model: not a place on the globe"
    told = {name: place.get(name) for name in ("frame", "unit", "metric", "origin")}
    return json.dumps({"type": "FeatureCollection", "features": features, "recon": {**told, "coordinates": coordinates}}, indent=1)


def _plain(text: str) -> str:
    """A spreadsheet takes no text of somebody else's for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
