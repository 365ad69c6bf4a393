"""trajectory: a pose for every frame of the videos, where that is asked for; a shard a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recon.capture.records import ImageSet, read_json, write_json
from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work
from recon.stages.ingest import VIDEOS_FILE

TRAJECTORY_FILE = "trajectory.json"
_FEWEST = 2
"""Keyframes with a pose that a path needs."""


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """A shard a video with two registered keyframes or more; none where keyframes will do."""
    if not config.trajectory.all_frames:
        return []
    import pycolmap

    from recon.sfm.everyframe import keyframes_of

    model, records = pycolmap.Reconstruction(inputs["georef"][0] / "model"), ImageSet.read(inputs).records
    videos = [
        (number, str(row["name"])) for number, folder in enumerate(inputs["ingest"]) for row in read_json(folder / VIDEOS_FILE)["videos"]
    ]
    return [{"ingest": number, "video": name} for number, name in videos if len(keyframes_of(model, records, name)) >= _FEWEST]


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    """Writes ``trajectory.json``."""
    import cv2
    import pycolmap

    from recon.sfm.everyframe import every_frame, keyframes_of

    cv2.setNumThreads(work.threads)
    folder = inputs["ingest"][int(shard["ingest"])]
    (video,) = read_json(folder / VIDEOS_FILE)["videos"]
    model, images = pycolmap.Reconstruction(inputs["georef"][0] / "model"), ImageSet.read(inputs)
    keyframes = keyframes_of(model, images.records, video["name"])
    paths = {record.name: images.path(record) for record in images.records}
    rows = every_frame(folder / video["file"], model, keyframes, paths, work.threads, work.tell)
    write_json(out / TRAJECTORY_FILE, {**_facts(video, rows), "frames": rows})


def _facts(video: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    counts = {source: sum(row["source"] == source for row in rows) for source in ("keyframe", "image", "spline")}
    return {"source": video["source"], "name": video["name"], "counts": counts}


stage = Stage("trajectory", ("ingest", "select", "recover", "georef"), run, split, memory_mb=900)
