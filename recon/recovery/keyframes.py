"""Rung 1: more frames of a video between keyframes that do not connect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from recon.capture import quality
from recon.capture.framedepth import FrameDepth
from recon.capture.maskimage import FrameMasks
from recon.capture.records import FRAME_MASK, ImageRecord, read_json
from recon.capture.selection import spread, write_frame
from recon.capture.video import Frame, Frames
from recon.features.sift import extract
from recon.features.store import SIFT, Features
from recon.recovery.bounds import FRAMES
from recon.recovery.material import Material, Names, Place, match_pairs, ordered
from recon.recovery.standing import Standing
from recon.recovery.tried import Tried
from recon.recovery.words import clock

_A_GAP = 8
"""Frames added between two keyframes, at most."""
_AROUND = 2
"""Gaps before and after a break that get more frames, too: there the view was lost, and there it is found again."""


@dataclass(frozen=True)
class Gap:
    """Between two neighbouring keyframes of one video."""

    before: ImageRecord
    after: ImageRecord

    def frames(self) -> list[int]:
        """At most _A_GAP frame numbers that cut it evenly."""
        start, end = self.before.frame or 0, self.after.frame or 0
        inside = list(range(start + 1, end))
        return inside if len(inside) <= _A_GAP else [start + round((end - start) * k / (_A_GAP + 1)) for k in range(1, _A_GAP + 1)]


def denser_keyframes(material: Material, now: Standing, place: Place) -> Iterator[Tried]:
    """Take more frames around each break, match them with their neighbours in time."""
    videos = _videos(place)
    if not videos:
        yield Tried("there is no video to take more frames from")
        return
    gaps = broken_gaps(material, now)
    if not gaps:
        yield Tried("no video breaks off between two of its keyframes")
        return
    wanted: dict[str, list[int]] = {}
    for gap in gaps:
        wanted.setdefault(str(gap.before.sequence), []).extend(gap.frames())
    total = sum(len(frames) for frames in wanted.values())
    if total > place.config.recover.max_frames:
        share = place.config.recover.max_frames / total
        wanted = {name: [frames[k] for k in spread(len(frames), max(1, int(len(frames) * share)))] for name, frames in wanted.items()}
    taken = {name: {record.frame or 0 for record in material.records if record.sequence == name} for name in wanted}
    records = [record for name, frames in wanted.items() for record in _take(videos[name], frames, taken[name], place)]
    if not records:
        yield Tried("the video has no further frames there")
        return
    grown = material.with_images(records, _features(records, material.kind, place))
    pairs = _neighbours(grown, {record.name for record in records}, place.config.pairs.sequence_window)
    grown = grown.with_matches(match_pairs(grown, pairs, place))
    yield Tried(f"took {len(records)} more frames {_where(gaps)} and matched them with their neighbours ({len(pairs)} pairs)", grown)


def broken_gaps(material: Material, now: Standing) -> list[Gap]:
    """The gaps of videos across which the model breaks off, and some on both sides of each."""
    found = []
    for frames in sequences(material.in_sequence):
        broken = [_is_broken(material, now, one, two) for one, two in pairwise(frames)]
        near = [any(broken[max(0, k - _AROUND) : k + _AROUND + 1]) for k in range(len(broken))]
        found += [Gap(one, two) for (one, two), wanted in zip(pairwise(frames), near, strict=True) if wanted]
    return found


def sequences(records: Sequence[ImageRecord]) -> list[list[ImageRecord]]:
    """The frames of each video, in order of time."""
    groups: dict[str, list[ImageRecord]] = {}
    for record in records:
        if record.sequence is not None and record.frame is not None:
            groups.setdefault(record.sequence, []).append(record)
    return list(groups.values())


def _is_broken(material: Material, now: Standing, one: ImageRecord, two: ImageRecord) -> bool:
    if not now.registered:
        return ordered(one.name, two.name) not in material.pairs
    return now.part_of(one.name) != now.part_of(two.name) or now.part_of(one.name) < 0


def _videos(place: Place) -> dict[str, tuple[dict[str, Any], Path]]:
    """Each video with its file, by its name."""
    found = {}
    for folder in place.inputs["ingest"]:
        path = folder / "videos.json"
        for video in read_json(path)["videos"] if path.is_file() else ():
            found[str(video["name"])] = (video, folder / video["file"])
    return found


def _take(video: tuple[dict[str, Any], Path], wanted: Sequence[int], taken: set[int], place: Place) -> list[ImageRecord]:
    """The sharpest frame at or next to each wanted number that is no keyframe, written into the folder of frames."""
    row, path = video
    masks = FrameMasks(row, path.parents[row["file"].count("/")])
    device = FrameDepth.of(row, path)
    nearest: dict[int, int] = {}  # a frame may stand for the wanted one beside it
    for number in wanted:
        for near in (number - 1, number, number + 1):
            nearest.setdefault(near, number)
        nearest[number] = number
    best: dict[int, tuple[float, float, Frame]] = {}
    records: list[ImageRecord] = []

    def write(chosen: int) -> None:
        sharpness, brightness, sharpest = best.pop(chosen)
        record = write_frame(row, sharpest, sharpness, brightness, place.out / FRAMES, f"recover/0/{FRAMES}", masks=masks)
        if device is not None:
            record = device.told_to(record, sharpest.rotation_deg, place.out / FRAMES / "depth", f"recover/0/{FRAMES}/depth")
        records.append(record)

    last = max(wanted) + 1
    for frame in Frames(path, place.work.threads):
        if frame.index > last:
            break
        if frame.index not in nearest or frame.index in taken:
            continue
        number = nearest[frame.index]
        for old in [old for old in best if old < number]:
            write(old)
        measured = quality.measure(frame.grey(quality.ANALYSIS_PX))
        if not quality.emptiness(measured.thumb) and (number not in best or measured.sharpness > best[number][0]):
            best[number] = (measured.sharpness, measured.brightness, frame)
    for number in sorted(best):
        write(number)
    return records


def _features(records: Sequence[ImageRecord], kind: str, place: Place) -> dict[str, Features]:
    """Of the same kind as those of the other images."""
    options = place.config.features
    found = {}
    if kind != SIFT:
        from recon.matchers.learned import kind_of, loaded
        from recon.models.choice import learned_device

        network = loaded(kind_of(kind), learned_device(place.work.device), place.work.threads)
    for number, record in enumerate(records):
        path = place.out / record.file.split("/", 2)[2]
        mask = path.with_name(path.name + FRAME_MASK) if record.mask else None
        size = (record.width, record.height)
        if kind == SIFT:
            found[record.name] = extract(path, mask, size, options.max_size_px, options.max_keypoints, options.peak_threshold)
        else:
            found[record.name] = network.features(path, mask, size, options.max_size_px, options.max_keypoints)
        place.work.tell(number / len(records))
    return found


def _neighbours(material: Material, new: set[str], window: int) -> list[Names]:
    """Each added frame with the frames around it."""
    pairs = set()
    for frames in sequences(material.in_sequence):
        for k, one in enumerate(frames):
            pairs |= {ordered(one.name, two.name) for two in frames[k + 1 : k + 1 + window] if one.name in new or two.name in new}
    return sorted(pairs)


def _where(gaps: Sequence[Gap]) -> str:
    """Of which video, between which times."""
    stretches: list[list[ImageRecord]] = []
    for gap in gaps:
        if stretches and stretches[-1][1].name == gap.before.name:
            stretches[-1][1] = gap.after
        else:
            stretches.append([gap.before, gap.after])
    texts = [f"of {start.source} between {clock(start.timestamp_s)} and {clock(end.timestamp_s)}" for start, end in stretches[:3]]
    return ", ".join(texts) + (f" and {len(stretches) - 3} more stretches" if len(stretches) > 3 else "")
