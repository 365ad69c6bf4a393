"""Quarter turns that bring images into a common direction: learned descriptors bear turns of up to some 60 degrees only."""

from __future__ import annotations

from recon.capture.records import ImageRecord

NADIR_PITCH_DEG = -60.0
"""A camera that looks further down than this shows the ground as a map does: which way is up is the drone's heading."""


def turn_by_gimbal(record: ImageRecord) -> int:
    """Quarter turns counterclockwise after which north is up in a photo taken straight down, and the horizon level in others; else 0."""
    if record.gimbal_deg is None:
        return 0
    yaw_deg, pitch_deg, roll_deg = record.gimbal_deg
    # heading east, the top of the photo is east and north is on its left: to bring north up it turns clockwise
    clockwise_deg = yaw_deg + roll_deg if pitch_deg < NADIR_PITCH_DEG else roll_deg
    return round(-clockwise_deg / 90) % 4
