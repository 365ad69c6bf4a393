"""``ingest``: the capture's files, checked, named, measured and in a form that every later stage reads."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from recon.capture.chapters import chapters
from recon.capture.records import write_json, write_records
from recon.capture.source import DepthFiles, SourceFile, read_source
from recon.config import Config
from recon.errors import InputError
from recon.stage import Inputs, Shard, Stage, Work

VIDEOS_FILE = "videos.json"
SKIPPED_FILE = "skipped.json"
THUMBS_FILE = "thumbs.npy"
BLOCK = 16
BESIDE = ("depth", "calibration", "poses")
"""What a device wrote beside photos, by the key of a shard."""
_log = logging.getLogger(__name__)


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """A shard a block of photos, then one a video. What is only named as skipped goes along: with the first shard files that
    were lost before, with each file those of the same content.
    """
    source = read_source(inputs["source"][0])
    photos, photo_copies = _unique(source.photos)
    videos, video_copies = _unique(source.videos)
    beside, masks = source.telemetry, source.masks
    parts = chapters(source.videos)
    groups = [("photos", photos[start : start + BLOCK]) for start in range(0, len(photos), BLOCK)]
    depth, calibration = (source.depth, source.calibration) if config.ingest.use_depth else ({}, {})
    poses, frames = source.poses, source.frames
    groups += [("video", [video, *([beside[video.name]] if video.name in beside else [])]) for video in videos]
    copies = photo_copies | video_copies
    return [
        {
            "index": index,
            "kind": kind,
            "files": [file.name for file in files],
            "copies": {file.name: copies.get(file.sha256, []) for file in files},
            "lost": [] if index else [file.name for file in source.lost],
            "depth": {file.name: [part and part.name for part in depth[file.name]] for file in files if file.name in depth},
            "chapters": {file.name: parts[file.name] for file in files if file.name in parts},
            "masks": {file.name: [part.name for part in masks[file.name]] for file in files if file.name in masks},
            "calibration": {file.name: [part.name for part in calibration[file.name]] for file in files if file.name in calibration},
            "poses": {file.name: [part.name for part in poses[file.name]] for file in files if file.name in poses},
            "frames": [
                [part and part.name for part in pair] for file in files if config.ingest.use_depth for pair in frames.get(file.name, ())
            ],
        }
        for index, (kind, files) in enumerate(groups)
    ]


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import cv2

    from recon.capture.depthintake import DepthIntake
    from recon.capture.intake import take_photo, take_video
    from recon.capture.maskintake import MaskIntake

    cv2.setNumThreads(work.threads)
    files = {file.name: file for file in read_source(inputs["source"][0]).files}
    records, thumbs, videos = [], [], []
    skipped = [_skipped(files[name], files[name].reason) for name in shard["lost"]]
    masks = MaskIntake(files, int(shard["index"]), out, config.ingest)
    measured_depth = DepthIntake(files, int(shard["index"]), out, config.ingest)
    for done, name in enumerate(shard["files"]):
        file = files[name]
        if file.kind == "telemetry":  # is read with its video
            continue
        work.tell(done / len(shard["files"]), file.relative)
        try:
            if shard["kind"] == "video":
                beside = next((files[other] for other in shard["files"] if files[other].kind == "telemetry"), None)
                measured = [DepthFiles(files[depth], files[sure] if sure else None) for depth, sure in shard["frames"]]
                poses = [files[other] for other in shard["poses"].get(name, ())]
                row = {
                    **take_video(file, int(shard["index"]), out, config.ingest, beside, poses, measured),
                    "chapter": shard["chapters"].get(name),
                }
                videos.append(masks.add_frames(row, shard["masks"][name]) if name in shard["masks"] else row)
            else:
                record, quality = take_photo(file, int(shard["index"]), out, config.ingest)
                if any(name in shard[kind] for kind in BESIDE):
                    record = measured_depth.add(record, file, *(shard[kind].get(name, ()) for kind in BESIDE))
                records.append(masks.add(record, file, shard["masks"].get(name, ())))
                thumbs.append(quality.thumb)
        except InputError as error:
            _log.warning("%s is skipped: %s", file.relative, error)
            skipped.append(_skipped(file, str(error)))
        skipped += [_skipped(files[copy], f"the same content as {file.relative}") for copy in shard["copies"][name]]
    if shard["kind"] == "photos" and any(shard[kind] for kind in BESIDE):
        measured_depth.write()
    if shard["masks"]:
        masks.write()
    write_records(out, records)
    np.save(out / THUMBS_FILE, np.array(thumbs, np.uint8).reshape(-1, 64, 64))
    write_json(out / VIDEOS_FILE, {"videos": videos})
    write_json(out / SKIPPED_FILE, {"skipped": skipped})


def _unique(files: list[SourceFile]) -> tuple[list[SourceFile], dict[str, list[str]]]:
    """The first file of each content, and by content the names of those that repeat it."""
    first: dict[str, SourceFile] = {}
    copies: dict[str, list[str]] = {}
    for file in files:
        if file.sha256 in first:
            copies.setdefault(file.sha256, []).append(file.name)
        else:
            first[file.sha256] = file
    return list(first.values()), copies


def _skipped(file: SourceFile, reason: str) -> dict[str, Any]:
    return {"source": file.relative, "reason": reason}


stage = Stage("ingest", needs=("source",), run=run, split=split, memory_mb=800, version=7)
