"""A simulated flight with its exact model, laid out as the folders that stages read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from recon.capture.records import ImageRecord, write_records
from recon.simulate.kinds import Plan
from recon.simulate.views import synthetic_views
from recon.stage import Inputs


@dataclass(frozen=True)
class Flight:
    inputs: Inputs
    model: pycolmap.Reconstruction
    plan: Plan


def make_flight(folder: Path, count: int = 8, size: tuple[int, int] = (400, 300)) -> Flight:
    """Folders of ``ingest``, ``select`` and ``georef`` (the exact model) for ``count`` photos."""
    for name in ("ingest/images", "select", "georef/model"):
        (folder / name).mkdir(parents=True)
    model, plan = synthetic_views(count, folder / "ingest/images", "drone", size)
    records = [
        ImageRecord(
            name=image.name,
            file=f"ingest/0/images/{image.name}",
            source=image.name,
            sha256=hashlib.sha256((folder / "ingest/images" / image.name).read_bytes()).hexdigest(),
            width=size[0],
            height=size[1],
            camera="one",
        )
        for image in sorted(model.images.values(), key=lambda image: image.name)
    ]
    write_records(folder / "select", records)
    model.write_binary(folder / "georef/model")
    inputs = {name: (folder / name,) for name in ("ingest", "select", "georef")}
    return Flight(inputs, model, plan)
