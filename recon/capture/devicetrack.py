"""What a device says of the frames of its video: a row a frame, by the frame's number and by time."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from recon.capture.device import DeviceFrame, Pinhole
from recon.capture.records import DevicePose

_SAME_FRAME = 0.6
"""Times that are nearer than this share of the usual interval are of one frame."""
_SLACK = 1.5
"""A row's time may be so many intervals from its frame's: the video's clock is coarse."""


@dataclass(frozen=True)
class TrackRow:
    number: int
    """Of the frame, from 0; also in the names of its depth image."""
    time_s: float | None
    """By the device's own clock."""
    pose: DevicePose | None
    pinhole: Pinhole | None


@dataclass(frozen=True)
class DeviceTrack:
    """Rows of increasing numbers."""

    device: str
    rows: tuple[TrackRow, ...]
    warnings: tuple[str, ...] = ()
    pinhole: Pinhole | None = None
    """Of all frames whose row states none."""
    measured: tuple[int, ...] = field(default=())
    """Numbers of the frames that have a depth image."""

    @cached_property
    def _by_number(self) -> dict[int, TrackRow]:
        return {row.number: row for row in self.rows}

    @cached_property
    def _clock(self) -> tuple[float, float] | None:
        """Time of frame 0 and the usual interval; None where times do not increase or frame 0 has none."""
        first = self._by_number.get(0)
        times = [row.time_s for row in self.rows if row.time_s is not None]
        if first is None or first.time_s is None or len(times) < 2 or any(b <= a for a, b in pairwise(times)):
            return None
        return first.time_s, statistics.median(b - a for a, b in pairwise(times))

    def row_at(self, index: int, timestamp_s: float) -> TrackRow | None:
        """The row of the frame with that number, unless times say that another one is meant; None in a gap.

        A device that drops frames of its video counts on: then times tell which row belongs to a frame.
        """
        row = self._by_number.get(index)
        if self._clock is None:
            return row
        start, interval = self._clock
        if row is not None and (row.time_s is None or abs(row.time_s - start - timestamp_s) <= _SLACK * interval):
            return row
        timed = [other for other in self.rows if other.time_s is not None]
        nearest = min(timed, key=lambda other: abs((other.time_s or 0.0) - start - timestamp_s))
        return nearest if abs((nearest.time_s or 0.0) - start - timestamp_s) <= _SAME_FRAME * interval else None

    def frame_at(self, index: int, timestamp_s: float) -> DeviceFrame:
        """As the video's stored frame shows it, before it is turned upright."""
        row = self.row_at(index, timestamp_s)
        return DeviceFrame(row.pose if row else None, (row.pinhole if row else None) or self.pinhole)

    def as_json(self) -> dict[str, Any]:
        rows = [
            [row.number, row.time_s, row.pose and row.pose.model_dump(mode="json"), row.pinhole and asdict(row.pinhole)]
            for row in self.rows
        ]
        return {
            "device": self.device,
            "rows": rows,
            "warnings": list(self.warnings),
            "pinhole": self.pinhole and asdict(self.pinhole),
            "measured": list(self.measured),
        }

    @classmethod
    def of(cls, video: Mapping[str, Any]) -> DeviceTrack | None:
        """Of a row of ``videos.json``."""
        stated = video.get("device")
        if not stated:
            return None
        rows = tuple(
            TrackRow(number, time_s, pose and DevicePose.model_validate(pose), lens and Pinhole(**lens))
            for number, time_s, pose, lens in stated["rows"]
        )
        lens = stated["pinhole"]
        return cls(stated["device"], rows, tuple(stated["warnings"]), lens and Pinhole(**lens), tuple(stated["measured"]))


def gaps(numbers: Sequence[int]) -> int:
    """How many numbers are left out between the first and the last."""
    return max(numbers) - min(numbers) + 1 - len(set(numbers)) if numbers else 0
