"""Quarter turns that bring images into a common direction: learned descriptors bear turns of up to some 60 degrees only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from recon.capture.pixels import read_grey
from recon.capture.records import ImageRecord, ImageSet
from recon.features.sift import detect
from recon.features.store import Features
from recon.features.vlad import image_vectors, ranked_alike
from recon.matchers.quick import agreeing
from recon.system import core_count

NADIR_PITCH_DEG = -60.0
"""A camera that looks further down than this shows the ground as a map does: which way is up is the drone's heading."""
_SIZE_PX, _KEYPOINTS, _PEAK = 480, 500, 0.0066
_ALIKE = 5
"""Most alike images that each is compared with."""


def turns_by_gimbal(records: Sequence[ImageRecord]) -> list[int]:
    """Quarter turns counterclockwise that give photos taken straight down one direction, and others a level horizon; 0 without gimbal.

    That direction is the heading of the strips, so that headings that scatter about it never fall to both sides of a half quarter.
    """
    clockwise_deg = [_clockwise_deg(record) for record in records]
    down = [angle for record, angle in zip(records, clockwise_deg, strict=True) if _looks_down(record)]
    # four times the angle is the same for headings a quarter apart
    total = np.exp(4j * np.radians(down)).sum()
    strips_deg = float(np.degrees(np.angle(total))) / 4 if abs(total) > 1e-9 else 0.0
    rows = zip(records, clockwise_deg, strict=True)
    return [round(-(angle - (strips_deg if _looks_down(record) else 0.0)) / 90) % 4 for record, angle in rows]


def _looks_down(record: ImageRecord) -> bool:
    return record.gimbal_deg is not None and record.gimbal_deg[1] < NADIR_PITCH_DEG


def _clockwise_deg(record: ImageRecord) -> float:
    """How far the camera is turned clockwise, as seen from behind it: against north where it looks down, else against the horizon."""
    if record.gimbal_deg is None:
        return 0.0
    yaw_deg, _, roll_deg = record.gimbal_deg
    return yaw_deg + roll_deg if _looks_down(record) else roll_deg


def turns_of(images: ImageSet) -> list[int]:
    """Quarter turns counterclockwise of every image: by its gimbal where that is known, else by what small copies share.

    A copy is compared with the few that look most like it, so the work grows with the images and not with their pairs. Frames of a
    video all have the direction of the first.
    """
    turns = turns_by_gimbal(images.records)
    unknown = [k for k, record in enumerate(images.records) if record.gimbal_deg is None and record.sequence is None]
    if len(unknown) < 2:
        return turns
    names = [images.records[k].name for k in unknown]

    def look(k: int) -> Features:
        return detect(read_grey(images.path(images.records[k]), _SIZE_PX), _KEYPOINTS, _PEAK)

    with ThreadPoolExecutor(core_count()) as pool:  # shards are not there yet that could do it side by side
        small = dict(zip(names, pool.map(look, unknown), strict=True))
    everyone = range(len(names))
    ranked = ranked_alike(image_vectors(small, names, 0), everyone, everyone, _ALIKE, 1)
    pairs = sorted({(min(i, j), max(i, j)) for i, others in ranked.items() for j in others})
    found = common_turns(small, [(names[i], names[j]) for i, j in pairs])
    for k, name in zip(unknown, names, strict=True):
        turns[k] = found[name]
    return turns


def common_turns(features: Mapping[str, Features], pairs: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Quarter turns of images by the angles of their SIFT keypoints: along the surest pairs, the direction of the most stays as it is."""
    votes = []
    for one, two in pairs:
        matches = agreeing(features[one], features[two])
        if len(matches):
            clockwise = features[two].keypoints[matches[:, 1], 3] - features[one].keypoints[matches[:, 0], 3]
            counts = np.bincount(np.rint(clockwise / (np.pi / 2)).astype(np.int64) % 4, minlength=4)
            votes.append((-int(counts.max()), one, two, int(counts.argmax())))
    parts = {name: {name: 0} for name in features}
    for _, one, two, turn in sorted(votes):
        if parts[one] is not parts[two]:
            shift = (parts[one][one] + turn - parts[two][two]) % 4
            parts[one].update({name: (own + shift) % 4 for name, own in parts[two].items()})
            for name in parts[two].copy():
                parts[name] = parts[one]
    found = {}
    for name, part in parts.items():
        most = int(np.bincount(list(part.values()), minlength=4).argmax())
        found[name] = (part[name] - most) % 4
    return found
