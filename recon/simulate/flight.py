"""A drone that films while it flies an eight, and the subtitles that it writes beside the video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.simulate.cameras import Trajectory, gimbal_rotation
from recon.simulate.options import Origin
from recon.simulate.write import START, geographic

FLIGHT_FPS = 10
HALF_M, HEIGHT_M, ROUND_S = (80.0, 45.0), 50.0, 48.0
"""An eight of twice these sides, east and north, in so many seconds: 17 m/s at most, in ever another direction."""
_BEFORE_S = 3.0
"""The path begins that long before the video and ends as long after it, for clocks that differ."""


def eight(duration_s: float) -> Trajectory:
    """A flight over the origin by the video's clock, looking ahead to the north and steeply down.

    Not a circle: on one, flown evenly, another clock is the same as a turn of the map.
    """
    times = np.arange(-_BEFORE_S, duration_s + _BEFORE_S + 0.2, 0.2)
    phase = 2 * np.pi * times / ROUND_S
    centers = np.stack([HALF_M[0] * np.sin(phase), HALF_M[1] * np.sin(2 * phase), HEIGHT_M + 4 * np.sin(1.7 * phase)], 1)
    angles = np.stack([8 * np.sin(phase), -65 + 5 * np.sin(1.3 * phase), 2 * np.sin(2.1 * phase)], 1)
    return Trajectory(times, np.array([gimbal_rotation(*row) for row in angles]), centers)


def write_subtitles(
    path: Path,
    flight: Trajectory,
    frames: int,
    origin: Origin,
    noise_m: float,
    bias_m: tuple[float, float, float],
    offset_s: float,
    rng: np.random.Generator,
) -> None:
    """An entry a frame as DJI writes them, its clock offset_s ahead of the video's; independent noise of every entry and axis."""
    times_s = np.arange(frames) / FLIGHT_FPS
    centers = flight.at(times_s - offset_s)[1]
    measured = centers + bias_m + noise_m * rng.standard_normal(centers.shape)
    rows = [
        _entry(number, float(time_s), fix, float(enu[2]))
        for number, (time_s, fix, enu) in enumerate(zip(times_s, geographic(measured, origin), measured, strict=True), 1)
    ]
    path.write_text("\n".join(rows), encoding="utf-8")


def _entry(number: int, time_s: float, fix: NDArray[np.float64], above_m: float) -> str:
    milliseconds = round(1000 * time_s)
    clock = np.datetime64(START, "ms") + np.timedelta64(milliseconds, "ms")
    return (
        f"{number}\n{_cue(milliseconds)} --> {_cue(milliseconds + 1000 // FLIGHT_FPS)}\n"
        f'<font size="28">FrameCnt: {number}, DiffTime: {1000 // FLIGHT_FPS}ms\n{str(clock).replace("T", " ")}\n'
        f"[iso: 100] [shutter: 1/1000.0] [fnum: 2.8] [latitude: {fix[0]:.7f}] [longitude: {fix[1]:.7f}] "
        f"[rel_alt: {above_m:.3f} abs_alt: {fix[2]:.3f}] </font>\n"
    )


def _cue(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},{rest:03d}"
