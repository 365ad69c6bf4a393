"""``select``: the photos and keyframes that are worth computing with, and why the others are not."""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from recon.capture.records import ImageRecord, locate, read_json, read_records, write_json, write_records
from recon.config import Config
from recon.errors import EmptyCapture
from recon.stage import Inputs, Shard, Stage, Work
from recon.stages.ingest import SKIPPED_FILE, THUMBS_FILE, VIDEOS_FILE

KEYFRAMES_FILE = "keyframes.json"
_KEYFRAMES_HZ = 4.0
"""Keyframes a second of video, at most in practice: shares ``max_images`` between photos and videos."""
_log = logging.getLogger(__name__)


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """One shard for all photos, then one a video, each with its share of ``max_images``. Raises EmptyCapture."""
    photos = sum(len(read_records(folder)) for folder in inputs["ingest"])
    videos = [(index, row) for index, folder in enumerate(inputs["ingest"]) for row in _videos(folder)]
    shards: list[dict[str, Any]] = [{"kind": "photos"}] if photos else []
    shards += [{"kind": "video", "ingest": index} for index, _ in videos]
    if not shards:
        raise EmptyCapture(*_nothing_usable(inputs))
    wanted = ([photos] if photos else []) + [max(2, round(_seconds(row) * _KEYFRAMES_HZ)) for _, row in videos]
    share = min(1.0, config.select.max_images / sum(wanted))
    return [
        {**shard, "index": i, "limit": max(2, int(count * share)) if share < 1 else config.select.max_images}
        for i, (shard, count) in enumerate(zip(shards, wanted, strict=True))
    ]


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import cv2

    from recon.capture.selection import Selection, select_photos, select_video

    cv2.setNumThreads(work.threads)
    limit = int(shard["limit"])
    try:
        if shard["kind"] == "photos":
            records = [record for folder in inputs["ingest"] for record in read_records(folder)]
            thumbs = np.concatenate([np.load(folder / THUMBS_FILE) for folder in inputs["ingest"]])
            selection = select_photos(records, thumbs, config.select, limit)
            selection.records = [_with_depth(record, inputs, int(shard["index"]), out) for record in selection.records]
        else:
            folder = inputs["ingest"][int(shard["ingest"])]
            (video,) = _videos(folder)
            selection = select_video(
                video, folder / video["file"], f"select/{shard['index']}", out, config.select, limit, work.threads, work.tell
            )
    except EmptyCapture as error:
        if not _has_others(inputs, shard):
            raise
        _log.warning("%s", error)
        selection = Selection(warnings=[str(error)])
    write_records(out, selection.records)
    write_json(out / KEYFRAMES_FILE, {"frames": selection.rows, "warnings": selection.warnings})


def _with_depth(record: ImageRecord, inputs: Inputs, index: int, out: Path) -> ImageRecord:
    """The record with its depth in this shard's folder: what reads that alone needs none of the photos of ``ingest``."""
    if record.depth is None:
        return record
    target = out / "depth" / f"{record.name}.npz"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(locate(record.depth, inputs), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(locate(record.depth, inputs), target)
    return record.model_copy(update={"depth": f"select/{index}/depth/{record.name}.npz"})


def _videos(folder: Path) -> list[dict[str, Any]]:
    return list(read_json(folder / VIDEOS_FILE)["videos"])


def _seconds(video: dict[str, Any]) -> float:
    return float(video["duration_s"] or 60.0)


def _has_others(inputs: Inputs, shard: Shard) -> bool:
    """Whether the capture has another source than this shard's, so that an empty one does not end the run."""
    photos = sum(len(read_records(folder)) for folder in inputs["ingest"])
    videos = sum(len(_videos(folder)) for folder in inputs["ingest"])
    return bool(videos) if shard["kind"] == "photos" else photos > 0 or videos > 1


def _nothing_usable(inputs: Inputs) -> tuple[str, str]:
    skipped = [row for folder in inputs["ingest"] for row in read_json(folder / SKIPPED_FILE)["skipped"]]
    reasons = Counter(row["reason"] for row in skipped)
    if len(skipped) == 1:
        return f"{skipped[0]['source']} can't be used: {skipped[0]['reason']}", "Hand in a photo or video that other programs open"
    first = {row["reason"]: row["source"] for row in reversed(skipped)}
    listed = "; ".join(f"{count} x {reason} ({first[reason]})" for reason, count in reasons.most_common(3))
    return f"none of the {len(skipped)} photos and videos can be used: {listed}", "Run 'recon inspect' to see each file's reason"


stage = Stage("select", needs=("ingest",), run=run, split=split, memory_mb=1200, version=7)
