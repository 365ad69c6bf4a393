"""Takes what a device measured beside a photo into a shard of ``ingest``: its depth image, and what it says of its camera."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.capture.calibration import Calibration, read_calibration
from recon.capture.depthimage import MILLIMETRE_M, TURNED, depth_image, read_confidence, read_depth
from recon.capture.device import DeviceFrame
from recon.capture.devices import Readers
from recon.capture.photos import orientation
from recon.capture.records import ImageRecord, write_json
from recon.capture.source import SourceFile
from recon.config import Ingest
from recon.errors import InputError

DEPTH_FILE = "depth.json"
_log = logging.getLogger(__name__)


def unit_of(config: Ingest, stated: Calibration) -> float:
    """Metres a unit of integer depth images: as asked, else as stated, else a millimetre."""
    return config.depth_unit_m or stated.unit_m or MILLIMETRE_M


@dataclass
class DepthIntake:
    """What came of a shard's depth images; ``files`` are those of the source by name."""

    files: Mapping[str, SourceFile]
    shard: int
    out: Path
    config: Ingest
    images: int = 0
    low_m: float = float("inf")
    high_m: float = 0.0
    unit_m: float = MILLIMETRE_M
    ignored: list[dict[str, str]] = field(default_factory=list)
    poses: int = 0
    _read: dict[tuple[str, ...], Calibration] = field(default_factory=dict)
    _readers: Readers = field(default_factory=Readers)

    def add(
        self, record: ImageRecord, photo: SourceFile, depth: Sequence[str | None], calibration: Sequence[str], poses: Sequence[str] = ()
    ) -> ImageRecord:
        """The record with the depth (names of its image, and of the confidence or None), the focal length and the pose that go with it.

        What can't be used is left out of the record and named in ``ignored``; the photo is good without it.
        """
        stated, turn = self._calibration(tuple(calibration)), orientation(Path(photo.path), self.config.max_pixels)
        said = self._frame(record, photo, turn, [self.files[name] for name in poses])
        record = said.told_to(record)
        self.poses += record.pose is not None
        focal_px = stated.focal_of(record.height if turn in TURNED else record.width)
        if record.focal_px is None and focal_px:
            record = record.model_copy(update={"focal_px": focal_px, "focal_source": "device"})
        if not depth or depth[0] is None:
            return record
        self.unit_m = self.config.depth_unit_m or said.depth_unit_m or unit_of(self.config, stated)
        file, sure = self.files[depth[0]], self.files[depth[1]] if depth[1] else None
        try:
            metres = read_depth(Path(file.path), self.unit_m, self.config.max_pixels, said.depth_size)
            measured = depth_image(metres, self._confidence(sure, metres.shape), turn, (record.width, record.height))
        except InputError as error:
            self._leave_out(file, str(error))
            return record
        where = f"depth/{record.name}.npz"
        measured.save(self.out / where)
        low_m, high_m = measured.range_m
        self.images, self.low_m, self.high_m = self.images + 1, min(self.low_m, low_m), max(self.high_m, high_m)
        return record.model_copy(update={"depth": f"ingest/{self.shard}/{where}"})

    def _frame(self, record: ImageRecord, photo: SourceFile, turn: int, poses: Sequence[SourceFile]) -> DeviceFrame:
        """What the device says of the photo, upright."""
        if not poses:
            return DeviceFrame()
        size = (record.height, record.width) if turn in TURNED else (record.width, record.height)
        try:
            frame = self._readers.frame(photo, size, poses)
        except InputError as error:
            self._leave_out(poses[0], str(error), "poses")
            return DeviceFrame()
        for fault in frame.faults:
            self._leave_out(photo, fault, "the device's pose")
        return frame.upright(turn, (record.width, record.height))

    def write(self) -> None:
        """``depth.json``."""
        found = {
            "images": self.images,
            "poses": self.poses,
            "unit_m": self.unit_m,
            "range_m": [self.low_m, self.high_m] if self.images else None,
        }
        write_json(self.out / DEPTH_FILE, {**found, "ignored": self.ignored, "warnings": grouped(self.ignored)})

    def _confidence(self, file: SourceFile | None, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
        """Without it, all depth counts as sure."""
        if file is None:
            return None
        try:
            return read_confidence(Path(file.path), shape, self.config.max_pixels)
        except InputError as error:
            self._leave_out(file, f"{error}; its depth image counts as sure")
            return None

    def _calibration(self, names: tuple[str, ...]) -> Calibration:
        if names not in self._read:
            found = Calibration()
            for name in names:
                try:
                    found = found.otherwise(read_calibration(Path(self.files[name].path)))
                except InputError as error:
                    self._leave_out(self.files[name], str(error))
            self._read[names] = found
        return self._read[names]

    def _leave_out(self, file: SourceFile, reason: str, what: str = "") -> None:
        row = {"source": file.relative, "reason": reason, **({"what": what} if what else {})}
        if row not in self.ignored:  # a file of all photos is asked for each
            _log.warning("%s is not used: %s", file.relative, reason)
            self.ignored.append(row)


def grouped(ignored: Sequence[Mapping[str, str]]) -> list[str]:
    """A sentence a reason."""
    reasons = Counter((row.get("what", ""), row["reason"]) for row in ignored)
    warnings = []
    for (what, reason), count in reasons.items():
        first = next(row["source"] for row in ignored if (row.get("what", ""), row["reason"]) == (what, reason))
        more = f" and {count - 1} more" if count > 1 else ""
        warnings.append(f"{what or 'not used as depth'}: {first}{more}: {reason}")
    return warnings
