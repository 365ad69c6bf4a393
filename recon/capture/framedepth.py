"""Depth images of a video's frames: packed into one file beside the video, read for the frames that become keyframes."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recon.capture.depthimage import MILLIMETRE_M, DepthImage, depth_image, read_confidence, read_depth
from recon.capture.device import EXIF_OF_TURN, DeviceFrame
from recon.capture.devicefiles import number
from recon.capture.devicetrack import DeviceTrack
from recon.capture.records import ImageRecord
from recon.capture.source import DepthFiles
from recon.errors import InputError

_MAX_PIXELS = 64_000_000
_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack_frames(frames: Sequence[DepthFiles], video: Path) -> list[int]:
    """Pack the files beside the stored video, equal files into equal bytes; the numbers of the frames that have a depth image."""
    packed: set[int] = set()
    with zipfile.ZipFile(_packed(video), "x") as archive:
        for pair in frames:
            found = number(pair.depth.relative)
            if not found or int(found) in packed:
                continue
            packed.add(int(found))
            for kind, file in (("depth", pair.depth), ("confidence", pair.confidence)):
                if file is not None:
                    archive.writestr(zipfile.ZipInfo(f"{kind}/{found}.png", _EPOCH), Path(file.path).read_bytes())
    return sorted(packed)


@dataclass
class FrameDepth:
    """What a device measured and stated for the frames of one video, upright; ``faults`` counts what could not be used, by reason."""

    track: DeviceTrack
    video: Path
    faults: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, video: Mapping[str, Any], path: Path) -> FrameDepth | None:
        """Of a row of ``videos.json``, and where the video lies; None where no device said anything."""
        track = DeviceTrack.of(video)
        return None if track is None else cls(track, path)

    @property
    def warnings(self) -> list[str]:
        return [*self.track.warnings, *(f"{count} keyframes: not used as depth: {reason}" for reason, count in self.faults.items())]

    def told_to(self, record: ImageRecord, rotation_deg: int, folder: Path, locator: str) -> ImageRecord:
        """The record of a frame with its pose, camera and depth, which is written under ``folder``; ``locator`` leads there."""
        index, time_s, size = record.frame or 0, record.timestamp_s or 0.0, (record.width, record.height)
        turn = EXIF_OF_TURN.get(rotation_deg, 1)
        frame: DeviceFrame = self.track.frame_at(index, time_s).upright(turn, size)
        record = frame.told_to(record)
        measured = self._read(index, time_s, turn, size)
        if measured is None:
            return record
        measured.save(folder / f"{record.name}.npz")
        return record.model_copy(update={"depth": f"{locator}/{record.name}.npz"})

    def _read(self, index: int, time_s: float, turn: int, size: tuple[int, int]) -> DepthImage | None:
        row = self.track.row_at(index, time_s)
        wanted = row.number if row else index
        if wanted not in self.track.measured:
            return None
        try:
            with zipfile.ZipFile(_packed(self.video)) as archive:
                metres = read_depth(io.BytesIO(archive.read(f"depth/{wanted}.png")), MILLIMETRE_M, _MAX_PIXELS)
                sure = None
                with suppress(KeyError):
                    packed = io.BytesIO(archive.read(f"confidence/{wanted}.png"))
                    try:
                        sure = read_confidence(packed, metres.shape, _MAX_PIXELS)
                    except InputError as error:
                        self.faults[f"confidence: {error}; the depth counts as sure"] += 1
            return depth_image(metres, sure, turn, size)
        except (InputError, OSError, zipfile.BadZipFile) as error:
            self.faults[str(error)] += 1
            return None


def _packed(video: Path) -> Path:
    return video.with_name(f"{video.name}.measured.zip")
