"""What ``ingest`` and ``select`` make of a capture, without a run around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recon.capture.depthimage import DepthImage
from recon.capture.records import ImageRecord, locate, read_json, read_records
from recon.capture.source import open_source, write_source
from recon.config import Config
from recon.stage import Inputs, Work
from recon.stages import ingest, select


class Taken:
    """What ``ingest`` and ``select`` make of a capture."""

    def __init__(self, capture: Path, place: Path, config: Config | None = None) -> None:
        config = config or Config()
        (place / "source").mkdir(parents=True)
        write_source(open_source(capture, place / "w"), place / "source")
        self.inputs: Inputs = {"source": (place / "source",)}
        for stage in (ingest.stage, select.stage):
            folders = []
            for index, shard in enumerate(stage.split(config, self.inputs)):
                folders.append(place / f"{stage.name}-{index}")
                folders[-1].mkdir()
                stage.run(config, self.inputs, shard, folders[-1], Work(threads=1))
            self.inputs = {**self.inputs, stage.name: tuple(folders)}
        self.records = {record.source: record for folder in folders for record in read_records(folder)}
        file = self.inputs["ingest"][0] / "depth.json"
        self.told: dict[str, Any] = read_json(file) if file.is_file() else {}

    def kept(self) -> list[ImageRecord]:
        return [record for folder in self.inputs["select"] for record in read_records(folder)]

    def depth(self, record: ImageRecord) -> DepthImage:
        assert record.depth is not None
        return DepthImage.load(locate(record.depth, self.inputs))
